"""Where a sensor hangs: bus, address, and the multiplexer before it."""

from __future__ import annotations

from dataclasses import dataclass

from companion_agent.fields import setting
from companion_agent.values import Integer, Leaf

DEFAULT_BUS = 1
"""The bus on the pins of a Raspberry Pi."""

# The others are reserved: UM10204 section 3.1.12.
_LEAST, _MOST = 0x08, 0x77
# TCA9548A data sheet (SCPS207F), table 1.
_MULTIPLEXERS = range(0x70, 0x78)


class Address(Leaf[int]):
    """An address of 7 bits, in hex as data sheets and i2cdetect write it."""

    def __init__(self, least: int = _LEAST, most: int = _MOST) -> None:
        self.least, self.most = least, most
        self.expected = f"an address from 0x{least:02x} to 0x{most:02x}"
        # YAML reads 0x38 as a number.
        self.schema = {"type": ["integer", "string"], "minimum": least, "maximum": most}

    def _read(self, text: str) -> int:
        if not text.lower().startswith("0x") or not text[2:].isalnum():
            # "38" would be 0x38 to some and 0x26 to others.
            raise ValueError("write it with 0x")
        try:
            address = int(text, 16)
        except ValueError:
            raise ValueError from None
        if not self.least <= address <= self.most:
            raise ValueError
        return address

    def _dump(self, value: int) -> object:
        return f"0x{value:02x}"


MULTIPLEXER = Address(_MULTIPLEXERS[0], _MULTIPLEXERS[-1])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sensor hangs.

    Attributes:
        bus: The N of `/dev/i2c-N`.
        address: Its address, 7 bits.
        multiplexer: The address of the TCA9548A before it; `None` without one.
        channel: Its channel there.
    """

    bus: int = setting(Integer(0, 9999), "The bus that it hangs on.", shown=str(DEFAULT_BUS))
    address: int = setting(Address(), "Its address.", shown="the type's first")
    multiplexer: int | None = setting(
        MULTIPLEXER,
        "The address of the TCA9548A that it hangs behind.",
        None,
        needs="channel",
    )
    channel: int = setting(Integer(0, 7), "Its channel there.", 0, shown="", needs="multiplexer")

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
