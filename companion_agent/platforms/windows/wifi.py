"""Wi-Fi on Windows.

`netsh wlan show interfaces` says the same in the user's language, which cannot be parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import WifiLink
from companion_agent.winapi import wlan
from companion_agent.winapi.dll import MissingError

if TYPE_CHECKING:
    from ctypes import c_void_p

    from companion_agent.platforms.base import Wanted

# WLAN_CONNECTION_ATTRIBUTES: state, mode, profile's name (256 wide characters), then the
# association, which begins with the SSID's length and its 32 bytes.
_SSID_AT = 4 + 4 + 512


def links(wanted: Wanted) -> list[WifiLink]:
    """Read the Wi-Fi interfaces that are wanted by name.

    Raises:
        Unavailable: There is none, or the service that knows them does not run.
    """
    try:
        with wlan.client() as handle:
            return _links(handle, wanted)
    except MissingError:
        raise Unavailable(
            "this Windows has no Wi-Fi service", "on Windows Server, add the feature 'Wireless LAN'"
        ) from None
    except OSError:
        raise Unavailable("the service 'WLAN AutoConfig' does not run") from None


def ssid_of(connection: bytes) -> str | None:
    """Read the network's name from WLAN_CONNECTION_ATTRIBUTES."""
    size = int.from_bytes(connection[_SSID_AT : _SSID_AT + 4], "little")
    name = connection[_SSID_AT + 4 : _SSID_AT + 4 + min(size, 32)]
    return name.decode("utf-8", "replace") or None


def signal_of(rssi: bytes) -> float | None:
    """Read the signal in dBm from the answer about it."""
    value = int.from_bytes(rssi[:4], "little", signed=True) if len(rssi) >= 4 else 0
    return float(value) if -120 <= value < 0 else None


def _links(handle: c_void_p, wanted: Wanted) -> list[WifiLink]:
    try:
        found = wlan.interfaces(handle)
    except OSError:
        found = []
    if not found:
        raise Unavailable("this computer has no Wi-Fi interface")
    return [
        WifiLink(
            name or "Wi-Fi",
            ssid_of(_query(handle, guid, wlan.CURRENT_CONNECTION)),
            signal_of(_query(handle, guid, wlan.RSSI)),
        )
        for name, guid in found
        if wanted(name or "Wi-Fi")
    ]


def _query(handle: c_void_p, guid: bytes, what: int) -> bytes:
    try:
        return wlan.query(handle, guid, what)
    except OSError as error:
        if getattr(error, "winerror", None) == wlan.ACCESS_DENIED:
            raise Unavailable(
                "Windows does not let this program see the Wi-Fi network",
                "allow desktop programs to see the location in Settings, Privacy & security",
            ) from None
        # Not connected, or a driver that does not know its signal.
        return b""
