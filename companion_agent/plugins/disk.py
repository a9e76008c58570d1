"""Space on the mounted file systems."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import mount_segment, title
from companion_agent.plugins.rates import sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import DiskUsage, Mount, Platform

_MIB = 1024 * 1024
_PATIENCE = 2.0


class DiskPlugin(Collector):
    """Reads how full the file systems are.

    Without a selection these are the ones on disks of this machine, each once. Others (network
    file systems, tmpfs, the boot loader's) are reported when an include pattern names them.
    """

    name: ClassVar[str] = "disk"
    interval: ClassVar[float] = 60
    selects: ClassVar[str] = "mount point"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._remote: dict[str, _Question] = {}
        self._sizes: dict[str, int] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read the space of every selected file system.

        Raises:
            Unavailable: There is no file system, or none is selected.
        """
        values: dict[str, Value] = {}
        sizes: dict[str, int] = {}
        for mount in self.platform.mounts():
            if not self.wants(title(mount.point), shown=mount.shown):
                continue
            usage = self._usage(mount)
            # Pseudo file systems, which a wide pattern may include, have no size.
            if usage is None or usage.total > 0:
                known = self._sizes.get(mount.point, 0)
                sizes[mount.point] = usage.total if usage else known
                values.update(_values(mount_segment(mount.point), usage))
        self._remote = {point: one for point, one in self._remote.items() if point in sizes}
        if not sizes:
            raise self.none_selected("file system", "no disk is mounted")
        self._sizes = sizes
        self.describe(
            tuple(sizes.items()),
            lambda: (one for point, size in sizes.items() for one in _readings(point, size)),
        )
        return values

    def _usage(self, mount: Mount) -> DiskUsage | None:
        if mount.remote:
            question = self._remote.setdefault(mount.point, _Question(self.platform, mount.point))
            return question.ask()
        return _ask(self.platform, mount.point)


def _ask(platform: Platform, point: str) -> DiskUsage | None:
    try:
        return platform.disk_usage(point)
    except (OSError, ValueError):
        # Pulled out without being unmounted, or not for our eyes.
        return None


class _Question:
    """Asks a file system that may never answer.

    The thread is one of its own: a call into a dead network file system cannot be ended. While it
    hangs, no other one is sent after it.
    """

    def __init__(self, platform: Platform, point: str) -> None:
        self._platform = platform
        self._point = point
        self._thread: threading.Thread | None = None
        self._answer: DiskUsage | None = None

    def ask(self) -> DiskUsage | None:
        if self._thread is None or not self._thread.is_alive():
            self._answer = None
            self._thread = threading.Thread(target=self._run, name="disk-usage", daemon=True)
            self._thread.start()
            self._thread.join(_PATIENCE)
        return None if self._thread.is_alive() else self._answer

    def _run(self) -> None:
        self._answer = _ask(self._platform, self._point)


def _values(segment: str, usage: DiskUsage | None) -> dict[str, Value]:
    if usage is None:
        return {f"{segment}.{key}": None for key in ("used_percent", "used", "free", "total")}
    # As df counts: what is reserved for root is neither used nor free.
    usable = usage.used + usage.free
    return {
        f"{segment}.used_percent": usage.used / usable * 100 if usable > 0 else None,
        f"{segment}.used": sendable(usage.used),
        f"{segment}.free": sendable(usage.free),
        f"{segment}.total": sendable(usage.total),
    }


def _readings(point: str, size: int) -> list[Reading]:
    segment, of = mount_segment(point), title(point)
    # Logs and journals write a few MiB an hour; a fiftieth of a percent of the disk matters to
    # nobody either.
    noise = max(10 * _MIB, size / 5000)
    return [
        Reading(
            f"{segment}.{key}",
            kind=f"disk.{key}",
            of=of,
            resolution=resolution,
            deadband=deadband,
        )
        for key, resolution, deadband in (
            ("used_percent", 0.1, 0.1),
            ("used", _MIB, noise),
            ("free", _MIB, noise),
            ("total", _MIB, 0),
        )
    ]
