"""AHT20 and AHT21: temperature and relative humidity."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins.i2c.drivers.base import (
    BusyError,
    ChecksumError,
    Driver,
    checked,
    crc8,
)

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import Steps, Values

_RANGES = {"temperature": (-40.0, 85.0), "humidity": (0.0, 100.0)}
_BUSY = 0x80
_CALIBRATED = 0x08


class Aht20(Driver):
    """Aosong AHT20; the AHT21 is spoken to alike.

    The sequence, the waiting and the checksum are those of the kernel's `drivers/hwmon/aht10.c`
    and of Aosong's data sheet of the DHT20 (7.3, 7.4), a sensor with the same protocol; the
    AHT20's own sheet describes them under "Sensor reading process" and "Signal conversion".

    It cannot be looked for: it has no identity, and at its address also sit the PCF8574A port
    expanders, whose outputs any written byte switches.
    """

    model: ClassVar[str] = "AHT20"
    manufacturer: ClassVar[str] = "Aosong"
    addresses: ClassVar[tuple[int, ...]] = (0x38,)
    ranges: ClassVar = _RANGES

    def setup(self, link: Link) -> Steps[None]:
        """Initialise it if it says that it is not calibrated, and wait for 10 ms."""
        if not link.read(1)[0] & _CALIBRATED:
            link.write(0xBE, 0x08, 0x00)
            yield 0.010

    def measure(self, link: Link) -> Steps[Values]:
        """Trigger, wait for 80 ms, and read once it is not busy."""
        link.write(0xAC, 0x33, 0x00)
        yield 0.080
        for _ in range(5):
            data = link.read(7)
            if not data[0] & _BUSY:
                return decode(data)
            yield 0.010
        raise BusyError("it stays busy")


class Aht21(Aht20):
    """Aosong AHT21.

    The libraries of the field speak to it as to an AHT20.
    """

    model: ClassVar[str] = "AHT21"


def decode(data: bytes) -> Values:
    """Read status, humidity (20 bits), temperature (20 bits) and checksum; °C and %.

    Raises:
        SensorError: The checksum is wrong, or a value is out of the sensor's range.
    """
    if crc8(data[:6]) != data[6]:
        raise ChecksumError("the checksum is wrong")
    both = int.from_bytes(data[1:6])
    humidity = (both >> 20) / 2**20 * 100
    temperature = (both & 0xFFFFF) / 2**20 * 200 - 50
    return checked(_RANGES, {"temperature": temperature, "humidity": humidity})
