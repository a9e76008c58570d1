"""The sources of readings, one module for each.

A collector decides what is reported and how it is rounded; what differs by operating system is
asked of `companion_agent.platforms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.agent import AgentCollector, Counters
from companion_agent.plugins.battery import BatteryCollector
from companion_agent.plugins.cpu import CpuCollector
from companion_agent.plugins.disk import DiskCollector
from companion_agent.plugins.disk_io import DiskIoCollector
from companion_agent.plugins.fan import FanCollector
from companion_agent.plugins.i2c.collector import I2cCollector
from companion_agent.plugins.memory import MemoryCollector
from companion_agent.plugins.network import NetworkCollector
from companion_agent.plugins.raspberry_pi import RaspberryPiCollector
from companion_agent.plugins.session import SessionCollector
from companion_agent.plugins.system import SystemCollector
from companion_agent.plugins.temperature import TemperatureCollector
from companion_agent.plugins.wifi import WifiCollector

if TYPE_CHECKING:
    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import Collector
    from companion_agent.plugins.i2c.overrides import Tuned
    from companion_agent.plugins.i2c.settings import I2cConfig

COLLECTORS: dict[str, type[Collector]] = {
    collector.name: collector
    for collector in (
        CpuCollector,
        MemoryCollector,
        DiskCollector,
        DiskIoCollector,
        NetworkCollector,
        TemperatureCollector,
        FanCollector,
        BatteryCollector,
        SystemCollector,
        SessionCollector,
        WifiCollector,
        RaspberryPiCollector,
        AgentCollector,
        I2cCollector,
    )
}
"""Every collector by its name, in the order of the catalogue in `docs/protocol.md`."""


def create(
    name: str,
    platform: Platform,
    selection: Selection | None = None,
    counters: Counters | None = None,
    sensors: I2cConfig | None = None,
    tuned: Tuned | None = None,
) -> Collector:
    """Make a collector.

    Args:
        name: A key of `COLLECTORS`.
        platform: The operating system.
        selection: What the user's `include` and `exclude` say.
        counters: What the agent counts; only the collector `agent` reads it. Without it that
            collector is made like the others and reports zeros.
        sensors: The sensors that the configuration names; only the collector `i2c` reads it.
        tuned: What was changed of them from Home Assistant; likewise.

    Raises:
        KeyError: There is no such collector.
    """
    if name == AgentCollector.name:
        return AgentCollector(platform, selection, counters)
    if name == I2cCollector.name:
        return I2cCollector(platform, selection, sensors, tuned=tuned)
    return COLLECTORS[name](platform, selection)
