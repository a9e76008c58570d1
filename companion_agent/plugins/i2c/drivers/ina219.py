"""INA219: voltage, current and power."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins.i2c.drivers.base import BusyError, Driver, checked

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import Steps, Values

_CONFIGURATION = 0x00
_SHUNT = 0x01
_BUS = 0x02
# 8.6.2.1: 32 V, ±320 mV, the mean of 128 samples of 12 bits for both, measured once when written.
_ONCE = 0b0_0_1_11_1111_1111_011
_READY = 0x02
_LARGEST_CURRENT = 1000.0


class Ina219(Driver):
    """Texas Instruments INA219.

    SBOS448G: section 8.6.2.1 (configuration; table 5 has the conversion times), 8.6.3.1 and
    8.6.3.2 (shunt and bus voltage).
    Current and power are calculated here, from the shunt's resistance: the chip's own registers
    for them are coarser, and only valid after a calibration that a loss of power takes away
    without a word. It has no checksums and no identity.
    """

    model: ClassVar[str] = "INA219"
    manufacturer: ClassVar[str] = "Texas Instruments"
    addresses: ClassVar[tuple[int, ...]] = tuple(range(0x40, 0x50))
    ranges: ClassVar = {
        "voltage": (0.0, 32.0),
        "current": (-_LARGEST_CURRENT, _LARGEST_CURRENT),
        "power": (-32 * _LARGEST_CURRENT, 32 * _LARGEST_CURRENT),
    }

    def setup(self, link: Link) -> Steps[None]:
        """Do nothing: each measurement brings its configuration."""
        yield from ()

    def measure(self, link: Link) -> Steps[Values]:
        """Measure once: 68.1 ms for each of the two voltages, ready when its flag is set."""
        link.write(_CONFIGURATION, *_ONCE.to_bytes(2))
        yield 0.137
        for _ in range(6):
            bus = link.read_after(_BUS, count=2)
            if bus[1] & _READY:
                return decode(link.read_after(_SHUNT, count=2), bus, self.config.shunt)
            yield 0.010
        raise BusyError("it stays busy")


def decode(shunt: bytes, bus: bytes, resistance: float) -> Values:
    """Read the shunt's voltage (10 µV) and the bus voltage (4 mV, above three flags); V, A, W.

    The flag for an overflow is not looked at: it is about the chip's own calculation.

    Args:
        shunt: The register 0x01.
        bus: The register 0x02.
        resistance: The shunt's, in ohms.

    Raises:
        OutOfRangeError: A value is out of the sensor's range.
    """
    voltage = (int.from_bytes(bus) >> 3) * 0.004
    current = struct.unpack(">h", shunt)[0] * 1e-5 / resistance
    values = {"voltage": voltage, "current": current, "power": voltage * current}
    return checked(Ina219.ranges, values)
