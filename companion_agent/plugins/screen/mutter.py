"""GNOME's screen, all monitors together, by the power-save mode of its compositor.

Source: org.gnome.Mutter.DisplayConfig.xml of Mutter. Mutter switches the screen on again as soon as
something is touched, and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.dbus import BusError, Target
from companion_agent.plugins.screen.gnome_time_out import GnomeTimeOut
from companion_agent.plugins.screen.power import ALL, ScreenPower

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.linux.async_bus import AsyncBus

CONFIG = Target(
    "org.gnome.Mutter.DisplayConfig",
    "/org/gnome/Mutter/DisplayConfig",
    "org.gnome.Mutter.DisplayConfig",
)
_MODE = "PowerSaveMode"
_UNKNOWN, _ON, _OFF = -1, 0, 3


class MutterPower(ScreenPower):
    """Switches GNOME's screen.

    Args:
        bus: The session bus.
        changed: As for every way.
        ended: As for every way.
    """

    def __init__(
        self, bus: AsyncBus, changed: Callable[[], None], ended: Callable[[str], None]
    ) -> None:
        super().__init__("Mutter's PowerSaveMode", changed, ended)
        self._bus = bus
        self._time_out = GnomeTimeOut(bus, self._set_by_hand)
        self._open = False

    async def open(self) -> None:
        """Ask for the mode."""
        if not await self._bus.owner(CONFIG.service):
            raise Unavailable("GNOME's compositor does not run")
        try:
            mode = await self._bus.get(CONFIG, _MODE)
        except BusError as error:
            raise Unavailable(f"GNOME's compositor cannot be asked: {error.text}") from error
        if mode == _UNKNOWN:
            raise Unavailable("GNOME's compositor says that the screen cannot be switched")
        self._open = True
        try:
            self.time_out = await self._time_out.open()
            self.no_time_out = ""
        except Unavailable as error:
            self.no_time_out = error.reason
        self._bus.on_properties(self._properties_changed, CONFIG)
        # It may have changed between the question and the listening.
        self._take(await self._bus.get(CONFIG, _MODE))

    async def request(self, monitor: str, *, on: bool) -> None:
        """Set the mode."""
        try:
            await self._bus.set(CONFIG, _MODE, "i", _ON if on else _OFF)
            self._take(await self._bus.get(CONFIG, _MODE))
        except BusError as error:
            raise CommandError("failed", f"{self.name}: {error.text}") from error

    async def set_time_out(self, seconds: int) -> None:
        """Set GNOME's own setting."""
        self.time_out = await self._time_out.set(seconds)
        if self.time_out != seconds:
            raise CommandError("failed", f"{self._time_out.name} is still {self.time_out} s")

    def close(self) -> None:
        """Take no more notice; the connection belongs to all domains."""
        self._open = False
        self._time_out.close()

    def _set_by_hand(self, seconds: int) -> None:
        if self._open and seconds != self.time_out:
            self.time_out = seconds
            self.notice()

    def _properties_changed(self, changed: dict[str, Any], _: list[str]) -> None:
        if self._open and _MODE in changed:
            self._take(changed[_MODE])

    def _take(self, mode: int) -> None:
        # Standby and suspend are dark as well.
        monitors = {ALL: mode == _ON}
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()
