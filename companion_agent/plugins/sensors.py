"""What temperatures and fans have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.graphics import device_of
from companion_agent.plugins.hardware_monitor import monitor_of
from companion_agent.plugins.naming import segment, title

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from companion_agent.models import Device, Selection
    from companion_agent.platforms.base import Platform, Sensor
    from companion_agent.platforms.libre_hardware_monitor import LibreHardwareMonitor
    from companion_agent.plugins.base import PluginContext


class SensorCollector(Collector):
    """Reads sensors that all are of one kind.

    Class attributes:
        kind: The kind of its readings.
        resolution: See `Reading`.
        deadband: See `Reading`.

    Attributes:
        source: What is asked for them.
    """

    selects: ClassVar[str] = "chip and label"
    kind: ClassVar[str]
    resolution: ClassVar[float]
    deadband: ClassVar[float]

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        monitor: LibreHardwareMonitor | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self.source = monitor or platform
        self._left_out: Mapping[str, str] = {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it, with LibreHardwareMonitor in the system's place where that is configured."""
        return cls(context.platform, context.selection, monitor_of(context))

    def left_out(self) -> Mapping[str, str]:
        """Name the inputs at whose end there seems to be nothing."""
        return self._left_out

    @abstractmethod
    def sense(self, wanted: Callable[[str], bool]) -> list[Sensor]:
        """Read the sensors whose labels are wanted, doubtful ones too, and touch no other.

        Raises:
            Unavailable: There are none.
        """

    def collect(self) -> Mapping[str, Value]:
        """Read every selected sensor.

        Raises:
            Unavailable: There is no sensor, or none is selected.
        """
        found_all = self.sense(lambda label: self.wants(title(label)))
        self._left_out = {title(one.label): one.doubt for one in found_all if one.doubt}
        sensors = [one for one in found_all if not one.doubt]
        if not sensors:
            raise self.none_selected("sensor")
        found = {
            f"{segment(one.chip)}.{segment(one.name)}": (title(one.label), self._device(one))
            for one in sensors
        }
        self.describe(
            tuple(found.items()),
            lambda: (
                Reading(
                    key,
                    kind=self.kind,
                    of=label,
                    device=device,
                    resolution=self.resolution,
                    deadband=self.deadband,
                )
                for key, (label, device) in found.items()
            ),
        )
        return {f"{segment(one.chip)}.{segment(one.name)}": one.value for one in sensors}

    def _device(self, sensor: Sensor) -> Device | None:
        """Return the graphics card that a sensor is on, which is a device of its own."""
        card = self.platform.graphics_card(sensor.card) if sensor.card else None
        return device_of(card) if card else None
