"""Wi-Fi on Windows, by wlanapi.dll.

`netsh wlan show interfaces` says the same in the user's language, which cannot be parsed.
Sources: Microsoft's reference of wlanapi.h (WlanEnumInterfaces, WlanQueryInterface).
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import WifiLink

if TYPE_CHECKING:
    from companion_agent.platforms.base import Wanted

_CLIENT_VERSION = 2
_CURRENT_CONNECTION = 7
_RSSI = 0x10000102
_ACCESS_DENIED = 5
# WLAN_CONNECTION_ATTRIBUTES: state, mode, profile's name (256 wide characters), then the
# association, which begins with the SSID's length and its 32 bytes.
_SSID_AT = 4 + 4 + 512


class _InterfaceInfo(ctypes.Structure):
    """WLAN_INTERFACE_INFO."""

    _fields_ = (
        ("guid", ctypes.c_ubyte * 16),
        ("description", ctypes.c_uint16 * 256),
        ("state", ctypes.c_uint32),
    )


def ssid_of(connection: bytes) -> str | None:
    """Read the network's name from WLAN_CONNECTION_ATTRIBUTES."""
    size = int.from_bytes(connection[_SSID_AT : _SSID_AT + 4], "little")
    name = connection[_SSID_AT + 4 : _SSID_AT + 4 + min(size, 32)]
    return name.decode("utf-8", "replace") or None


def signal_of(rssi: bytes) -> float | None:
    """Read the signal in dBm from the answer about it."""
    value = int.from_bytes(rssi[:4], "little", signed=True) if len(rssi) >= 4 else 0
    return float(value) if -120 <= value < 0 else None


def links(wanted: Wanted) -> list[WifiLink]:
    """Read the Wi-Fi interfaces that are wanted by name.

    Raises:
        Unavailable: There is none, or the service that knows them does not run.
    """
    try:
        library = _load()
    except OSError:
        raise Unavailable(
            "this Windows has no Wi-Fi service", "on Windows Server, add the feature 'Wireless LAN'"
        ) from None
    handle, version = ctypes.c_void_p(), ctypes.c_uint32()
    if library.WlanOpenHandle(_CLIENT_VERSION, None, ctypes.byref(version), ctypes.byref(handle)):
        raise Unavailable("the service 'WLAN AutoConfig' does not run")
    try:
        found = _interfaces(library, handle)
        return [
            WifiLink(
                name,
                ssid_of(_query(library, handle, guid, _CURRENT_CONNECTION)),
                signal_of(_query(library, handle, guid, _RSSI)),
            )
            for name, guid in found
            if wanted(name)
        ]
    finally:
        library.WlanCloseHandle(handle, None)


def _interfaces(
    library: ctypes.CDLL, handle: ctypes.c_void_p
) -> list[tuple[str, ctypes.Array[ctypes.c_ubyte]]]:
    found = ctypes.c_void_p()
    if library.WlanEnumInterfaces(handle, None, ctypes.byref(found)) or not found.value:
        raise Unavailable("this computer has no Wi-Fi interface")
    try:
        count = ctypes.c_uint32.from_address(found.value).value
        if not count:
            raise Unavailable("this computer has no Wi-Fi interface")
        # The list follows two numbers: how many there are, and an index.
        infos = (_InterfaceInfo * count).from_address(found.value + 8)
        result = []
        for info in infos:
            name = bytes(info.description).decode("utf-16-le", "replace").split("\0", 1)[0]
            guid = (ctypes.c_ubyte * 16)(*info.guid)
            result.append((name or "Wi-Fi", guid))
        return result
    finally:
        library.WlanFreeMemory(found)


def _query(
    library: ctypes.CDLL,
    handle: ctypes.c_void_p,
    guid: ctypes.Array[ctypes.c_ubyte],
    what: int,
) -> bytes:
    size, answer = ctypes.c_uint32(), ctypes.c_void_p()
    error = library.WlanQueryInterface(
        handle, ctypes.byref(guid), what, None, ctypes.byref(size), ctypes.byref(answer), None
    )
    if error == _ACCESS_DENIED:
        raise Unavailable(
            "Windows does not let this program see the Wi-Fi network",
            "allow desktop programs to see the location in Settings, Privacy & security",
        )
    # Not connected, or a driver that does not know its signal.
    if error or not answer.value:
        return b""
    try:
        return ctypes.string_at(answer.value, size.value)
    finally:
        library.WlanFreeMemory(answer)


if sys.platform == "win32":

    def _load() -> ctypes.CDLL:
        return ctypes.WinDLL("wlanapi")

else:

    def _load() -> ctypes.CDLL:
        raise OSError("wlanapi is Windows'")
