"""The screen of a Windows session, switched as its own time-out switches it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.screen.power import ALL, ScreenPower
from companion_agent.winapi import display, keyboard_and_mouse, power
from companion_agent.winapi.display import CONSOLE_DISPLAY_STATE, DISPLAY_OFF
from companion_agent.winapi.message_window import WM_SYSCOMMAND, treat_as_usual

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.windows.session_window import SessionWindow

# Seconds in which Windows says how the screen is, which it does when it is asked to tell changes.
_TELLS_WITHIN = 2.0


class MonitorPower(ScreenPower):
    """Switches all monitors by the system command for it; Windows tells how they are.

    Args:
        window: The helper's window.
        changed: As for every way.
        ended: As for every way.
    """

    def __init__(
        self,
        window: SessionWindow,
        changed: Callable[[], None],
        ended: Callable[[str], None],
    ) -> None:
        super().__init__("SC_MONITORPOWER", changed, ended)
        self._window = window
        self._followed = 0
        self._told = asyncio.Event()

    async def open(self) -> None:
        """Find out whether this machine has a screen that can be switched without more."""
        if display.is_remote_session():
            raise Unavailable("this session is shown on another computer's screen")
        try:
            if power.capabilities().always_on:
                # https://learn.microsoft.com/windows-hardware/design/device-experiences/modern-standby
                raise Unavailable(
                    "this computer has modern standby (S0): it sleeps while its screen is off"
                )
            self._followed = await self._window.follow(CONSOLE_DISPLAY_STATE, self._take)
        except OSError as error:
            raise Unavailable(f"Windows does not tell of its screen: {error}") from error
        try:
            async with asyncio.timeout(_TELLS_WITHIN):
                await self._told.wait()
        except TimeoutError:
            self.close()
            raise Unavailable("Windows does not say whether the screen is on") from None

    async def request(self, monitor: str, *, on: bool) -> None:
        """Give the system command, and what else wakes a screen."""
        order = display.MONITOR_ON if on else display.MONITOR_OFF
        try:
            await self._window.do(
                lambda window: treat_as_usual(window, WM_SYSCOMMAND, display.MONITOR_POWER, order)
            )
        except Unavailable as error:
            raise CommandError("failed", error.reason) from error
        if on:
            # Since Windows 8 a screen wakes by input alone.
            display.need_display()
            keyboard_and_mouse.nudge_mouse()

    def close(self) -> None:
        """Hear no more."""
        if self._followed:
            self._window.unfollow(CONSOLE_DISPLAY_STATE, self._take, self._followed)
            self._followed = 0

    def _take(self, value: int) -> None:
        self._told.set()
        monitors = {ALL: value != DISPLAY_OFF}
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()
