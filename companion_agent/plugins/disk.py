"""Space on the mounted file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.platforms.time_limit import TimeLimitedCalls
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import mount_segment, title
from companion_agent.plugins.rates import sendable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from companion_agent.platforms.base import DiskUsage, Platform

_MIB = 1024 * 1024


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
        self._usage: TimeLimitedCalls[str, DiskUsage | None] = TimeLimitedCalls(self._ask)
        self._hung: Collection[str] = ()
        self._sizes: dict[str, int] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read the space of every selected file system.

        Raises:
            Unavailable: There is no file system, or none is selected.
        """
        values: dict[str, Value] = {}
        sizes: dict[str, int] = {}
        labels = {
            mount.point: mount.label
            for mount in self.platform.mounts()
            if self.wants(title(mount.point), shown=mount.shown)
        }
        usages = self._usage.results(list(labels))
        self._hung = self._usage.hung
        for point in labels:
            usage = usages.get(point)
            # Pseudo file systems, which a wide pattern may include, have no size.
            if usage is None or usage.total > 0:
                known = self._sizes.get(point, 0)
                sizes[point] = usage.total if usage else known
                values.update(_values(mount_segment(point), usage))
        if not sizes:
            raise self.none_selected("file system", "no disk is mounted")
        self._sizes = sizes
        self.describe(
            tuple((point, size, labels[point]) for point, size in sizes.items()),
            lambda: (
                one
                for point, size in sizes.items()
                for one in _readings(point, size, labels[point])
            ),
        )
        return values

    def _ask(self, point: str) -> DiskUsage | None:
        try:
            return self.platform.disk_usage(point)
        except (OSError, ValueError):
            # Pulled out without being unmounted, or not readable by the agent's user.
            return None

    def troubles(self) -> Mapping[str, str]:
        """Name the file systems that do not answer."""
        return {title(point): "it does not answer" for point in self._sizes if point in self._hung}


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


def _readings(point: str, size: int, label: str) -> list[Reading]:
    segment, of = mount_segment(point), title(f"{label} ({point})" if label else point)
    # Logs and journals write a few MiB an hour; a fiftieth of a percent of the disk is no news.
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
