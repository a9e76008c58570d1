"""A machine with I²C buses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from companion_agent.platforms.linux.platform import LinuxPlatform
from companion_agent.plugins.i2c.place import Place
from companion_agent.plugins.i2c.plugin import I2cPlugin
from companion_agent.plugins.i2c.settings import I2cConfig, SensorConfig, Tuning
from support.clock import ManualClock
from support.i2c import FakeI2cBus, FakeI2cDevice, FakeI2cKernel

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.models import Value
    from companion_agent.plugins.i2c.overrides import Overrides

# What smbus2 speaks to is Linux's own.
collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []

D = TypeVar("D", bound=FakeI2cDevice)


class I2cMachine:
    """A machine whose buses are simulated."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock(5000.0)
        self.kernel = FakeI2cKernel(self.clock)
        self.platform = LinuxPlatform(root)

    def bus(self, number: int = 1) -> FakeI2cBus:
        path = self.root / "dev" / f"i2c-{number}"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return self.kernel.buses.setdefault(str(path), FakeI2cBus(self.clock))

    def plug(self, address: int, device: D, number: int = 1) -> D:
        self.bus(number).devices[address] = device
        return device

    def collector(
        self, *sensors: SensorConfig, tuned: Overrides | None = None, **more: Any
    ) -> I2cPlugin:
        config = I2cConfig(sensors, **more)
        return I2cPlugin(self.platform, None, config, self.clock.sleep, self.clock, tuned)

    def read(self, collector: I2cPlugin, after: float = 60) -> dict[str, Value]:
        """Read as the agent does, settled; nothing is left open. Without the settings."""
        values = self.read_all(collector, after)
        settings = settings_of(collector)
        return {key: value for key, value in values.items() if key not in settings}

    def read_all(self, collector: I2cPlugin, after: float = 60) -> dict[str, Value]:
        """Read as the agent does, the settings too."""
        self.clock.now += after
        values = collector.collect()
        readings = collector.readings()
        assert {reading.key for reading in readings} == set(values)
        assert self.kernel.open_files == 0
        return {reading.key: reading.settle(values[reading.key], None) for reading in readings}


def settings_of(collector: I2cPlugin) -> set[str]:
    """Return the keys of the readings that say how sensors are tuned."""
    return {reading.key for reading in collector.readings() if reading.kind.startswith("i2c.")}


def sensor(kind: str, address: int, bus: int = 1, **more: Any) -> SensorConfig:
    """Name a sensor as a configuration does."""
    tuning = {name: more.pop(name) for name in ("offsets", "interval", "average") if name in more}
    place = Place(bus, address, more.pop("multiplexer", None), more.pop("channel", 0))
    return SensorConfig(kind, place, tuning=Tuning(**tuning), **more)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> I2cMachine:
    made = I2cMachine(tmp_path)
    monkeypatch.setattr("smbus2.SMBus", made.kernel.smbus())
    return made
