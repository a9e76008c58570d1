"""What the disks read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins._choice import chosen
from companion_agent.plugins._following import FollowingCollector
from companion_agent.plugins._names import segment, title
from companion_agent.plugins._rates import Rates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import Platform

# A sector is 512 bytes, over ten seconds 51 B/s; a page a second is the journal at rest.
_RESOLUTION = 100
_DEADBAND = 4096


class DiskIoCollector(FollowingCollector):
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
        self._names: tuple[str, ...] = ()

    def collect(self) -> Mapping[str, Value]:
        """Read the rates of every selected disk since the last time.

        Raises:
            Unavailable: There is no disk, or none is selected.
        """
        counters = {}
        names = []
        for disk in self.platform.disks():
            if chosen(self.selection, disk.name, shown=disk.shown):
                names.append(disk.name)
                key = segment(disk.name, fold_case=False)
                counters[f"{key}.read_rate"] = disk.read
                counters[f"{key}.write_rate"] = disk.written
        rates = self._rates.measure(counters)
        if not names:
            raise Unavailable(
                "no disk is selected" if self.selection.include else "there is no disk",
                "a container may not see its host's disks",
            )
        self._describe(tuple(names))
        return rates

    def _describe(self, names: tuple[str, ...]) -> None:
        if names != self._names:
            self._names = names
            self.described = tuple(
                Reading(
                    f"{segment(name)}.{key}",
                    kind=f"disk_io.{key}",
                    of=title(name),
                    resolution=_RESOLUTION,
                    deadband=_DEADBAND,
                )
                for name in dict.fromkeys(names)
                for key in ("read_rate", "write_rate")
            )
