"""Mounted file systems."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.naming import mount_segment

if TYPE_CHECKING:
    from typing import Any

    from screen import MachineOf, Screen, ScreenOf

MIB = 1024 * 1024
MOUNTS = "proc/self/mountinfo"


def mounts(shown: Screen) -> set[str]:
    """List the mount points that are reported."""
    return {reading.of for reading in shown.collector.readings()}


def test_space_is_counted_as_df_does(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(DiskPlugin(machine("raspberry-pi"))).look()

    assert seen["root.total"] == round(62268977152 / MIB) * MIB
    assert seen["root.used_percent"] == 16.2
    assert seen["boot_firmware.free"] == 435 * MIB


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            "thinkpad",
            {"/", "/boot", "/run/media/ada/USB STICK"},
            id="no subvolume twice, no snap, no overlay, no portal",
        ),
        pytest.param("raspberry-pi", {"/", "/boot/firmware"}, id="no network file system"),
        pytest.param(
            "amd-desktop",
            {"/", "/home", "/mnt/Games (D:)"},
            id="no bind mounts, no share, no DVD, no fuse",
        ),
        pytest.param("server", {"/", "/rpool", "/rpool/data"}, id="pools have no device"),
        pytest.param("container", {"/"}, id="an overlay is the root, files are no file systems"),
    ],
)
def test_disks_are_what_people_mean_by_it(
    machine: MachineOf, screen: ScreenOf, name: str, expected: Any
) -> None:
    assert mounts(screen(DiskPlugin(machine(name)))) == expected


def test_a_disk_is_plugged_in_and_pulled_out(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    shown = screen(DiskPlugin(host))
    without = (host.root / MOUNTS).read_text()
    host.write(MOUNTS, without + "99 20 8:1 / /media/stick rw - exfat /dev/sda1 rw\n")
    host.answer("space", "/media/stick", "1000", "500", "500")
    assert "media_stick.used_percent" in shown.look()
    host.write(MOUNTS, without)

    assert "media_stick.used_percent" not in shown.look()


def test_a_disk_that_fails_is_announced_without_values(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("amd-desktop")
    shown = screen(DiskPlugin(host))
    host.space["/home"] = OSError(5, "Input/output error")

    seen = shown.look()

    assert seen["home.used"] is None
    assert seen["root.used"] is not None


def test_include_brings_in_what_is_left_out_otherwise(machine: MachineOf, screen: ScreenOf) -> None:
    selection = Selection(include=("/", "/mnt/*"))

    shown = screen(DiskPlugin(machine("amd-desktop"), selection))

    assert mounts(shown) == {"/", "/mnt/Games (D:)", "/mnt/share"}


def test_exclude_leaves_out(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(DiskPlugin(machine("amd-desktop"), Selection(exclude=("/home",))))

    assert mounts(shown) == {"/", "/mnt/Games (D:)"}


def test_a_selection_of_nothing_says_so(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no file system is selected"):
        DiskPlugin(machine("server"), Selection(include=("/nowhere",))).probe()


def test_a_network_file_system_that_hangs_holds_nobody_up(
    machine: MachineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.plugins.disk._PATIENCE", 0.05)
    host = machine("raspberry-pi")
    released, asked = threading.Event(), []
    answer = host.disk_usage

    def hang(point: str) -> None:
        if point == "/mnt/nas":
            asked.append(point)
            released.wait(10)
        return answer(point)

    host.disk_usage = hang
    collector = DiskPlugin(host, Selection(include=("/", "/mnt/nas")))
    collector.probe()

    started = time.monotonic()
    values = collector.collect()

    assert time.monotonic() - started < 1
    assert values["mnt_nas.used"] is None
    assert values["root.used"] is not None
    # Nobody else is sent after the one who hangs.
    assert len(asked) == 1
    released.set()
    for _ in range(100):
        if collector.collect()["mnt_nas.used"] == 2000393515008:
            break
        time.sleep(0.02)
    assert collector.collect()["mnt_nas.used"] == 2000393515008


def test_a_mount_over_a_mount_hides_it(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    text = (host.root / MOUNTS).read_text()
    host.write(MOUNTS, text + "99 20 0:99 / /boot/firmware rw - tmpfs tmpfs rw\n")

    assert mounts(screen(DiskPlugin(host))) == {"/"}


def test_an_immutable_system_shows_its_disk_and_not_its_image(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("container")
    host.write(
        MOUNTS,
        "30 1 0:40 / / ro,relatime - overlay composefs ro\n"
        "31 30 0:33 /root/ostree/deploy/x/var /var rw - btrfs /dev/vda3 rw,subvol=/root\n"
        "32 30 0:33 /root /sysroot ro - btrfs /dev/vda3 rw,subvol=/root\n",
    )
    (host.root / "sysroot").mkdir()
    (host.root / "var").mkdir(exist_ok=True)
    host.answer("space", "/sysroot", "1000", "500", "500")

    assert mounts(screen(DiskPlugin(host))) == {"/sysroot"}


@pytest.mark.parametrize(
    ("point", "segment"),
    [
        ("/", "root"),
        ("/home", "home"),
        ("/mnt/data", "mnt_data"),
        ("C:", "c"),
        ("/srv/a-b", "srv_a-b"),
    ],
)
def test_plain_mount_points_have_plain_keys(point: str, segment: str) -> None:
    assert mount_segment(point) == segment


def test_mount_points_never_share_a_key() -> None:
    points = ["/", "/root", "/a/b", "/a_b", "/A/b", "/a b", "/a/B", "/a//b", "/c", "C:", "/ä", "/ö"]

    assert len({mount_segment(point) for point in points}) == len(points)


def test_a_change_of_a_few_pages_is_none(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("server")
    shown = screen(DiskPlugin(host))
    before = dict(shown.look())
    host.answer("space", "/", "100000000000", "40000100000", "54999900000")

    assert shown.look() == before
