"""The screen of a console: of a machine on which no desktop holds the graphics card.

The kernel's own console draws on a framebuffer, and `FBIOBLANK` has the driver switch all its
monitors; whether they are so is read from their connectors. While a desktop, a login screen or a
program of a kiosk is the master of the graphics card, the kernel takes the request and does
nothing. Sources: include/uapi/linux/fb.h, drivers/gpu/drm/drm_fb_helper.c (`drm_fb_helper_blank`),
drivers/video/fbdev/core/fbmem.c; "vcgencmd display_power" in the Raspberry Pi documentation.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.models import Missing
from companion_agent.platforms.base import ConsoleScreen
from companion_agent.platforms.linux.backlight import Connector, connectors
from companion_agent.platforms.linux.raspberry_pi import is_pi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from companion_agent.platforms.linux.files import Files

_GRAPHICS = "sys/class/graphics"
_FRAMEBUFFER = re.compile(r"fb\d+")
_FBIOBLANK = 0x4611
_UNBLANK, _POWERDOWN = 0, 4

_ASK_LIMIT = 4.0
_POWER = re.compile(r"display_power=([01])")

_NOT_IN_GROUP = Missing(
    "group",
    "The screen of the console belongs to the group 'video': sudo usermod -aG video pilot-agent, "
    "then restart the agent",
)
_CLOSED_DEVICE = Missing(
    "unit",
    "The unit of the service does not let it use the screen of the console: sudo pilot-agent setup "
    "writes it anew",
)


def console_screen(files: Files, ask_firmware: Callable[..., str]) -> ConsoleScreen:
    """Find the way to switch the screen of the console.

    Args:
        files: The kernel's.
        ask_firmware: Runs vcgencmd with arguments.

    Raises:
        Unavailable: There is none.
    """
    connected = connectors(files)
    framebuffers = {}
    for name in files.names(_GRAPHICS):
        device = files.target(f"{_GRAPHICS}/{name}/device")
        if device and _FRAMEBUFFER.fullmatch(name):
            own = [
                one
                for one in connected
                if (files.target(one.folder) or "").startswith(f"{device}/drm/")
            ]
            if own:
                framebuffers[name] = own
    if framebuffers:
        return KernelScreen(files, framebuffers)
    if is_pi(files):
        firmware = FirmwareScreen(ask_firmware)
        firmware.on()
        return firmware
    if connected:
        raise Unavailable("the kernel has no framebuffer on the graphics card of the monitor")
    raise Unavailable("no monitor is connected")


class KernelScreen(ConsoleScreen):
    """The monitors that the kernel's console is on.

    Args:
        files: The kernel's.
        framebuffers: What each framebuffer is shown on.

    Attributes:
        blank: Sets how dark a framebuffer is.
    """

    def __init__(self, files: Files, framebuffers: dict[str, list[Connector]]) -> None:
        shown = ", ".join(
            f"{name} on {' and '.join(one.name for one in own)}"
            for name, own in framebuffers.items()
        )
        super().__init__(f"the kernel's framebuffer ({shown})")
        self._files = files
        self._framebuffers = framebuffers
        self.blank: Callable[[str, int], None] = set_blank

    def monitors(self) -> dict[str, bool]:
        """Read the power of the connectors."""
        return {
            one.name: self._files.text(f"{one.folder}/dpms") == "On"
            for own in self._framebuffers.values()
            for one in own
        }

    def request(self, *, on: bool) -> None:
        """Blank or unblank."""
        for name in self._framebuffers:
            self.blank(self._files.path(f"dev/{name}"), _UNBLANK if on else _POWERDOWN)

    def missing(self) -> Missing | None:
        """Open the framebuffers, which changes nothing."""
        for name in self._framebuffers:
            try:
                os.close(open_framebuffer(self._files.path(f"dev/{name}")))
            except OSError as error:
                if error.errno == errno.EACCES:
                    return _NOT_IN_GROUP
                if error.errno == errno.EPERM:
                    return _CLOSED_DEVICE
        return None


def open_framebuffer(path: str) -> int:
    """Open a framebuffer, which changes nothing."""
    return os.open(path, os.O_RDWR)


def set_blank(path: str, level: int) -> None:
    """Ask the driver of a framebuffer for a level of darkness."""
    file = open_framebuffer(path)
    try:
        if sys.platform != "win32":  # Whose types have no such call.
            fcntl.ioctl(file, _FBIOBLANK, level)
    finally:
        os.close(file)


class FirmwareScreen(ConsoleScreen):
    """The screen of a Raspberry Pi whose display is its firmware's, without KMS.

    With KMS the firmware says the same things and does nothing, so it is asked last.

    Args:
        ask: Runs vcgencmd with arguments.
    """

    def __init__(self, ask: Callable[..., str]) -> None:
        super().__init__("vcgencmd display_power")
        self._ask = ask

    def monitors(self) -> dict[str, bool]:
        """Ask the firmware."""
        return {"": self.on()}

    def on(self) -> bool:
        """Ask the firmware.

        Raises:
            Unavailable: It does not say.
        """
        answer = self._ask("display_power")
        found = _POWER.search(answer)
        if found is None:
            said = answer.strip()[:80] or "nothing"
            raise Unavailable(f"vcgencmd display_power says “{said}”")
        return found[1] == "1"

    def request(self, *, on: bool) -> None:
        """Tell the firmware."""
        self._ask("display_power", "1" if on else "0")

    def missing(self) -> Missing | None:
        """Nothing: what may ask the firmware may tell it as well."""
        return None


def run_vcgencmd(*arguments: str) -> str:
    """Run vcgencmd and return what it says.

    Raises:
        Unavailable: It is missing, may not, or does not answer.
    """
    command: Sequence[str] = ("vcgencmd", *arguments)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_LIMIT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"vcgencmd cannot be asked: {error}") from error
    return (done.stdout + done.stderr).decode("ascii", "replace")
