"""Mounted file systems."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.naming import mount_segment

if TYPE_CHECKING:
    from typing import Any

    from companion_agent.platforms.base import DiskUsage
    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf, Screen, ScreenOf

pytestmark = pytest.mark.proves("disk.*")

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
        pytest.param("server", {"/", "/rpool"}, id="a pool once, though it has no device"),
        pytest.param("container", {"/"}, id="an overlay is the root, files are no file systems"),
    ],
)
def test_disks_are_what_people_mean_by_it(
    machine: MachineOf, screen: ScreenOf, name: str, expected: Any
) -> None:
    assert mounts(screen(DiskPlugin(machine(name)))) == expected


@pytest.mark.parametrize("point", ["/tmp", "/var/tmp"])
def test_a_partition_is_shown_though_the_service_has_a_folder_of_its_own_there(
    machine: MachineOf, screen: ScreenOf, point: str
) -> None:
    host = machine("raspberry-pi")
    before = (host.root / MOUNTS).read_text()
    whole = f"23 22 8:5 / {point} rw - ext4 /dev/sda5 rw\n"
    private = f"40 23 8:5 /systemd-private-x/tmp {point} rw - ext4 /dev/sda5 rw\n"
    host.write(MOUNTS, before + whole + private)
    host.answer("space", point, "1000", "500", "500")

    assert point in mounts(screen(DiskPlugin(host)))


def test_a_folder_of_another_disk_hides_a_partition(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    before = (host.root / MOUNTS).read_text()
    whole = "23 22 8:5 / /srv rw - ext4 /dev/sda5 rw\n"
    other = "40 23 8:6 /some/folder /srv rw - ext4 /dev/sda6 rw\n"
    host.write(MOUNTS, before + whole + other)
    host.answer("space", "/srv", "1000", "500", "500")

    assert "/srv" not in mounts(screen(DiskPlugin(host)))


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on file systems at once."""
    monkeypatch.setattr("companion_agent.platforms.time_limit.PATIENCE", 0.2)
    monkeypatch.setattr("companion_agent.platforms.time_limit.STALL", 0.02)


class Hanging:
    """File systems of a machine that do not answer until they are released.

    Attributes:
        asked: What was asked, in order.
    """

    def __init__(self, host: FakeMachine, *points: str) -> None:
        self.asked: list[str] = []
        self.returned = threading.Event()
        self._released = threading.Event()
        self._points = points
        self._answer = host.disk_usage
        host.disk_usage = self._ask  # type: ignore[method-assign]

    def _ask(self, point: str) -> DiskUsage:
        self.asked.append(point)
        if point in self._points:
            assert self._released.wait(20)
            self.returned.set()
        return self._answer(point)

    def release(self) -> None:
        self._released.set()
        assert self.returned.wait(20)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("name", "hung", "others"),
    [
        pytest.param("raspberry-pi", ["/mnt/nas"], ["root"], id="a network file system"),
        pytest.param("amd-desktop", ["/mnt/Games (D:)"], ["root", "home"], id="a local disk"),
        pytest.param("amd-desktop", ["/", "/home"], ["mnt_games_d__6ae3fd47"], id="two of three"),
    ],
)
def test_a_file_system_that_hangs_takes_no_other_along(
    machine: MachineOf, name: str, hung: list[str], others: list[str]
) -> None:
    host = machine(name)
    hanging = Hanging(host, *hung)
    collector = DiskPlugin(host, Selection(include=("/", "/home", *hung, "/mnt/Games*")))

    values = collector.collect()

    assert [values[f"{mount_segment(point)}.used"] for point in hung] == [None] * len(hung)
    assert None not in [values[f"{segment}.used"] for segment in others]
    assert collector.troubles() == dict.fromkeys(hung, "it does not answer")
    hanging.release()


@pytest.mark.usefixtures("impatient")
def test_a_file_system_that_hangs_is_not_asked_again_until_it_answers(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    hanging = Hanging(host, "/home")
    collector = DiskPlugin(host)
    collector.collect()
    collector.collect()
    assert hanging.asked.count("/home") == 1
    hanging.release()
    while collector._usage.hung:
        threading.Event().wait(0.01)

    values = collector.collect()

    assert values["home.used"] is not None
    assert collector.troubles() == {}


@pytest.mark.usefixtures("impatient")
def test_a_subvolume_that_hangs_takes_no_other_along(
    machine: MachineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = machine("amd-desktop")
    text = (host.root / MOUNTS).read_text()
    host.write(MOUNTS, text + "99 20 0:99 /@data /data rw - btrfs /dev/sdz1 rw\n")
    host.answer("space", "/data", "1000", "500", "500")
    released = threading.Event()
    is_folder = host._files.is_folder
    monkeypatch.setattr(
        host._files,
        "is_folder",
        lambda path: released.wait(20) if path == "data" else is_folder(path),
    )

    values = DiskPlugin(host).collect()

    assert values["root.used"] is not None
    released.set()


def test_datasets_of_a_pool_are_shown_once(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("container")
    datasets = "".join(
        f"{40 + number} 30 0:{50 + number} / /var/lib/docker/zfs/graph/{number} rw - "
        f"zfs tank/docker/{number}@snapshot rw\n"
        for number in range(39)
    )
    host.write(
        MOUNTS,
        "30 1 0:40 / / rw - zfs tank/ROOT/debian rw\n"
        "31 30 0:41 / /backup rw - zfs vault/backup rw\n" + datasets,
    )
    host.answer("space", "/", "1000", "500", "500")
    host.answer("space", "/backup", "1000", "500", "500")

    assert mounts(screen(DiskPlugin(host))) == {"/", "/backup"}


def test_a_mount_over_a_mount_hides_it(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    text = (host.root / MOUNTS).read_text()
    host.write(MOUNTS, text + "99 20 0:99 / /boot/firmware rw - tmpfs tmpfs rw\n")

    assert mounts(screen(DiskPlugin(host))) == {"/"}


@pytest.mark.parametrize(
    "over",
    [
        pytest.param(
            "43 41 8:7 / /srv rw - ext4 /dev/sda7 rw\n", id="over the mount that it is on"
        ),
        pytest.param(
            "43 41 8:7 / /srv/a rw - ext4 /dev/sda7 rw\n", id="over a folder between them"
        ),
    ],
)
def test_a_mount_below_one_that_is_hidden_is_hidden_too(
    machine: MachineOf, screen: ScreenOf, over: str
) -> None:
    host = machine("raspberry-pi")
    below = "41 20 8:5 / /srv rw - ext4 /dev/sda5 rw\n42 41 8:6 / /srv/a/b rw - ext4 /dev/sda6 rw\n"
    host.write(MOUNTS, (host.root / MOUNTS).read_text() + below)
    for point in ("/srv", "/srv/a", "/srv/a/b"):
        host.answer("space", point, "1000", "500", "500")
    shown = screen(DiskPlugin(host))
    before = mounts(shown)

    host.write(MOUNTS, (host.root / MOUNTS).read_text() + over)
    shown.look()

    assert "/srv/a/b" in before
    assert "/srv/a/b" not in mounts(shown)


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
