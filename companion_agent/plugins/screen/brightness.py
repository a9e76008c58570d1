"""The brightness of built-in screens, set by logind in the user's session and read from sysfs.

Source: org.freedesktop.login1(5), "SetBrightness()". logind lets a session that is in front set it
without a further permission; a desktop's own slider follows, since the kernel tells of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.backlight import SysfsWatch, backlights
from companion_agent.platforms.linux.dbus import BusError, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.backlight import Backlight
    from companion_agent.platforms.linux.files import Files

# The session of the caller, or the one with windows of its user.
SESSION = Target(
    "org.freedesktop.login1",
    "/org/freedesktop/login1/session/auto",
    "org.freedesktop.login1.Session",
)
_SUBSYSTEM = "backlight"


class Brightness:
    """Dims built-in screens.

    Args:
        files: The kernel's.
        system: The system bus.
        changed: Called when another program, or a key, has set a brightness.
    """

    name = "logind's SetBrightness"

    def __init__(self, files: Files, system: AsyncBus, changed: Callable[[], None]) -> None:
        self._files = files
        self._system = system
        self._changed = changed
        self._watch: SysfsWatch | None = None
        self._backlights: dict[str, Backlight] = {}

    @property
    def panels(self) -> list[str]:
        """The names of the screens."""
        return list(self._backlights)

    def open(self) -> None:
        """Find the screens, and begin to hear of changes.

        Raises:
            Unavailable: There is none.
        """
        self._backlights = {one.panel: one for one in backlights(self._files)}
        if not self._backlights:
            raise Unavailable("no built-in screen has a backlight that the kernel knows")
        paths = [self._files.path(one.notified_file) for one in self._backlights.values()]
        self._watch = SysfsWatch(paths)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._notified)

    def close(self) -> None:
        """Hear no more."""
        if self._watch:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def levels(self) -> Mapping[str, int | None]:
        """Return the brightness of each screen in percent; `None` where it cannot be read."""
        return {panel: self._percent(one) for panel, one in self._backlights.items()}

    async def set(self, panel: str, percent: float) -> None:
        """Set a brightness in percent, and read it back.

        Raises:
            CommandError: It was refused, or is another then.
        """
        backlight = self._backlights.get(panel)
        if backlight is None:
            raise CommandError("failed", f"the screen {panel} is not there")
        # What is not off stays visible, however few steps a backlight has.
        wanted = max(round(backlight.brightest * percent / 100), min(1, round(percent)))
        try:
            await self._system.call(
                SESSION, "SetBrightness", "ssu", _SUBSYSTEM, backlight.device, wanted
            )
        except BusError as error:
            raise CommandError("failed", f"{self.name}: {error.text}") from error
        if self._files.number(backlight.level_file) != wanted:
            seen = self._percent(backlight)
            is_now = "its brightness cannot be read" if seen is None else f"it is at {seen} %"
            raise CommandError("failed", f"{self.name}: {panel} was set to {percent:g} %, {is_now}")

    def _percent(self, backlight: Backlight) -> int | None:
        level = self._files.number(backlight.level_file)
        if level is None:
            return None
        return max(round(100 * level / backlight.brightest), min(1, level))

    def _notified(self) -> None:
        if self._watch:
            with suppress(OSError):
                self._watch.take()
            self._changed()
