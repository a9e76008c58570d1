"""What the disks read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title
from companion_agent.plugins.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from companion_agent.platforms.base import Platform

# A sector is 512 bytes, over ten seconds 51 B/s; a page a second is the journal at rest.
_RESOLUTION = 100
_DEADBAND = 4096


class DiskIoPlugin(Collector):
    """Reads the rates of whole disks.

    Without a selection these are disks with hardware behind them and software RAID. Partitions
    and volumes, whose traffic is a part of theirs, are reported when an include pattern names
    them.
    """

    name: ClassVar[str] = "disk_io"
    interval: ClassVar[float] = 10
    selects: ClassVar[str] = "device"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._rates = Rates()

    def collect(self) -> Mapping[str, Value]:
        """Read the rates of every selected disk since the last time.

        Raises:
            Unavailable: There is no disk, or none is selected.
        """
        counters = {}
        names = []
        for disk in self.platform.disks():
            if self.wants(disk.name, shown=disk.shown):
                names.append(disk.name)
                key = segment(disk.name)
                counters[f"{key}.read_rate"] = disk.read
                counters[f"{key}.write_rate"] = disk.written
        rates = self._rates.measure(counters)
        if not names:
            raise self.none_selected(
                "disk", "there is no disk", "a container may not see its host's disks"
            )
        self.describe(tuple(names), lambda: _readings(names))
        return rates


def _readings(names: list[str]) -> Iterator[Reading]:
    for name in dict.fromkeys(names):
        for key in ("read_rate", "write_rate"):
            yield Reading(
                f"{segment(name)}.{key}",
                kind=f"disk_io.{key}",
                of=title(name),
                resolution=_RESOLUTION,
                deadband=_DEADBAND,
            )
