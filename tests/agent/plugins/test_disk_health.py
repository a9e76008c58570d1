"""Disks and arrays as a user sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.platforms.base import DiskArray, DiskHealth, Platform, Wanted, everything
from companion_agent.plugins.disk_health import DiskHealthPlugin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.agent_screen import MachineOf, ScreenOf

pytestmark = pytest.mark.proves("disk_health.*")

SSD = DiskHealth(
    "sda", "aaaaaaaaaaaa", "SSD 1", "SERIAL-1", {"health": "passed", "temperature": 30, "wear": 2}
)
BRIDGE = DiskHealth("sdb", "bbbbbbbbbbbb", "", "", {}, missing="it has no SMART")
MIRROR = DiskArray("md0", "clean", degraded=False, reports_progress=True)


class FakePlatform(Platform):
    """A machine with these disks and arrays."""

    def __init__(self, *disks: DiskHealth, arrays: Sequence[DiskArray] = ()) -> None:
        self.disks = disks
        self.arrays = arrays

    def host_info(self) -> None:  # type: ignore[override]
        raise NotImplementedError

    def installation_id(self) -> None:
        return None

    def suspended_time(self) -> None:
        return None

    def disk_health(self, selection: Selection) -> list[DiskHealth]:
        if not self.disks:
            raise Unavailable("smartctl is not installed", "install the package smartmontools")
        return [disk for disk in self.disks if selection.wants(disk.name)]

    def disk_arrays(self, wanted: Wanted = everything) -> list[DiskArray]:
        return [array for array in self.arrays if wanted(array.name)]


def test_a_disk_is_a_device_of_its_own(screen: ScreenOf) -> None:
    disk = screen(DiskHealthPlugin(FakePlatform(SSD, BRIDGE)))

    assert disk.look() == {
        "aaaaaaaaaaaa.health": "passed",
        "aaaaaaaaaaaa.temperature": 30,
        "aaaaaaaaaaaa.wear": 2,
    }
    device = disk.reading("aaaaaaaaaaaa.health").device
    assert device is not None
    assert (device.id, device.name, device.model, device.serial) == (
        "disk-aaaaaaaaaaaa",
        "SSD 1",
        "SSD 1",
        "SERIAL-1",
    )
    assert disk.collector.left_out() == {"sdb": "it has no SMART"}
    assert disk.collector.troubles() == {}


def test_disks_of_one_model_are_told_apart(screen: ScreenOf) -> None:
    other = SSD._replace(name="sdc", id="cccccccccccc", serial="SERIAL-2")
    disks = screen(DiskHealthPlugin(FakePlatform(SSD, other)))
    disks.look()

    names = {one.device.name for one in disks.collector.readings() if one.device}
    assert names == {"SSD 1 …AL-1", "SSD 1 …AL-2"}


def test_a_disk_with_two_paths_is_one(screen: ScreenOf) -> None:
    disks = screen(DiskHealthPlugin(FakePlatform(SSD, SSD._replace(name="sdz"))))

    assert len(disks.look()) == 3


def test_what_a_disk_measures_while_it_sleeps_is_unknown(screen: ScreenOf) -> None:
    disk = screen(DiskHealthPlugin(FakePlatform(SSD._replace(asleep=True))))

    assert disk.look() == {
        "aaaaaaaaaaaa.health": "passed",
        "aaaaaaaaaaaa.temperature": None,
        "aaaaaaaaaaaa.wear": 2,
    }
    assert disk.collector.troubles() == {}


def test_a_disk_that_was_not_asked_lately_stays_and_says_why(screen: ScreenOf) -> None:
    disk = screen(DiskHealthPlugin(FakePlatform(SSD._replace(missing="No such device"))))

    assert set(disk.look().values()) == {None}
    assert disk.collector.troubles() == {"sda": "No such device"}


def test_an_array(screen: ScreenOf) -> None:
    platform = FakePlatform(arrays=[MIRROR])
    array = screen(DiskHealthPlugin(platform))

    assert array.look() == {
        "array.md0.state": "clean",
        "array.md0.degraded": False,
        "array.md0.progress": None,
    }
    assert array.collector.left_out() == {"disks": "smartctl is not installed"}
    assert array.reading("array.md0.state").of == "md0"
    readings = array.collector.readings()

    platform.arrays = [MIRROR._replace(state="recovering", degraded=True, progress=12.4)]
    assert array.look()["array.md0.progress"] == 12
    assert array.collector.readings() is readings


@pytest.mark.parametrize(
    ("platform", "selection", "reason"),
    [
        (FakePlatform(), Selection(), "smartctl is not installed"),
        (FakePlatform(BRIDGE), Selection(), "sdb: it has no SMART"),
        (
            FakePlatform(SSD, arrays=[MIRROR]),
            Selection(exclude=("*",)),
            "no disk or array is selected",
        ),
    ],
)
def test_why_there_is_nothing(platform: Platform, selection: Selection, reason: str) -> None:
    with pytest.raises(Unavailable) as caught:
        DiskHealthPlugin(platform, selection).collect()

    assert caught.value.reason == reason


def test_a_server(machine: MachineOf, screen: ScreenOf) -> None:
    collector = screen(DiskHealthPlugin(machine("server"))).collector

    assert collector.left_out() == {"sdb": "/dev/sdb: Unknown USB bridge [0x152d:0x0578 (0x214)]"}
