"""A bus during one round: its multiplexers, and that it is left alone once it is stuck."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.platforms.i2c import NoAnswerError, StuckBusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from companion_agent.platforms.i2c import I2cBus
    from companion_agent.plugins.i2c.place import Place


class Bus:
    """An open bus with the multiplexers (TCA9548A, PCA9548A) on it.

    TCA9548A data sheet (SCPS207F) section 8.5.4, control register: one byte, bit N opens channel
    N; several may be open at a time, so that what is not needed is closed. A channel is connected
    from the stop condition on: selecting is a transfer of its own.

    Args:
        bus: Carries the transfers.
        multiplexers: The addresses of all multiplexers on it.
    """

    def __init__(self, bus: I2cBus, multiplexers: Iterable[int] = ()) -> None:
        self._bus = bus
        # Another program may have changed them since the last round: nothing is known of them.
        self._open: dict[int, int | None] = dict.fromkeys(multiplexers)
        self._stuck: StuckBusError | None = None

    def transfer(self, place: Place, data: bytes, count: int) -> bytes:
        """Open the way to a place, and do a transfer there; see `I2cBus.transfer()`."""
        if self._stuck:
            # Each attempt may take the adapter a second, and the others want their turn.
            raise self._stuck
        try:
            self._select(place)
            return self._bus.transfer(place.address, data, count)
        except StuckBusError as error:
            self._stuck = error
            raise

    def driver(self, place: Place) -> str:
        """Return the driver of the operating system that uses what is needed to get to a place."""
        first = place.address if place.multiplexer is None else place.multiplexer
        return self._bus.driver(first)

    def close(self) -> None:
        """Close all channels and the bus."""
        for multiplexer, opened in self._open.items():
            if opened and not self._stuck:
                with suppress(OSError):
                    self._bus.transfer(multiplexer, b"\0", 0)
        self._bus.close()

    def _select(self, place: Place) -> None:
        for multiplexer, opened in self._open.items():
            mine = multiplexer == place.multiplexer
            wanted = 1 << place.channel if mine else 0
            if opened == wanted:
                continue
            try:
                self._bus.transfer(multiplexer, bytes([wanted]), 0)
            except NoAnswerError as error:
                # One that is not there connects nothing either.
                if mine:
                    what = f"the multiplexer at 0x{multiplexer:02x} does not answer"
                    raise NoAnswerError(error.errno, what) from error
            self._open[multiplexer] = wanted


class Link(NamedTuple):
    """What a driver speaks to its sensor through."""

    bus: Bus
    place: Place

    def write(self, *data: int) -> None:
        """Write some bytes.

        Raises:
            OSError: See `I2cBus.transfer()`.
        """
        self.bus.transfer(self.place, bytes(data), 0)

    def read(self, count: int) -> bytes:
        """Read some bytes.

        Raises:
            OSError: See `I2cBus.transfer()`.
        """
        return self.bus.transfer(self.place, b"", count)

    def read_after(self, *data: int, count: int) -> bytes:
        """Write a register's address or a command, and read on with a repeated start.

        Raises:
            OSError: See `I2cBus.transfer()`.
        """
        return self.bus.transfer(self.place, bytes(data), count)
