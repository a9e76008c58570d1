"""Wi-Fi as the service WLAN AutoConfig tells of it."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import WifiLink
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.winapi import wlan
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Sequence

GUID = bytes(range(16))
SERVICE_NOT_ACTIVE = 1062
INVALID_STATE = 5023


class WlanService:
    """Answers as wlanapi.h describes it: memory of its own, which the caller gives back."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.answers: dict[int, bytes | int] = {}
        self.lent: dict[int, Any] = {}
        self.fake = FakeWindows(
            {
                "wlanapi.WlanOpenHandle": self._open,
                "wlanapi.WlanCloseHandle": lambda *_: 0,
                "wlanapi.WlanFreeMemory": lambda memory: self.lent.pop(memory.value),
                "wlanapi.WlanEnumInterfaces": self._enumerate,
                "wlanapi.WlanQueryInterface": self._query,
            }
        )

    def _open(self, _: int, __: None, version: ctypes.c_uint32, handle: ctypes.c_void_p) -> int:
        version.value, handle.value = 2, 0x51
        return 0

    def _lend(self, data: bytes) -> int:
        memory = ctypes.create_string_buffer(data, len(data))
        self.lent[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def _enumerate(self, _: ctypes.c_void_p, __: None, found: ctypes.c_void_p) -> int:
        infos = b"".join(
            GUID + name.encode("utf-16-le").ljust(512, b"\0") + bytes(4) for name in self.names
        )
        found.value = self._lend(len(self.names).to_bytes(4, "little") + bytes(4) + infos)
        return 0

    def _query(
        self, _: object, guid: Any, what: int, __: None, size: Any, answer: Any, ___: None
    ) -> int:
        assert bytes(guid) == GUID
        given = self.answers.get(what, INVALID_STATE)
        if isinstance(given, int):
            return given
        size.value, answer.value = len(given), self._lend(given)
        return 0


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> WlanService:
    service = WlanService(["Intel(R) Wi-Fi 6 AX201"])
    service.fake.install(monkeypatch)
    return service


def connection_to(ssid: str) -> bytes:
    """Write what WLAN_CONNECTION_ATTRIBUTES has before and in its SSID."""
    name = ssid.encode()
    return bytes(4 + 4 + 512) + len(name).to_bytes(4, "little") + name.ljust(32, b"\0")


def test_an_interface_has_its_network_and_signal(service: WlanService) -> None:
    service.answers = {
        wlan.CURRENT_CONNECTION: connection_to("Büro"),
        wlan.RSSI: (-61).to_bytes(4, "little", signed=True),
    }

    assert WindowsPlatform().wifi() == [WifiLink("Intel(R) Wi-Fi 6 AX201", "Büro", -61)]
    assert not service.lent


def test_an_interface_that_is_not_connected(service: WlanService) -> None:
    assert WindowsPlatform().wifi() == [WifiLink("Intel(R) Wi-Fi 6 AX201", None, None)]


def test_an_interface_that_is_not_wanted_is_not_asked(service: WlanService) -> None:
    assert WindowsPlatform().wifi(lambda _: False) == []
    assert "WlanQueryInterface" not in [call[0] for call in service.fake.calls]


def test_windows_may_hide_the_network_from_programs(service: WlanService) -> None:
    service.answers = {wlan.CURRENT_CONNECTION: wlan.ACCESS_DENIED}

    with pytest.raises(Unavailable, match="does not let this program see") as caught:
        WindowsPlatform().wifi()

    assert "location" in caught.value.hint
    assert not service.lent


def test_a_computer_without_an_interface(service: WlanService) -> None:
    service.names = []

    with pytest.raises(Unavailable, match="no Wi-Fi interface"):
        WindowsPlatform().wifi()


def test_a_service_that_does_not_run(service: WlanService) -> None:
    service.fake.functions["wlanapi.WlanOpenHandle"] = lambda *_: SERVICE_NOT_ACTIVE

    with pytest.raises(Unavailable, match="does not run"):
        WindowsPlatform().wifi()


def test_a_windows_server_without_wifi(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeWindows().install(monkeypatch)

    with pytest.raises(Unavailable, match="no Wi-Fi service") as caught:
        WindowsPlatform().wifi()

    assert "Wireless LAN" in caught.value.hint
