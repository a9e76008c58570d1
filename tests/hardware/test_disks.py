"""Disks for real: smartctl as root's helper runs it, md and btrfs on Debian's kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import seen_inside

from companion_agent.platforms.linux import smart_helper
from companion_agent.service import unit
from stack.linux_host import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.guest import Guest

pytestmark = pytest.mark.proves("disk_health.*")

HELPER = f"{SOURCE}/companion_agent/platforms/linux/smart_helper.py"
# What the unit leaves root (`service/unit.py`).
CAPABILITIES = "--bounding-set=-all,+sys_rawio,+sys_admin"
MD = "/dev/md0"
BTRFS = "/run/pool"


def seen(guest: Guest, *excluded: str) -> dict[str, Any]:
    """Return what the agent's user reads of disks and arrays."""
    return seen_inside.seen(guest, "disks", *excluded, user=unit.USER)


def of(found: dict[str, Any], kind: str, name: str) -> Any:
    """Return a value by its kind, and by the array or the serial number of the disk."""
    return found["values"].get(f"{kind} {name}")


@pytest.fixture(scope="module")
def folders(guest: Guest) -> None:
    """What systemd makes for the two units."""
    guest.write("/usr/lib/sysusers.d/pilot-agent.conf", unit.sysusers())
    guest.run("systemd-sysusers", "pilot-agent.conf")
    guest.run("install", "-d", "-o", unit.USER, f"/{smart_helper.WANTED.rpartition('/')[0]}")
    guest.run("install", "-d", f"/{smart_helper.FOLDER}")


def test_root_asks_the_disks_that_are_wanted(guest: Guest, folders: None) -> None:
    assert seen(guest, "sdb")["absent"] == "root has not asked the disks yet"

    guest.run("setpriv", CAPABILITIES, "python3", "-I", "-S", HELPER)

    found = seen(guest, "sdb")
    # Which of the two is sda, the kernel decides anew at each boot.
    nvme, sata = sorted(found["models"])
    assert (nvme, sata[:-1]) == ("PILOT-NVME", "PILOT-SATA-")
    assert found["models"] == {nvme: "QEMU NVMe Ctrl", sata: "QEMU HARDDISK"}
    for serial in (nvme, sata):
        assert of(found, "health", serial) == "passed"
        assert -20 < of(found, "temperature", serial) < 100
        assert of(found, "power_on_time", serial) >= 0
    assert of(found, "wear", nvme) == 0
    assert of(found, "unsafe_shutdowns", nvme) >= 0
    assert of(found, "reallocated_sectors", sata) == 0
    report = json.loads(guest.run("cat", f"/{smart_helper.REPORT}").stdout)
    assert report["disks"].keys() == {"nvme0n1", "sda"}


@pytest.fixture
def mirror(guest: Guest) -> Iterator[str]:
    """Two disks as one, by md; recovery is slow enough to be seen."""
    guest.run("modprobe", "raid1")
    guest.run(
        "mdadm", "--create", MD, "--run", "--assume-clean", "--metadata=1.2", "--level=1",
        "--raid-devices=2", "/dev/sda", "/dev/sdb",
    )  # fmt: skip
    yield "md0"
    guest.run("mdadm", "--stop", MD)
    guest.run("mdadm", "--zero-superblock", "/dev/sda", "/dev/sdb")


def test_a_mirror_loses_a_disk_and_gets_it_back(guest: Guest, folders: None, mirror: str) -> None:
    guest.run("mdadm", MD, "--fail", "/dev/sdb", "--remove", "/dev/sdb")
    broken = seen(guest)
    guest.run(
        "sh", "-c", "for at in min max; do echo 2000 > /sys/block/md0/md/sync_speed_$at; done"
    )
    guest.run("mdadm", "--zero-superblock", "/dev/sdb")
    guest.run("mdadm", MD, "--add", "/dev/sdb")
    mending = seen(guest)

    assert (of(broken, "array_state", mirror), of(broken, "array_degraded", mirror)) == (
        "degraded",
        True,
    )
    assert of(broken, "array_progress", mirror) is None
    assert (of(mending, "array_state", mirror), of(mending, "array_degraded", mirror)) == (
        "recovering",
        True,
    )
    assert 0 <= of(mending, "array_progress", mirror) < 100


def test_btrfs_misses_a_disk(guest: Guest, folders: None) -> None:
    guest.run("modprobe", "btrfs")
    guest.run(
        "mkfs.btrfs", "-q", "-f", "-L", "pool", "-d", "raid1", "-m", "raid1", "/dev/sda", "/dev/sdb"
    )
    guest.run("mkdir", "-p", BTRFS)
    try:
        guest.run("wipefs", "-q", "-a", "/dev/sdb")
        guest.run("btrfs", "device", "scan", "--forget")
        guest.run("mount", "-o", "degraded", "/dev/sda", BTRFS)
        broken = seen(guest)
    finally:
        guest.run("umount", BTRFS, check=False)
        guest.run("wipefs", "-q", "-a", "/dev/sda")

    assert (of(broken, "array_state", "pool"), of(broken, "array_degraded", "pool")) == (
        "degraded",
        True,
    )
    assert of(broken, "array_errors", "pool") == 0
