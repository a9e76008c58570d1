"""What a Raspberry Pi's firmware complains about.

Sources: "vcgencmd get_throttled" in the Raspberry Pi documentation (computers/os); the drivers
`drivers/firmware/raspberrypi.c` of Raspberry Pi's kernel, whose attribute holds the same bits in
hex, and `drivers/hwmon/raspberrypi-hwmon.c` of every kernel, which only tells of the voltage. The
latter asks every two seconds, and asks the firmware to forget then what it had kept: on such
kernels bits 16 to 19 are about the last seconds, not about all the time since the start.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.base import FirmwareFlags

if TYPE_CHECKING:
    from companion_agent.platforms.linux.files import Files

# Named after the device tree's node: "soc:firmware", on a Pi 5 "soc@107c000000:firmware".
_DRIVER = "sys/bus/platform/drivers/raspberrypi-firmware"
_USUAL = "sys/devices/platform/soc/soc:firmware"
_HWMON = "sys/class/hwmon"
_MODEL = "proc/device-tree/model"
_HEX = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})")
_ASK_LIMIT = 2.0


def parse_throttled(text: str | None) -> int | None:
    """Read the bits as sysfs (`50005`) or vcgencmd (`throttled=0x50005`) write them."""
    match = _HEX.fullmatch((text or "").strip())
    return int(match[1], 16) if match else None


def ask_firmware() -> str | None:
    """Ask with vcgencmd; `None` when it is missing or may not."""
    try:
        asked = subprocess.run(
            ["vcgencmd", "get_throttled"],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_LIMIT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.decode("ascii", "replace")


def is_pi(files: Files) -> bool:
    """Tell whether this is a Raspberry Pi."""
    return (files.text(_MODEL) or "").startswith("Raspberry Pi")


class RaspberryPi:
    """The flags of one machine.

    Attributes:
        ask: Asks the firmware where no file tells.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.ask = ask_firmware

    def flags(self) -> FirmwareFlags:
        """Read what the firmware complains about.

        Raises:
            Unavailable: This is no Raspberry Pi, or nothing tells.
        """
        low_voltage = self._low_voltage()
        throttled = self._throttled()
        if throttled is None and is_pi(self._files):
            throttled = parse_throttled(self.ask())
        if throttled is None and low_voltage is None:
            raise self._unavailable()
        return FirmwareFlags(throttled, low_voltage)

    def _throttled(self) -> int | None:
        nodes = [n for n in self._files.names(_DRIVER) if n.endswith(":firmware")]
        for folder in (*(f"{_DRIVER}/{node}" for node in nodes), _USUAL):
            bits = parse_throttled(self._files.text(f"{folder}/get_throttled"))
            if bits is not None:
                return bits
        return None

    def _low_voltage(self) -> bool | None:
        for chip in self._files.names(_HWMON):
            if self._files.text(f"{_HWMON}/{chip}/name") == "rpi_volt":
                alarm = self._files.number(f"{_HWMON}/{chip}/in0_lcrit_alarm")
                return None if alarm is None else alarm != 0
        return None

    def _unavailable(self) -> Unavailable:
        if is_pi(self._files):
            return Unavailable(
                "neither the kernel nor vcgencmd tells what the firmware complains about",
                "let the agent's user into the group 'video': sudo usermod -aG video USER, "
                "then restart the agent",
            )
        return Unavailable("this computer is not a Raspberry Pi")
