"""The brightness of a Windows session's monitors: the built-in one, and those with DDC/CI."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.screen import built_in_screen
from companion_agent.winapi import display
from companion_agent.winapi.display import MONITOR_BRIGHTNESS
from companion_agent.winapi.message_window import WM_DISPLAYCHANGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.windows.session_window import SessionWindow
    from companion_agent.plugins.screen.built_in_screen import BuiltInScreen
    from companion_agent.winapi.display import Level, Monitor

BUILT_IN = "built-in"
"""What the built-in screen is called here."""


class MonitorBrightness:
    """Dims monitors, and hears when the built-in one is dimmed otherwise.

    Args:
        window: The helper's window.
        ddc: Whether monitors on a cable are asked.
        changed: Called when monitors came or went, or one is brighter or darker.
    """

    def __init__(self, window: SessionWindow, changed: Callable[[], None], *, ddc: bool) -> None:
        self.name = ""
        self._window = window
        self._ddc = ddc
        self._tell_changed = changed
        self._built_in: BuiltInScreen | None = None
        self._monitors: dict[str, Monitor] = {}
        self._levels: dict[str, int] = {}
        self._followed = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def panels(self) -> list[str]:
        """The names of the monitors that can be dimmed."""
        return list(self._levels)

    @property
    def connected(self) -> list[str]:
        """The names of all monitors."""
        if BUILT_IN in self._levels and len(self._monitors) == 1:
            return [BUILT_IN]
        return list(self._monitors)

    async def open(self) -> None:
        """Ask the monitors, and begin to hear of changes.

        Raises:
            Unavailable: None can be dimmed.
        """
        reasons = await self._look()
        if not self._levels:
            raise Unavailable("; ".join(reasons))
        if BUILT_IN in self._levels:
            with suppress(OSError):
                self._followed = await self._window.follow(MONITOR_BRIGHTNESS, self._take)
        self._window.listen(WM_DISPLAYCHANGE, self._screens_changed)

    def levels(self) -> Mapping[str, int]:
        """Return the brightness of each monitor in percent, as it was last heard."""
        return dict(self._levels)

    async def set(self, panel: str, percent: float) -> None:
        """Set a brightness in percent, and read it back.

        Raises:
            CommandError: It was refused, or is another then.
        """
        wanted = round(percent)
        try:
            seen = await asyncio.to_thread(
                self._set_built_in if panel == BUILT_IN else self._set_monitor, panel, wanted
            )
        except (OSError, KeyError) as error:
            raise CommandError("failed", f"{panel} does not answer: {error}") from error
        self._levels[panel] = seen
        # Neither has 101 steps, as a rule.
        if abs(seen - wanted) > self._step(panel):
            raise CommandError("failed", f"{panel} was set to {wanted} %, it is at {seen} %")

    def close(self) -> None:
        """Hear no more."""
        self._window.unlisten(WM_DISPLAYCHANGE, self._screens_changed)
        if self._looking:
            self._looking.cancel()
        if self._followed:
            self._window.unfollow(MONITOR_BRIGHTNESS, self._take, self._followed)
            self._followed = 0

    # --- Looking -------------------------------------------------------------------------

    async def _look(self) -> list[str]:
        self._monitors, self._levels, reasons = await asyncio.to_thread(self._ask_all)
        ways = ["DDC/CI"] if self._levels.keys() - {BUILT_IN} else []
        if self._built_in:
            ways.append(self._built_in.name)
        self.name = ", ".join(ways)
        return reasons

    def _ask_all(self) -> tuple[dict[str, Monitor], dict[str, int], list[str]]:
        """Ask every monitor; in a thread, since each takes its time."""
        levels, reasons = {}, []
        try:
            monitors = {monitor.name: monitor for monitor in display.monitors()}
        except OSError as error:
            return {}, {}, [f"the monitors cannot be listed: {error}"]
        try:
            self._built_in = built_in_screen.find()
            levels[BUILT_IN] = self._built_in.brightness()
        except Unavailable as error:
            self._built_in = None
            reasons.append(error.reason)
        if not self._ddc:
            reasons.append("monitors on a cable are dimmed where `screen.ddc` says so")
            return monitors, levels, reasons
        for name, monitor in monitors.items():
            try:
                levels[name] = _percent(display.brightness(monitor.handle))
            except OSError as error:
                reasons.append(f"{name} does not answer by DDC/CI: {error}")
        return monitors, levels, reasons

    def _screens_changed(self, _: int, __: int) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        await self._look()
        self._tell_changed()

    def _take(self, percent: int) -> None:
        self._levels[BUILT_IN] = percent
        self._tell_changed()

    # --- In a thread ---------------------------------------------------------------------

    def _set_built_in(self, panel: str, percent: int) -> int:
        if self._built_in is None:
            raise KeyError(panel)
        return self._built_in.set(percent)

    def _set_monitor(self, name: str, percent: int) -> int:
        handle = self._monitors[name].handle
        level = display.brightness(handle)
        display.set_brightness(
            handle, level.lowest + round((level.highest - level.lowest) * percent / 100)
        )
        return _percent(display.brightness(handle))

    @staticmethod
    def _step(panel: str) -> int:
        # Built-in screens have eleven levels at least.
        return 10 if panel == BUILT_IN else 2


def _percent(level: Level) -> int:
    return round(100 * (level.now - level.lowest) / max(level.highest - level.lowest, 1))
