"""What a user would see of a collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from companion_agent.plugins.base import Collector

from .agent_machines import FakeMachine

if TYPE_CHECKING:
    from companion_agent.models import Reading, Value


class Screen:
    """What a user sees of a collector: announced readings with settled values."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.shown: dict[str, Value] = {}
        collector.probe()

    def look(self) -> dict[str, Any]:
        values = self.collector.collect()
        readings = self.collector.readings()
        assert set(values) == {reading.key for reading in readings}
        self.shown = {
            reading.key: reading.settle(values[reading.key], self.shown.get(reading.key))
            for reading in readings
        }
        return self.shown

    def reading(self, key: str) -> Reading:
        return next(reading for reading in self.collector.readings() if reading.key == key)


MachineOf = Callable[[str], FakeMachine]
"""Makes one of the machines."""

ScreenOf = Callable[[Collector], Screen]
"""Looks at a collector."""
