"""The active window of a Windows session: the one in front."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.plugins.window.helper import WindowDomain
from companion_agent.plugins.window.watch import Window, WindowWatch
from companion_agent.winapi import foreground
from companion_agent.winapi.foreground import (
    CAME_TO_FRONT,
    DESKTOP_SWITCHED,
    MINIMIZED_ENDED,
    MOVED,
    RENAMED,
    Hook,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from companion_agent.platforms.windows.session_window import SessionWindow


class WindowsWindowDomain(WindowDomain):
    """Tells of the active window."""

    async def _ways(self) -> AsyncIterator[WindowWatch]:
        yield ForegroundWindow(self.context.window(), self._changed)


class ForegroundWindow(WindowWatch):
    """Follows which window comes to the front, and what becomes of it there.

    Args:
        window: The helper's own window, whose thread hears of others.
        changed: As for every way.
    """

    def __init__(self, window: SessionWindow, changed: Callable[[], None]) -> None:
        super().__init__("SetWinEventHook", changed)
        self._window = window
        self._loop = asyncio.get_running_loop()
        # In the thread of the helper's window.
        self._hooks: list[Hook] = []
        self._of_front: list[Hook] = []
        self._front = 0

    async def open(self) -> None:
        """Find the window in front, and begin to follow."""
        try:
            await self._window.do(self._begin)
        except OSError as error:
            raise Unavailable(f"Windows does not tell which window is in front: {error}") from error

    def close(self) -> None:
        """Follow no more."""
        task = asyncio.ensure_future(self._window.do(self._end))
        # The window may be gone already, and the hooks with it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    # --- In the thread of the helper's window --------------------------------------------

    def _begin(self, _: int) -> None:
        # One that is shown again comes to the front without being said to, and so does the lock
        # screen, which is a desktop of its own and has no window that is told.
        self._hooks = [
            Hook(event, event, self._hear)
            for event in (CAME_TO_FRONT, MINIMIZED_ENDED, DESKTOP_SWITCHED)
        ]
        self._follow_front()

    def _end(self, _: int) -> None:
        for hook in (*self._hooks, *self._of_front):
            hook.close()

    def _hear(self, _: int, __: int) -> None:
        self._follow_front()

    def _hear_of_front(self, event: int, window: int) -> None:
        # Where it is says only whether it fills the screen.
        if window == self._front and event in (MOVED, RENAMED):
            self._look()

    def _follow_front(self) -> None:
        self._front = foreground.window()
        for hook in self._of_front:
            hook.close()
        self._of_front = []
        if process := foreground.process(self._front) if self._front else 0:
            # Of all windows these are told hundreds of times a second.
            with suppress(OSError):
                self._of_front = [Hook(MOVED, RENAMED, self._hear_of_front, process)]
        self._look()

    def _look(self) -> None:
        found = _seen(self._front) if self._front else None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, found)


def _seen(window: int) -> Window:
    program = ""
    with suppress(OSError):
        program = foreground.program(window)
    return Window(window, foreground.title(window), program, foreground.fills_screen(window))
