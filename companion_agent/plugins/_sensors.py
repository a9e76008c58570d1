"""What the collectors of temperatures and fans have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins._choice import chosen
from companion_agent.plugins._following import FollowingCollector
from companion_agent.plugins._names import segment, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import Platform, Sensor


class SensorCollector(FollowingCollector):
    """Reads sensors that all are of one kind.

    Class attributes:
        kind: The kind of its readings.
        resolution: See `Reading`.
        deadband: See `Reading`.
    """

    selects: ClassVar[str] = "chip and label"
    kind: ClassVar[str]
    resolution: ClassVar[float]
    deadband: ClassVar[float]

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._found: dict[str, str] = {}

    @abstractmethod
    def sense(self) -> list[Sensor]:
        """Read the sensors.

        Raises:
            Unavailable: There are none.
        """

    def collect(self) -> Mapping[str, Value]:
        """Read every selected sensor.

        Raises:
            Unavailable: There is no sensor, or none is selected.
        """
        found: dict[str, str] = {}
        values: dict[str, Value] = {}
        for sensor in self.sense():
            label = title(sensor.label)
            if chosen(self.selection, label):
                key = f"{segment(sensor.chip)}.{segment(sensor.name)}"
                found[key] = label
                values[key] = sensor.value
        if not found:
            raise Unavailable(
                "no sensor is selected",
                f"look at 'include' and 'exclude' of the collector '{self.name}'",
            )
        self._describe(found)
        return values

    def _describe(self, found: dict[str, str]) -> None:
        if found != self._found:
            self._found = found
            self.described = tuple(
                Reading(
                    key,
                    kind=self.kind,
                    of=label,
                    resolution=self.resolution,
                    deadband=self.deadband,
                )
                for key, label in found.items()
            )
