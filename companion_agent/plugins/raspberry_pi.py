"""What a Raspberry Pi's firmware complains about: its supply and its heat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import Platform

# The bits of get_throttled: these are so now; the same ones 16 higher have been so before.
_BITS = {
    "under_voltage": 0,
    "frequency_capped": 1,
    "throttled": 2,
    "soft_temperature_limit": 3,
}
_SINCE_START = 16


class RaspberryPiPlugin(Collector):
    """Reads the flags of a Raspberry Pi.

    A supply breaks down for moments. What came and went between two reads shows in the flags that
    the firmware keeps, as long as the kernel lets it, and counts as so until the next read.
    """

    name: ClassVar[str] = "rpi"
    interval: ClassVar[float] = 30

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._last: int | None = None

    def collect(self) -> Mapping[str, Value]:
        """Read the flags.

        Raises:
            Unavailable: This is no Raspberry Pi, or nothing tells.
        """
        bits, low_voltage = self.platform.firmware_flags()
        values: dict[str, Value] = {}
        if bits is not None:
            # What came before the first read may be days old.
            new = 0 if self._last is None else bits & ~self._last
            lit = bits | new >> _SINCE_START
            values = {name: bool(lit >> bit & 1) for name, bit in _BITS.items()}
            self._last = bits
        if low_voltage is not None:
            values["under_voltage"] = bool(values.get("under_voltage")) or low_voltage
        if self.described and len(values) < len(self.described):
            # A read that failed this once makes values unknown, and no reading go.
            values = {reading.key: values.get(reading.key) for reading in self.described}
        self.describe(tuple(values), lambda: map(Reading, values))
        return values
