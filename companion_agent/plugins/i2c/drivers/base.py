"""What every driver of a sensor is, and what can go wrong with one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from companion_agent.protocol.errors import PilotError

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link

T = TypeVar("T")

Steps = Generator[float, None, T]
"""Work at a sensor that has to wait: yields seconds, returns its outcome.

Waiting is left to what runs it, so that all sensors convert at the same time and the waiting can
be bounded. `companion_agent.plugins.i2c.scheduler` does.
"""

Values = Mapping[str, float]
"""Values by quantity, in the units of the catalogue in `docs/protocol.md`."""


class SensorError(PilotError):
    """A sensor did not do what its data sheet says; the text says what."""


class ChecksumError(SensorError):
    """What arrived is not what was sent."""


class BusyError(SensorError):
    """The sensor has not finished long after it must have."""


class WrongChipError(SensorError):
    """Something else answers at the address."""


class OutOfRangeError(SensorError):
    """The value is none that the sensor can measure."""


class NotYet(PilotError):  # noqa: N818 - a finding, not a mistake
    """There is no new value yet, as is to be expected."""


class DriverSettings(Protocol):
    """What a driver takes from a sensor's section of the configuration."""

    @property
    def shunt(self) -> float:
        """The resistance in ohms by which an INA219 measures current."""


class Driver(ABC):
    """One sensor, spoken to as its data sheet says.

    Everything that speaks to the sensor raises `SensorError` for an answer that is none, and
    `OSError` when the bus fails.

    Class attributes:
        model: What is printed on it.
        manufacturer: Who makes it.
        addresses: Where it can be; the first is the usual one.
        ranges: Its quantities, and the least and the greatest value that it can measure of each.
    """

    model: ClassVar[str]
    manufacturer: ClassVar[str]
    addresses: ClassVar[tuple[int, ...]]
    ranges: ClassVar[Mapping[str, tuple[float, float]]]

    def __init__(self, config: DriverSettings) -> None:
        self.config = config

    @abstractmethod
    def setup(self, link: Link) -> Steps[None]:
        """Make it ready; after power-on, and again after anything went wrong."""

    @abstractmethod
    def measure(self, link: Link) -> Steps[Values]:
        """Measure once.

        Raises:
            NotYet: It measures by itself, and has nothing new.
        """

    @classmethod
    def identify(cls, link: Link) -> Steps[bool | None]:
        """Tell whether this is the sensor, without changing anything in whatever else it may be.

        Returns:
            `None` when that cannot be told.
        """
        yield from ()
        return None


def checked(ranges: Mapping[str, tuple[float, float]], values: Values) -> Values:
    """Return values that a sensor can measure.

    Raises:
        OutOfRangeError: One of them is none.
    """
    for quantity, value in values.items():
        least, most = ranges[quantity]
        # The other way round, what is not a number would pass.
        if not least <= value <= most:
            raise OutOfRangeError(f"a {quantity} of {value:g} is not from {least:g} to {most:g}")
    return values


def crc8(data: bytes) -> int:
    """Return the checksum of Sensirion's and Aosong's sensors.

    CRC-8 with the polynomial x⁸ + x⁵ + x⁴ + 1 (0x31) and the start value 0xFF: SHT3x-DIS data
    sheet section 4.12, table 20 (example: 0xBEEF → 0x92), SHT4x "Checksum calculation", SCD4x
    3.11, AHT20 5.4.
    """
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def words(data: bytes) -> list[int]:
    """Read Sensirion's words: 16 bits, the most significant byte first, each with its checksum.

    Raises:
        ChecksumError: One of the checksums is wrong.
    """
    found = []
    for start in range(0, len(data), 3):
        word = data[start : start + 2]
        if crc8(word) != data[start + 2]:
            raise ChecksumError("the checksum is wrong")
        found.append(int.from_bytes(word))
    return found
