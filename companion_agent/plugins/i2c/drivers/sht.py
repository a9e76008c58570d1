"""SHT3x and SHT4x: temperature and relative humidity."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from companion_agent.platforms.i2c import NoAnswerError
from companion_agent.plugins.i2c.drivers.base import (
    BusyError,
    Driver,
    SensorError,
    checked,
    words,
)

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import Steps, Values

# The reserved bits of the SHT3x's status that are 0: 4.11, table 18. Bits 9 to 5 may be anything.
_RESERVED = 0b0101_0000_0000_1100
_RANGES = {"temperature": (-40.0, 125.0), "humidity": (0.0, 100.0)}


def temperature(word: int) -> float:
    """Convert to °C; SHT3x-DIS 4.13, and the SHT4x's "Conversion of signal output"."""
    return -45 + 175 * word / 65_535


class Sht3x(Driver):
    """Sensirion SHT30, SHT31 and SHT35.

    SHT3x-DIS data sheet, version 5: section 2 (timing), 4.3 and 4.4 (single shot), 4.8 (break),
    4.11 (status), 4.12 (checksum), 4.13 (conversion). Without clock stretching, which not every
    master can.
    """

    model: ClassVar[str] = "SHT3x"
    manufacturer: ClassVar[str] = "Sensirion"
    addresses: ClassVar[tuple[int, ...]] = (0x44, 0x45)
    ranges: ClassVar = _RANGES

    def setup(self, link: Link) -> Steps[None]:
        """End a periodic measurement that another program may have left on."""
        with suppress(NoAnswerError):
            # Nothing says that it must take this while there is nothing to end.
            link.write(0x30, 0x93)
        yield 0.001

    def measure(self, link: Link) -> Steps[Values]:
        """Measure with high repeatability: at most 15.5 ms."""
        link.write(0x24, 0x00)
        yield 0.016
        return decode_sht3x((yield from _read(link)))

    @classmethod
    def identify(cls, link: Link) -> Steps[bool | None]:
        """Read the status: a command that has no meaning to others, answered with a checksum."""
        yield from ()
        try:
            (status,) = words(link.read_after(0xF3, 0x2D, count=3))
        except (NoAnswerError, SensorError):
            return False
        return not status & _RESERVED


class Sht4x(Driver):
    """Sensirion SHT40, SHT41, SHT43 and SHT45.

    SHT4x data sheet: "System timing specifications" (table 4), "Checksum calculation", "Command
    overview", "Conversion of signal output".
    """

    model: ClassVar[str] = "SHT4x"
    manufacturer: ClassVar[str] = "Sensirion"
    addresses: ClassVar[tuple[int, ...]] = (0x44, 0x45, 0x46)
    ranges: ClassVar = _RANGES

    def setup(self, link: Link) -> Steps[None]:
        """Reset it: 1 ms."""
        link.write(0x94)
        yield 0.001

    def measure(self, link: Link) -> Steps[Values]:
        """Measure with high precision: at most 8.3 ms."""
        link.write(0xFD)
        yield 0.009
        return decode_sht4x((yield from _read(link)))

    @classmethod
    def identify(cls, link: Link) -> Steps[bool | None]:
        """Read the serial number: a single byte, answered with two checksums."""
        try:
            link.write(0x89)
            yield 0.001
            words(link.read(6))
        except (NoAnswerError, SensorError):
            return False
        return True


def decode_sht3x(data: bytes) -> Values:
    """Read temperature and humidity; °C and %.

    Raises:
        SensorError: A checksum is wrong, or a value is out of the sensor's range.
    """
    warmth, damp = words(data)
    return checked(_RANGES, {"temperature": temperature(warmth), "humidity": 100 * damp / 65_535})


def decode_sht4x(data: bytes) -> Values:
    """Read temperature and humidity; °C and %.

    The formula reaches from -6 to 119 %; what is beyond 0 and 100 is to be cropped.

    Raises:
        SensorError: A checksum is wrong, or a value is out of the sensor's range.
    """
    warmth, damp = words(data)
    humidity = min(max(-6 + 125 * damp / 65_535, 0.0), 100.0)
    return checked(_RANGES, {"temperature": temperature(warmth), "humidity": humidity})


def _read(link: Link) -> Steps[bytes]:
    """Read a measurement; a sensor that has not finished does not acknowledge (SHT3x 4.4)."""
    for _ in range(4):
        try:
            return link.read(6)
        except NoAnswerError:
            yield 0.005
    raise BusyError("it does not finish its measurement")
