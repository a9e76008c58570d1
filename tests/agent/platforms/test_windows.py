"""The parts of Windows that can be looked at anywhere, and psutil's platform."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms import portable
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.platforms.windows import platform as windows
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.cpu import CpuPlugin
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.temperature import TemperaturePlugin
from companion_agent.plugins.wifi import WifiPlugin
from support.windows_api import FakeWindows

Battery = SimpleNamespace


def add_drives(windows: FakeWindows) -> None:
    """Add a disk, a memory stick, an empty card reader, a disc, a share and a `subst`."""
    types = {"C:": 3, "D:": 5, "E:": 2, "F:": 2, "S:": 3, "Z:": 4}
    letters = sum(1 << ord(name[0]) - ord("A") for name in types)

    def device(name: str, found: Any, _size: int) -> int:
        found.value = "\\??\\C:\\work" if name == "S:" else "\\Device\\HarddiskVolume3"
        return len(found.value)

    windows.functions.update(
        {
            "kernel32.GetLogicalDrives": lambda: letters,
            "kernel32.GetDriveTypeW": lambda root: types[root.rstrip("\\")],
            "kernel32.GetVolumeInformationW": lambda root, *_: int(root != "F:\\"),
            "mpr.WNetGetConnectionW": lambda *_: 2250,
            "kernel32.QueryDosDeviceW": device,
            "kernel32.SetThreadErrorMode": lambda *_: 1,
        }
    )


@pytest.fixture
def drives(monkeypatch: pytest.MonkeyPatch) -> None:
    add_drives(FakeWindows().install(monkeypatch))
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


def test_drives_are_called_as_their_owner_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = FakeWindows().install(monkeypatch)
    add_drives(windows)

    def label(root: str, text: Any, *_: Any) -> int:
        text.value = "Windows" if root == "C:\\" else ""
        return 1

    def share(_: str, text: Any, __: Any) -> int:
        text.value = r"\\nas\films"
        return 0

    windows.functions["kernel32.GetVolumeInformationW"] = label
    windows.functions["mpr.WNetGetConnectionW"] = share
    usage = SimpleNamespace(total=10**11, used=4 * 10**10, free=6 * 10**10)
    monkeypatch.setattr(psutil, "disk_usage", lambda _: usage)
    collector = DiskPlugin(WindowsPlatform(), Selection(include=("?:",)))

    collector.collect()

    named = {reading.key.partition(".")[0]: reading.of for reading in collector.readings()}
    assert (named["c"], named["e"], named["z"]) == ("Windows (C:)", "E:", r"\\nas\films (Z:)")


def test_drives_are_asked_for_what_can_fill_up(drives: list[str]) -> None:
    shown = {mount.point: mount.shown for mount in WindowsPlatform().mounts()}

    # Nothing is in the card reader; the disc is full, S: is a folder of C:.
    assert shown == {"C:": True, "D:": False, "E:": True, "S:": False, "Z:": False}


def test_a_network_drive_is_read_where_it_is_named(drives: list[str]) -> None:
    collector = DiskPlugin(WindowsPlatform(), Selection(include=("Z:",)))

    assert list(collector.collect()) == ["z.used_percent", "z.used", "z.free", "z.total"]
    assert drives == ["Z:\\"]


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        pytest.param(
            {"ProductName": "Windows 10 Pro", "CurrentBuildNumber": "18363", "ReleaseId": "1909"},
            "Windows 10 Pro 1909",
            id="before 20H2",
        ),
        pytest.param(
            {
                "ProductName": "Windows Server 2022 Standard",
                "CurrentBuildNumber": "20348",
                "DisplayVersion": "21H2",
                "InstallationType": "Server Core",
            },
            "Windows Server 2022 Standard (Server Core)",
            id="server",
        ),
        pytest.param(
            {
                "ProductName": "Windows 10 Enterprise LTSC 2024",
                "CurrentBuildNumber": "26100",
                "DisplayVersion": "24H2",
            },
            "Windows 11 Enterprise LTSC 2024",
            id="long-term channel",
        ),
    ],
)
def test_the_name_of_a_windows(
    monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], name: str
) -> None:
    monkeypatch.setattr(windows, "_registry_text", lambda _, value: texts.get(value, ""))

    assert WindowsPlatform().host_info().os == name


_UPDATES = r"SOFTWARE\Microsoft\Windows\CurrentVersion"
_NAMES = r"SYSTEM\CurrentControlSet\Control\ComputerName"


@pytest.mark.parametrize(
    ("keys", "texts", "pending"),
    [
        pytest.param((), {}, False, id="nothing"),
        pytest.param(
            (rf"{_UPDATES}\WindowsUpdate\Auto Update\RebootRequired",), {}, True, id="update"
        ),
        pytest.param(
            (rf"{_UPDATES}\Component Based Servicing\PackagesPending",), {}, True, id="package"
        ),
        pytest.param((), {(rf"{_NAMES}\ComputerName", "ComputerName"): "NEW"}, True, id="name"),
        pytest.param(
            (),
            {(r"SYSTEM\CurrentControlSet\Services\Netlogon", "JoinDomain"): "example.org"},
            True,
            id="domain",
        ),
    ],
)
def test_a_reboot_that_windows_waits_for(
    monkeypatch: pytest.MonkeyPatch,
    keys: tuple[str, ...],
    texts: dict[tuple[str, str], str],
    pending: bool,
) -> None:
    found = {(rf"{_NAMES}\{one}ComputerName", "ComputerName"): "OLD" for one in ("", "Active")}
    found |= texts
    monkeypatch.setattr(windows, "_registry_key_exists", lambda key: key in keys)
    monkeypatch.setattr(windows, "_registry_text", lambda *where: found.get(where, ""))

    assert WindowsPlatform().pending_reboot() is pending


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


def test_a_processor_that_tells_little_is_read_as_far_as_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError(1, "Invalid function")

    monkeypatch.setattr(psutil, "cpu_stats", fail)
    collector = CpuPlugin(PortablePlatform())

    values = collector.collect()

    assert "core.0.percent" in values
    assert "context_switches" not in values
    assert "context_switches" in collector.left_out()


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
