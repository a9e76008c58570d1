"""How well the disks are, and the arrays that they are part of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from companion_agent.platforms.base import DiskArray, DiskHealth, Platform

# What a disk only measures while it is awake; the rest stays as it was.
_WHILE_AWAKE = frozenset({"temperature"})
_LAST_OF_SERIAL = 4


class DiskHealthPlugin(Collector):
    """Reads what disks say of themselves, and whether arrays lack one.

    Each disk is a device below this host: it has a model and a serial number, and may be moved to
    another host.
    """

    name: ClassVar[str] = "disk_health"
    interval: ClassVar[float] = 60
    selects: ClassVar[str] = "disk or array"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._left_out: Mapping[str, str] = {}
        self._troubles: Mapping[str, str] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read every selected disk and array.

        Raises:
            Unavailable: There is none, or none tells anything.
        """
        arrays = self.platform.disk_arrays(lambda name: self.wants(title(name)))
        absent: Unavailable | None = None
        disks: list[DiskHealth] = []
        try:
            disks = self.platform.disk_health(self.selection)
        except Unavailable as error:
            if not arrays:
                raise
            absent = error
        # One with two paths to it, or an NVMe with two namespaces.
        told = list({disk.id: disk for disk in reversed(disks) if disk.values}.values())[::-1]
        self._left_out = {title(disk.name): disk.missing for disk in disks if not disk.values}
        if absent:
            self._left_out = {"disks": absent.reason}
        self._troubles = {title(disk.name): disk.missing for disk in told if disk.missing}
        if not told and not arrays:
            reasons = "; ".join(f"{name}: {why}" for name, why in self._left_out.items())
            raise self.none_selected("disk or array", reasons)
        self.describe(
            (
                tuple((one.id, one.name, one.model, one.serial, *one.values) for one in told),
                tuple((one.name, *_told(one)) for one in arrays),
            ),
            lambda: (*_of_disks(told), *_of_arrays(arrays)),
        )
        return {**dict(_disk_values(told)), **dict(_array_values(arrays))}

    def troubles(self) -> Mapping[str, str]:
        """Name the disks that have not answered lately."""
        return self._troubles

    def left_out(self) -> Mapping[str, str]:
        """Name the disks that have never told anything."""
        return self._left_out


def _of_disks(disks: Iterable[DiskHealth]) -> Iterator[Reading]:
    disks = list(disks)
    models = Counter(disk.model for disk in disks)
    for disk in disks:
        name = disk.model or disk.name
        if models[disk.model] > 1:
            name = f"{name} …{disk.serial[-_LAST_OF_SERIAL:] or disk.name}"
        device = Device(f"disk-{disk.id}", name=title(name), model=disk.model, serial=disk.serial)
        for key in disk.values:
            yield Reading(
                f"{disk.id}.{key}", kind=f"disk_health.{key}", device=device, resolution=1
            )


def _disk_values(disks: Iterable[DiskHealth]) -> Iterator[tuple[str, Value]]:
    for disk in disks:
        for key, value in disk.values.items():
            unknown = disk.missing or (disk.asleep and key in _WHILE_AWAKE)
            yield f"{disk.id}.{key}", None if unknown else value


def _of_arrays(arrays: Iterable[DiskArray]) -> Iterator[Reading]:
    for array in arrays:
        for key, value in _told(array).items():
            yield Reading(
                f"array.{segment(array.name)}.{key}",
                kind=f"disk_health.array_{key}",
                of=title(array.name),
                resolution=0 if isinstance(value, str) else 1,
            )


def _array_values(arrays: Iterable[DiskArray]) -> Iterator[tuple[str, Value]]:
    for array in arrays:
        for key, value in _told(array).items():
            yield f"array.{segment(array.name)}.{key}", value


def _told(array: DiskArray) -> dict[str, Value]:
    told: dict[str, Value] = {"state": array.state}
    if array.degraded is not None:
        told["degraded"] = array.degraded
    if array.reports_progress:
        told["progress"] = array.progress
    if array.errors is not None:
        told["errors"] = array.errors
    return told
