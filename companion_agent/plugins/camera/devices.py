"""Cameras of this machine, and which programs of this user have one open. No camera is opened.

Sources: Video for Linux API ("Opening and Closing Devices"), udev's v4l_id.c for the capabilities
in its database, proc_pid_fd(5).
"""

from __future__ import annotations

from contextlib import suppress
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

assert sys.platform == "linux"

PREFIX = "video"
_CAPABILITIES = "E:ID_V4L_CAPABILITIES="
# It opens cameras to list them, and never to film; with libcamera it keeps them open.
_LISTS_ONLY = frozenset({"wireplumber"})


def cameras(root: Path) -> list[Path]:
    """List what films: not what decodes or plays, as on a Raspberry Pi, nor what is made up.

    Args:
        root: Where `/dev`, `/sys` and `/run` are.
    """
    return [
        device
        for device in sorted((root / "dev").glob(f"{PREFIX}[0-9]*"))
        if _films(root, device) and not _is_virtual(root, device)
    ]


def programs_with(devices: Collection[Path], proc: Path) -> list[str]:
    """Return the programs of this user that have one of some devices open, by name.

    Args:
        devices: The devices.
        proc: Where `/proc` is.
    """
    wanted = {}
    for device in devices:
        with suppress(OSError):
            wanted[_identity(device.stat())] = device.name
    names = set(wanted.values())
    return sorted(
        {
            _program(process)
            for process in _own_processes(proc)
            if any(_identity(found) in wanted for found in _open_files(process, names))
        }
        - _LISTS_ONLY
    )


def _films(root: Path, device: Path) -> bool:
    """Tell by udev's database, as far as there is one, whether a device captures and no more."""
    with suppress(OSError):
        number = device.stat().st_rdev
        entry = root / "run/udev/data" / f"c{os.major(number)}:{os.minor(number)}"
        for line in entry.read_text("utf-8", "replace").splitlines():
            if line.startswith(_CAPABILITIES):
                found = line.removeprefix(_CAPABILITIES).split(":")
                return "capture" in found and "video_output" not in found
    return True


def _is_virtual(root: Path, device: Path) -> bool:
    """Tell whether programs film into it, as into v4l2loopback's."""
    place = (root / "sys/class/video4linux" / device.name).resolve()
    return "/devices/virtual/" in str(place)


def _own_processes(proc: Path) -> Iterator[Path]:
    own = os.geteuid()
    for process in proc.iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                if process.stat().st_uid == own:
                    yield process


def _open_files(process: Path, names: Collection[str]) -> Iterator[os.stat_result]:
    """Return what a process has open under one of some names.

    In a container of a program's own a device has another path, and its name; asking every file
    what it is would wait for dead network shares.
    """
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(descriptor).rpartition("/")[2] in names:  # noqa: PTH115  (of a pipe)
                    yield descriptor.stat()


def _identity(found: os.stat_result) -> tuple[int, int]:
    """Return what tells a device from others, wherever its file is."""
    return (0, found.st_rdev) if found.st_rdev else (found.st_dev, found.st_ino)


def _program(process: Path) -> str:
    with suppress(OSError):
        # Several are one text, with commas between.
        name = (process / "comm").read_text("utf-8", "replace").replace(",", " ")
        return " ".join(name.split())
    return process.name
