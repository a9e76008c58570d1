"""Mounted file systems, from `/proc/self/mountinfo`. Source: proc_pid_mountinfo(5).

A file system is shown when it lies on a device of this machine and can fill up. That is told from
what it has (a device) rather than from a list of all that is not a disk, which is never complete.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.platforms.base import Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Images are full by nature; overlays show the space of a file system that is shown itself.
_IMAGES = frozenset({"squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs", "overlay", "aufs"})
# Real ones whose source is not a path in /dev: pools and raw flash.
_WITHOUT_DEVICE_FILE = frozenset({"zfs", "bcachefs", "ubifs", "jffs2"})
# One file system with many roots: a root other than "/" is no bind mount there.
_WITH_SUBVOLUMES = frozenset({"btrfs", "bcachefs"})
# Only the boot loader writes here, and never much.
_BOOT_LOADER = frozenset({"/boot/efi", "/efi", "/boot/esp"})
_REMOTE = frozenset(
    [
        "9p",
        "afs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "sshfs",
    ]
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class MountLine(NamedTuple):
    """A line of mountinfo that matters: which device, which part of it, where, and what it is.

    Attributes:
        id: Its number, and `parent` that of the mount that it lies on.
    """

    id: bytes
    parent: bytes
    device: str
    root: str
    point: str
    type: str
    source: str
    read_only: bool


def parse_mountinfo(data: bytes) -> list[MountLine]:
    """Read mountinfo; lines that are not as documented are left out."""
    lines = []
    for line in data.split(b"\n"):
        fields = line.split(b" ")
        # Six fields, any number of optional ones, a lone dash, three fields.
        try:
            dash = fields.index(b"-", 6)
            number, parent, device, root, point, options = fields[:6]
            kind, source = fields[dash + 1 : dash + 3]
        except ValueError:
            continue
        where = _plain(point)
        if where.startswith("/"):
            read_only = b"ro" in options.split(b",")
            lines.append(
                MountLine(
                    number,
                    parent,
                    _plain(device),
                    _plain(root),
                    where,
                    _plain(kind),
                    _plain(source),
                    read_only,
                )
            )
    return lines


def _plain(field: bytes) -> str:
    # Blanks, tabs, newlines and backslashes are written as octal numbers. Bytes that are not
    # UTF-8 must survive, or the mount point could not be asked for its space.
    if b"\\" in field:
        field = _ESCAPE.sub(lambda found: bytes((int(found[1], 8) & 255,)), field)
    return field.decode("utf-8", "surrogateescape")


def choose(lines: list[MountLine], is_folder: Callable[[str], bool]) -> list[Mount]:
    """Tell which mounts are shown.

    Args:
        lines: What is mounted, in the kernel's order.
        is_folder: Tells whether a mount point is a folder; containers mount single files.

    Returns:
        Every mount point once, in the kernel's order; what is mounted over another hides it.
    """
    visible = _visible(_reachable(lines))
    best: dict[str, MountLine] = {}
    for line in visible.values():
        if _is_disk(line) and (line.root == "/" or line.point == "/" or is_folder(line.point)):
            other = best.get(_store(line))
            if other is None or _rank(line) < _rank(other):
                best[_store(line)] = line
    shown = {line.point for line in best.values()}
    if not shown and "/" in visible:
        shown = {"/"}
    return [Mount(line.point, line.point in shown) for line in visible.values()]


def _reachable(lines: list[MountLine]) -> list[MountLine]:
    """Leave out what lies below a mount that another one was put over.

    Its path leads into the other one, whose space would be taken for its own.
    """
    by_number = {line.id: line for line in lines}
    above: dict[bytes, set[str]] = {}
    for line in lines:
        above.setdefault(line.parent, set()).add(line.point)
    covered: dict[bytes, bool] = {}

    def is_covered(line: MountLine) -> bool:
        if line.id not in covered:
            # Numbers that go round in a circle end here.
            covered[line.id] = False
            parent = by_number.get(line.parent)
            covered[line.id] = (
                not above[line.parent].isdisjoint(_folders_above(line.point))
                or (
                    parent is not None
                    and _is_replaced(parent, above)
                    and line.point != parent.point
                )
                or (parent is not None and is_covered(parent))
            )
        return covered[line.id]

    return [line for line in lines if not is_covered(line)]


def _is_replaced(line: MountLine, above: Mapping[bytes, set[str]]) -> bool:
    """Tell whether another mount was put over the whole of one."""
    return line.point in above.get(line.id, ())


def _folders_above(point: str) -> Iterator[str]:
    """Return the folders that a path leads through, without the root."""
    while point := point.rpartition("/")[0]:
        yield point


def _visible(lines: list[MountLine]) -> dict[str, MountLine]:
    """Return what is seen at each mount point: the last that was mounted there."""
    visible: dict[str, MountLine] = {}
    for line in lines:
        if line.type == "autofs":
            continue
        covered = visible.get(line.point)
        # A part of the same file system, bound over the whole: systemd's PrivateTmp= does that to
        # a /tmp on a partition of its own. The space is still that of the whole.
        if covered and covered.device == line.device:
            visible[line.point] = line._replace(root=covered.root)
        else:
            visible[line.point] = line
    return visible


def _store(line: MountLine) -> str:
    """Name what a file system takes its space from: its device, or the pool of a ZFS dataset."""
    # ZFS draws a device number for each dataset, though all share the pool's free space.
    return line.source.partition("/")[0] if line.type == "zfs" else line.device


def _rank(line: MountLine) -> tuple[bool, int, int]:
    """Prefer the root, then the mount that shows the most of the device, then the shortest."""
    return line.point != "/", len(line.root), len(line.point)


def _is_disk(line: MountLine) -> bool:
    if line.point == "/":
        # Whatever the root is (an overlay in a container, a tmpfs), its space is the host's.
        # A read-only image is not: it is always full.
        return not (line.read_only and line.type in _IMAGES)
    if line.type in _IMAGES or line.point in _BOOT_LOADER or _is_remote(line):
        return False
    if not line.source.startswith("/dev/") and line.type not in _WITHOUT_DEVICE_FILE:
        return False
    return line.root == "/" or line.type in _WITH_SUBVOLUMES


def _is_remote(line: MountLine) -> bool:
    # "fuse.sshfs" and its like are answered by a process that may hang. "fuseblk" is a disk.
    return line.type in _REMOTE or line.type.startswith("fuse.")
