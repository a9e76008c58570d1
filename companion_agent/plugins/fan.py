"""Fans."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins.sensors import SensorCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.base import Sensor


class FanPlugin(SensorCollector):
    """Reads every fan's speed, in rpm."""

    name: ClassVar[str] = "fan"
    interval: ClassVar[float] = 30
    kind: ClassVar[str] = "fan.speed"
    # A fan gives two pulses a turn, so that a steady one reads 20 rpm more or less each time.
    resolution: ClassVar[float] = 1
    deadband: ClassVar[float] = 25

    def sense(self, wanted: Callable[[str], bool]) -> list[Sensor]:
        """Read the fans."""
        return self.source.fans(wanted)
