"""SCD4x: CO₂, temperature and relative humidity."""

from __future__ import annotations

from contextlib import suppress
import time
from typing import TYPE_CHECKING, ClassVar

from companion_agent.platforms.i2c import NoAnswerError
from companion_agent.plugins.i2c.drivers.base import (
    Driver,
    NotYet,
    SensorError,
    checked,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import DriverSettings, Steps, Values

_RANGES = {
    # 0 is what it says while it has none.
    "carbon_dioxide": (1.0, 40_000.0),
    "temperature": (-10.0, 60.0),
    "humidity": (0.0, 100.0),
}
# It measures every 5 s; one that has said nothing for so long was without power meanwhile.
_SILENCE = 16.0


class Scd4x(Driver):
    """Sensirion SCD40, SCD41 and SCD43, measuring by itself every 5 s.

    SCD4x data sheet, version 1.3: section 3.3 (sequences), 3.4, table 9 (commands, their times,
    which are allowed while it measures), 3.5.1 (start), 3.5.2 (read), 3.8.2 (data ready), 3.11
    (checksum). It is not told to measure: a single shot of an SCD41 takes 5 s
    too, and the automatic self-calibration is made for this mode.
    """

    model: ClassVar[str] = "SCD4x"
    manufacturer: ClassVar[str] = "Sensirion"
    addresses: ClassVar[tuple[int, ...]] = (0x62,)
    ranges: ClassVar = _RANGES

    def __init__(self, config: DriverSettings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config)
        self._clock = clock
        self._heard = clock()

    def setup(self, link: Link) -> Steps[None]:
        """Start measuring; one that measures already refuses, which is as good."""
        yield from ()
        with suppress(NoAnswerError):
            link.write(0x21, 0xB1)
        self._heard = self._clock()

    def measure(self, link: Link) -> Steps[Values]:
        """Read what it has measured last."""
        if not is_ready((yield from _ask(link, 0xE4, 0xB8, count=3))):
            if self._clock() - self._heard > _SILENCE:
                raise SensorError("it does not measure")
            raise NotYet
        data = yield from _ask(link, 0xEC, 0x05, count=9)
        self._heard = self._clock()
        return decode(data)

    @classmethod
    def identify(cls, link: Link) -> Steps[bool | None]:
        """Ask whether data is ready: allowed at any time, and answered with a checksum.

        The serial number is only told while it does not measure, and its command 0x36 would set
        the output of an MCP4725, which may be at the same address; 0xE4 is reserved there.
        """
        try:
            words((yield from _ask(link, 0xE4, 0xB8, count=3)))
        except (NoAnswerError, SensorError):
            return False
        return True


def is_ready(data: bytes) -> bool:
    """Tell whether data is ready: one of the least significant eleven bits is set (3.8.2).

    Raises:
        ChecksumError: The checksum is wrong.
    """
    return bool(words(data)[0] & 0x07FF)


def decode(data: bytes) -> Values:
    """Read CO₂, temperature and humidity; ppm, °C, % (3.5.2).

    Raises:
        SensorError: A checksum is wrong, or a value is out of the sensor's range.
    """
    co2, warmth, damp = words(data)
    return checked(
        _RANGES,
        {
            "carbon_dioxide": float(co2),
            "temperature": -45 + 175 * warmth / 65_535,
            "humidity": 100 * damp / 65_535,
        },
    )


def _ask(link: Link, *command: int, count: int) -> Steps[bytes]:
    """Send a command, wait for its 1 ms, and read: it does not do both in one transfer."""
    link.write(*command)
    yield 0.001
    return link.read(count)
