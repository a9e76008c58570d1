"""BH1750: illuminance."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.plugins.i2c.drivers.base import Driver, OutOfRangeError, checked

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.bus import Link
    from companion_agent.plugins.i2c.drivers.base import Steps, Values

_RANGES = {"illuminance": (0.0, 54_612.5)}


class Bh1750(Driver):
    """Rohm BH1750FVI.

    BH1750FVI technical note, 2009.04 Rev. B: "Electrical Characteristics" (measurement time),
    "Instruction Set Architecture", "I²C Bus Access" (read format; 0x8390 is 28,067 lx; a stop
    after every instruction). It has no checksum, no flag that says
    that it is busy, and nothing that it could be told by.
    """

    model: ClassVar[str] = "BH1750"
    manufacturer: ClassVar[str] = "Rohm"
    addresses: ClassVar[tuple[int, ...]] = (0x23, 0x5C)
    ranges: ClassVar = _RANGES

    def setup(self, link: Link) -> Steps[None]:
        """Set the usual measurement time (69), which the formula stands on."""
        link.write(0x01)
        link.write(0x42)
        link.write(0x65)
        yield from ()

    def measure(self, link: Link) -> Steps[Values]:
        """Measure once with high resolution, at most 180 ms; it then powers down by itself."""
        link.write(0x01)
        link.write(0x20)
        yield 0.180
        return decode(link.read(2))


def decode(data: bytes) -> Values:
    """Read 16 bits of 1/1.2 lx each; lx.

    Raises:
        OutOfRangeError: All bits are set: it is brighter than the sensor can tell, or it has lost
            its supply, and the lines rest where their resistors pull them.
    """
    if data == b"\xff\xff":
        raise OutOfRangeError("all bits are set: too bright, or without supply")
    return checked(_RANGES, {"illuminance": int.from_bytes(data) / 1.2})
