"""The parts of Windows that can be looked at anywhere, and psutil's platform."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms import portable
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.platforms.windows import platform as windows
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.temperature import TemperaturePlugin
from companion_agent.plugins.wifi import WifiPlugin

Battery = SimpleNamespace


def partition(point: str, kind: str) -> SimpleNamespace:
    return SimpleNamespace(mountpoint=point, fstype=kind, device=point, opts="")


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        psutil,
        "disk_partitions",
        lambda **_: [
            partition("C:\\", "NTFS"),
            partition("D:\\", "UDF"),
            partition("E:\\", "FAT32"),
        ],
    )
    asked = []

    def usage(point: str) -> None:
        asked.append(point)
        if point == "E:\\":
            raise PermissionError("the device is not ready")
        return SimpleNamespace(total=10**11, used=4 * 10**10, free=6 * 10**10)

    monkeypatch.setattr(psutil, "disk_usage", usage)
    return asked


def test_drives_are_named_by_their_letter(drives: list[str]) -> None:
    collector = DiskPlugin(WindowsPlatform())
    collector.probe()

    values = collector.collect()

    assert values["c.used_percent"] == 40
    assert values["e.used_percent"] is None
    assert not any(key.startswith("d.") for key in values)
    assert {reading.of for reading in collector.readings()} == {"C:", "E:"}
    # Without the backslash Windows would answer for the working folder.
    assert "C:\\" in drives


def test_a_windows_of_the_registry_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "ProductName": "Windows 10 Pro",
        "CurrentBuildNumber": "22631",
        "DisplayVersion": "23H2",
        "MachineGuid": "6f3b0d2e-0000-4000-8000-0123456789ab",
        "SystemManufacturer": "Dell Inc.",
        "SystemProductName": "Latitude 7420",
    }
    monkeypatch.setattr(windows, "_registry_text", lambda _, value: texts[value])

    info = WindowsPlatform().host_info()

    assert info.os == "Windows 11 Pro 23H2"
    assert (info.manufacturer, info.model) == ("Dell Inc.", "Latitude 7420")
    assert WindowsPlatform().installation_id() == texts["MachineGuid"]


def test_nothing_of_it_asks_wmi(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask_wmi() -> None:
        pytest.fail("Python asks WMI for this, which is slow and not there when Windows starts")

    monkeypatch.setattr("platform.uname", ask_wmi)
    monkeypatch.setattr("platform.win32_ver", ask_wmi)
    monkeypatch.setattr(windows, "_version", lambda: (10, 0, 22631))
    monkeypatch.setattr("socket.gethostname", lambda: "den-pc.example.org")

    assert WindowsPlatform().host_info().name == "den-pc"
    assert WindowsPlatform().kernel_version() == "10.0.22631"


def test_what_a_maker_did_not_fill_in_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "SystemManufacturer": "To Be Filled By O.E.M.",
        "SystemProductName": "System Product Name",
    }
    monkeypatch.setattr(windows, "_registry_text", lambda _, value: texts.get(value, ""))

    info = WindowsPlatform().host_info()

    assert (info.manufacturer, info.model) == ("", "")


def test_swap_space_that_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no performance counters")

    monkeypatch.setattr(psutil, "swap_memory", fail)

    assert PortablePlatform().memory().swap_total == 0


@pytest.mark.parametrize(
    ("battery", "state", "time_left"),
    [
        (Battery(percent=60, secsleft=5400, power_plugged=False), "discharging", 5400),
        (Battery(percent=60, secsleft=-1, power_plugged=False), "discharging", None),
        (Battery(percent=60, secsleft=-2, power_plugged=True), "charging", None),
        (Battery(percent=100, secsleft=-2, power_plugged=True), "full", None),
        (Battery(percent=60, secsleft=-1, power_plugged=None), "unknown", None),
    ],
)
def test_psutil_s_battery(
    monkeypatch: pytest.MonkeyPatch, battery: SimpleNamespace, state: str, time_left: float | None
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)

    sample = PortablePlatform().power()

    assert sample.plugged is battery.power_plugged
    assert sample.batteries[0].state == state
    assert sample.batteries[0].time_left == time_left


def test_a_system_without_sensors_says_so() -> None:
    for plugin in (TemperaturePlugin, FanPlugin, WifiPlugin):
        with pytest.raises(Unavailable, match="does not tell"):
            plugin(PortablePlatform()).probe()


def test_an_interface_has_its_state_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(family: str, text: str) -> SimpleNamespace:
        return SimpleNamespace(family=SimpleNamespace(name=family), address=text)

    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"Wi-Fi": SimpleNamespace(isup=True)})
    monkeypatch.setattr(
        psutil,
        "net_if_addrs",
        lambda: {
            "Wi-Fi": [
                address("AF_LINK", "00-00-5E-00-53-01"),
                address("AF_INET6", "fe80::1%12"),
                address("AF_INET6", "2001:db8::1"),
                address("AF_INET", "192.0.2.5"),
            ],
            "Loopback Pseudo-Interface 1": [address("AF_LINK", "")],
        },
    )

    link = PortablePlatform().links(["Wi-Fi", "Gone"])

    assert link["Wi-Fi"] == (True, "192.0.2.5", "2001:db8::1")
    assert link["Gone"] == (None, None, None)
    assert portable.hardware_addresses() == ("00:00:5e:00:53:01",)
