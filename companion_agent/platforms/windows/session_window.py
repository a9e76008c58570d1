"""The invisible window of a session helper, by which Windows tells it of its session.

Its thread waits for messages and hands them to the event loop. What Windows tells only the thread
that has asked for it, domains have done in that thread.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
import threading
from typing import TYPE_CHECKING, TypeVar

from companion_agent.errors import Unavailable
from companion_agent.winapi import display, message_window, wts
from companion_agent.winapi.message_window import (
    WM_APP,
    WM_ENDSESSION,
    WM_POWERBROADCAST,
    WM_QUERYENDSESSION,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

_T = TypeVar("_T")

WINDOW = "Pilot session helper"
"""What the window is called."""

_YES = 1
# Seconds that the session's end waits for the helper; Windows itself waits five.
_END_WAITS = 2.0


class SessionWindow:
    """Hears what Windows tells the windows of this session. Its methods are the event loop's.

    Args:
        ended: Called when the session ends.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[int] = self._loop.create_future()
        self._heard: dict[int, list[Callable[[int, int], None]]] = defaultdict(list)
        self._settings: dict[UUID, list[Callable[[int], None]]] = defaultdict(list)
        self._jobs: deque[Callable[[], None]] = deque()
        self._tell_ended = ended
        self._window = 0
        self._thread = threading.Thread(target=self._run, name="session window", daemon=True)

    async def open(self) -> None:
        """Make the window.

        Raises:
            Unavailable: This session has no windows.
        """
        self._thread.start()
        try:
            self._window = await self._opened
        except OSError as error:
            raise Unavailable(f"this session has no windows: {error}") from error
        await self.do(lambda window: wts.WTSRegisterSessionNotification(window, 0))

    def close(self) -> None:
        """Take the window away."""
        if self._window:
            message_window.close(self._window)
            self._window = 0

    def listen(self, message: int, heard: Callable[[int, int], None]) -> None:
        """Have something called for a message, with its two parameters."""
        self._heard[message].append(heard)

    def unlisten(self, message: int, heard: Callable[[int, int], None]) -> None:
        """Have it called no more."""
        if heard in self._heard[message]:
            self._heard[message].remove(heard)

    async def follow(self, setting: UUID, heard: Callable[[int], None]) -> int:
        """Have something called for a power setting, soon and whenever it is set anew.

        Returns:
            What `unfollow()` takes.

        Raises:
            OSError: Windows does not know it.
        """
        self._settings[setting].append(heard)
        try:
            return await self.do(lambda window: display.follow(window, setting))
        except OSError:
            self._settings[setting].remove(heard)
            raise

    def unfollow(self, setting: UUID, heard: Callable[[int], None], followed: int) -> None:
        """Have it called no more."""
        self._settings[setting].remove(heard)
        display.follow_no_more(followed)

    async def do(self, job: Callable[[int], _T]) -> _T:
        """Have something done in the window's thread; it is given the window.

        Raises:
            Unavailable: The window has gone.
        """
        done: asyncio.Future[_T] = self._loop.create_future()
        window = self._window

        def work() -> None:
            try:
                result = job(window)
            except Exception as error:  # noqa: BLE001  (it is raised where it is awaited)
                self._hand_over(_fail, done, error)
            else:
                self._hand_over(_finish, done, result)

        self._jobs.append(work)
        if not message_window.post(window, WM_APP):
            self._jobs.remove(work)
            raise Unavailable("the helper's window has gone")
        return await done

    # --- In the window's thread ----------------------------------------------------------

    def _run(self) -> None:
        try:
            message_window.run(
                WINDOW, self._take, lambda window: self._hand_over(_finish, self._opened, window)
            )
        except OSError as error:
            self._hand_over(_fail, self._opened, error)

    def _take(self, message: int, first: int, second: int) -> int | None:
        if message == WM_APP:
            self._jobs.popleft()()
            return 0
        if message == WM_QUERYENDSESSION:
            return _YES
        if message == WM_ENDSESSION:
            if first:
                self._end()
            return 0
        if message == WM_POWERBROADCAST and first == display.POWER_SETTING_CHANGE:
            setting, value = display.power_setting(second)
            self._hand_over(self._set, setting, value)
            return _YES
        if self._heard.get(message):
            self._hand_over(self._tell, message, first, second)
        return None

    def _end(self) -> None:
        """Have the helper end in order: what returns from here may be ended at any moment."""
        self._hand_over(self._tell_ended)
        threading.main_thread().join(_END_WAITS)

    def _hand_over(self, call: Callable[..., None], *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    # --- In the event loop ---------------------------------------------------------------

    def _tell(self, message: int, first: int, second: int) -> None:
        for heard in list(self._heard[message]):
            heard(first, second)

    def _set(self, setting: UUID, value: int) -> None:
        for heard in list(self._settings[setting]):
            heard(value)


def _finish(done: asyncio.Future[_T], result: _T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[_T], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


async def open_window(ended: Callable[[], None]) -> SessionWindow:
    """Make a window.

    Args:
        ended: Called when the session ends.

    Raises:
        Unavailable: This session has no windows.
    """
    made = SessionWindow(ended)
    await made.open()
    return made
