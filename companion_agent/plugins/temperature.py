"""Temperatures inside the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins.sensors import SensorCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.base import Sensor


class TemperaturePlugin(SensorCollector):
    """Reads every temperature sensor, in °C."""

    name: ClassVar[str] = "temperature"
    interval: ClassVar[float] = 30
    kind: ClassVar[str] = "temperature.sensor"
    # Drivers write thousandths and resolve 1, 0.5 or 0.125 °C; the last step flickers.
    resolution: ClassVar[float] = 0.1
    deadband: ClassVar[float] = 0.5

    def sense(self, wanted: Callable[[str], bool]) -> list[Sensor]:
        """Read the temperatures."""
        return self.source.temperatures(wanted)
