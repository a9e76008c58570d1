"""I²C buses through smbus2 and i2c-dev. Source: Documentation/i2c/dev-interface.rst."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.i2c import I2cBus, NoAnswerError, StuckBusError

if TYPE_CHECKING:
    from smbus2 import SMBus

    from companion_agent.platforms.linux.files import Files

_BUS = re.compile(r"i2c-(\d{1,4})")
# Documentation/i2c/fault-codes.rst: ENXIO is a missing acknowledgement of the address; adapters
# that cannot tell which one is missing say EREMOTEIO (121, not known by name on every system) or
# EIO. What took too long, or was lost to another master again and again, is a bus in trouble.
_NO_ANSWER = frozenset({errno.ENXIO, errno.EIO, 121})
_STUCK = frozenset({errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY})

_HOW_TO_INSTALL = "install it with the agent: pip install 'pilot-agent[i2c]'"


def numbers(files: Files) -> list[int]:
    """List the buses that there are.

    Raises:
        Unavailable: There are none.
    """
    found = sorted(int(match[1]) for name in files.names("dev") if (match := _BUS.fullmatch(name)))
    if not found:
        raise Unavailable(
            "there is no I²C bus (/dev/i2c-*)",
            "on a Raspberry Pi 'sudo raspi-config nonint do_i2c 0' switches it on; "
            "elsewhere 'modprobe i2c-dev' may show one",
        )
    return found


def open_bus(files: Files, number: int) -> LinuxI2cBus:
    """Open a bus.

    Raises:
        Unavailable: It is not there, may not be opened, or smbus2 is missing.
        OSError: Opening failed.
    """
    path = files.path(f"dev/i2c-{number}")
    try:
        from smbus2 import SMBus  # noqa: PLC0415  (optional, and only of use to who has a bus)
    except ImportError:
        raise Unavailable("smbus2 is not installed", _HOW_TO_INSTALL) from None
    try:
        return LinuxI2cBus(SMBus(path), files, number)
    except FileNotFoundError:
        raise Unavailable(
            f"there is no I²C bus {number} (/dev/i2c-{number})",
            "the configuration names it under 'i2c'; 'ls /dev/i2c-*' lists those that there are",
        ) from None
    except PermissionError:
        raise Unavailable(
            f"/dev/i2c-{number} may not be opened",
            "let the agent's user into the group 'i2c': sudo usermod -aG i2c USER, "
            "then restart the agent",
        ) from None


class LinuxI2cBus(I2cBus):
    """One `/dev/i2c-N`."""

    def __init__(self, bus: SMBus, files: Files, number: int) -> None:
        self._bus = bus
        self._files = files
        self._number = number

    def transfer(self, address: int, data: bytes, count: int) -> bytes:
        """Do all of it in one call of the kernel, which no other transfer comes between."""
        from smbus2 import i2c_msg  # noqa: PLC0415  (a bus is open: it is there)

        messages = [i2c_msg.write(address, data)] if data else []
        if count:
            messages.append(i2c_msg.read(address, count))
        try:
            self._bus.i2c_rdwr(*messages)
        except OSError as error:
            raise _explained(error) from error
        return bytes(messages[-1]) if count else b""

    def driver(self, address: int) -> str:
        """Look into sysfs: a combined transfer would go past the driver without a question."""
        device = f"sys/bus/i2c/devices/{self._number}-{address:04x}/driver"
        return (self._files.target(device) or "").rpartition("/")[2]

    def close(self) -> None:
        """Close the file."""
        self._bus.close()


def _explained(error: OSError) -> OSError:
    if error.errno in _NO_ANSWER:
        return NoAnswerError(error.errno, "does not answer")
    if error.errno in _STUCK:
        return StuckBusError(error.errno, "the bus is stuck")
    if error.errno == errno.EOPNOTSUPP:
        return OSError(error.errno, "this bus is for SMBus only")
    return error
