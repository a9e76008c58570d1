"""Which sensors hang on this host's buses, and how their values are corrected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BUS = 1
"""The bus on the pins of a Raspberry Pi."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sensor hangs.

    Attributes:
        bus: The N of `/dev/i2c-N`.
        address: Its address, 7 bits.
        multiplexer: The address of the TCA9548A before it; `None` without one.
        channel: Its channel there.
    """

    bus: int
    address: int
    multiplexer: int | None = None
    channel: int = 0

    @property
    def path(self) -> str:
        """A key's segment that no other place on this host has: `1-38`, `1-70-2-38`."""
        if self.multiplexer is None:
            return f"{self.bus}-{self.address:02x}"
        return f"{self.bus}-{self.multiplexer:02x}-{self.channel}-{self.address:02x}"

    def __str__(self) -> str:
        before = (
            ""
            if self.multiplexer is None
            else f", channel {self.channel} of the multiplexer at 0x{self.multiplexer:02x}"
        )
        return f"0x{self.address:02x} on bus {self.bus}{before}"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is done with a sensor's values. It may be replaced while the agent runs.

    Attributes:
        offsets: What is added to a quantity, in its unit.
        interval: Seconds between two measurements; the collector's when `None`.
        average: Of how many measurements a value is the mean.
    """

    offsets: Mapping[str, float] = field(default_factory=dict)
    interval: float | None = None
    average: int = 1


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """One sensor.

    Attributes:
        type: What it is, a key of `companion_agent.plugins.i2c.drivers.DRIVERS`.
        place: Where it hangs.
        name: What it is shown as; after its model when empty.
        shunt: The resistance in ohms that an INA219 measures current by.
        tuning: What is done with its values.
    """

    type: str
    place: Place
    name: str = ""
    shunt: float = 0.1
    tuning: Tuning = field(default_factory=Tuning)


@dataclass(frozen=True, slots=True)
class I2cConfig:
    """What the configuration says of the I²C buses.

    Attributes:
        sensors: The sensors that are there for certain.
        scan: Whether known sensors are also looked for.
        buses: Where they are looked for.
        multiplexers: The addresses of multiplexers there, behind which they are looked for too.
    """

    sensors: tuple[SensorConfig, ...] = ()
    scan: bool = False
    buses: tuple[int, ...] = (DEFAULT_BUS,)
    multiplexers: tuple[int, ...] = ()
