"""Fans."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins._sensors import SensorCollector

if TYPE_CHECKING:
    from companion_agent.platforms.base import Sensor


class FanCollector(SensorCollector):
    """Reads every fan's speed, in rpm."""

    name: ClassVar[str] = "fan"
    interval: ClassVar[float] = 30
    kind: ClassVar[str] = "fan.speed"
    # A fan gives two pulses a turn, so that a steady one reads 20 rpm more or less each time.
    resolution: ClassVar[float] = 1
    deadband: ClassVar[float] = 25

    def sense(self) -> list[Sensor]:
        """Read every fan."""
        return self.platform.fans()
