"""Whether a Windows session is in use.

Windows counts the time since the last key or movement and tells no program when it has passed. So
while the session is in use the helper looks when that can be at the earliest, once in the time
after which it counts as not in use. While it is not, raw input tells the next key or movement: it
says that there was one, and what it was is not asked for. It knows neither remote control nor some
touch screens: for them it is looked once a minute as well.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.plugins.desktop_defaults import IDLE_AFTER
from companion_agent.plugins.presence.helper import PresenceDomain
from companion_agent.plugins.presence.idle import IdleWatch
from companion_agent.winapi import keyboard_and_mouse
from companion_agent.winapi.message_window import WM_INPUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from companion_agent.platforms.windows.session_window import SessionWindow

LOOK_AGAIN = 60.0
"""Seconds between two looks while it is not in use."""
# Windows' count moves in steps of 16 ms.
_STEP = 0.05


class WindowsPresenceDomain(PresenceDomain):
    """Tells whether this session is in use."""

    async def _ways(self) -> AsyncIterator[IdleWatch]:
        after = float(self.context.settings.get("idle_after", IDLE_AFTER))
        yield LastInput(self.context.window(), after, self._changed)


class LastInput(IdleWatch):
    """Looks at the time of the last input, and hears of the first one after it.

    Args:
        window: The helper's window.
        after: As for every way.
        changed: As for every way.
    """

    def __init__(self, window: SessionWindow, after: float, changed: Callable[[], None]) -> None:
        super().__init__("GetLastInputInfo and raw input", after, changed)
        self._window = window
        self._timer: asyncio.TimerHandle | None = None
        self._following = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Look for the first time."""
        try:
            idle = keyboard_and_mouse.idle_time()
        except OSError as error:
            raise Unavailable(f"Windows does not tell of the last input: {error}") from error
        self._window.listen(WM_INPUT, self._moved)
        self._take(idle)

    def close(self) -> None:
        """Look no more."""
        self._window.unlisten(WM_INPUT, self._moved)
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._follow_no_more()

    def _take(self, idle: float) -> None:
        self.take(idle=idle >= self.after, ago=idle)
        if self._timer:
            self._timer.cancel()
        wait = LOOK_AGAIN if self.idle else self.after - idle + _STEP
        self._timer = asyncio.get_running_loop().call_later(wait, self._look)
        if not self.idle:
            self._follow_no_more()
        elif not self._following:
            self._following = True
            task = asyncio.create_task(self._follow())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        # A session that ends tells nothing more; it is looked again as if it went on.
        with suppress(OSError):
            self._take(keyboard_and_mouse.idle_time())

    def _moved(self, _: int, __: int) -> None:
        if self.idle:
            self._take(0)

    async def _follow(self) -> None:
        with suppress(OSError, Unavailable):
            await self._window.do(keyboard_and_mouse.follow)
        # Something may have been touched before Windows began to tell.
        self._look()

    def _follow_no_more(self) -> None:
        if self._following:
            self._following = False
            with suppress(OSError):
                keyboard_and_mouse.follow_no_more()
