"""An I²C bus as a platform offers it: transfers, and the errors that they end with."""

from __future__ import annotations

from abc import ABC, abstractmethod


class NoAnswerError(OSError):
    """No device acknowledged the address, or the device refused what was written."""


class StuckBusError(OSError):
    """The bus is held: by a device that lost count, or by one that stretches the clock for ever."""


class I2cBus(ABC):
    """One open bus."""

    @abstractmethod
    def transfer(self, address: int, data: bytes, count: int) -> bytes:
        """Write, read, or write and read with a repeated start between the two.

        Args:
            address: The device's address, 7 bits.
            data: What to write; nothing is written when empty.
            count: How many bytes to read; nothing is read when 0.

        Returns:
            What was read.

        Raises:
            NoAnswerError: The device did not acknowledge.
            StuckBusError: The bus did not become free in the adapter's time.
            OSError: Anything else went wrong.
        """

    @abstractmethod
    def driver(self, address: int) -> str:
        """Return the driver of the operating system that uses a device; empty without one."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""
