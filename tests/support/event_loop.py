"""An event loop that turns when a test wants, by the clock of the test."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

# Only a machine that is far too busy needs longer; a test that waits this long has failed.
PATIENCE = 20.0
# What is awaited may come from a thread that tells nothing: look this often, in seconds.
_LOOK_EVERY = 0.02


class _Selector(selectors.DefaultSelector):
    """Waits no longer than a test may have to look, and then has it look."""

    def __init__(self) -> None:
        super().__init__()
        self.limit: float | None = None
        self.look: Callable[[bool], None] = lambda _: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        idle = timeout is None or timeout > 0
        if idle and self.limit is not None:
            timeout = self.limit if timeout is None else min(timeout, self.limit)
        ready = super().select(timeout)
        self.look(idle and not ready)
        return ready


class ManualEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a clock of a test, and that turns when the test wants.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._test_clock = clock
        self._test_selector = _Selector()
        super().__init__(self._test_selector)
        self._spawned: list[asyncio.Task[Any]] = []
        self._failures: list[BaseException] = []
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self._test_clock()

    def spawn(self, part: Coroutine[Any, Any, Any]) -> None:
        """Have a part run whenever this turns; what it raises fails the test."""
        self._spawned.append(self.create_task(part))

    def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function of the code under test as a callback of this is called."""

        async def go() -> T:
            return function(*args, **options)

        return self.run_until_complete(go())

    def until(self, done: Callable[[], object]) -> None:
        """Turn until something is so."""
        limit = time.monotonic() + PATIENCE

        def look(_: bool) -> None:
            if done() or time.monotonic() > limit:
                self.stop()

        self._turn(_LOOK_EVERY, look)
        assert done(), "it does not come to pass"

    def settle(self, busy: Callable[[], object] = lambda: False, grace: float = 0.0) -> None:
        """Turn until there is nothing to do at this time.

        Args:
            busy: Whether a thread still does something.
            grace: Real seconds in which another thread or process may still say something.
        """
        limit = time.monotonic() + PATIENCE

        def look(idle: bool) -> None:
            working = busy()
            self._test_selector.limit = _LOOK_EVERY if working else grace
            if (idle and not working) or time.monotonic() > limit:
                self.stop()

        self._turn(grace, look)
        assert time.monotonic() <= limit, "it does not come to rest"

    def cancel(self) -> None:
        """Cancel what was spawned, and wait for its end."""
        for task in self._spawned:
            task.cancel()
        if self._spawned:
            self.run_until_complete(asyncio.wait(self._spawned))
        self._spawned.clear()

    def end(self) -> None:
        """Cancel what was spawned, and close this."""
        if not self.is_closed():
            self.cancel()
            self.close()

    def _turn(self, limit: float, look: Callable[[bool], None]) -> None:
        self._test_selector.limit, self._test_selector.look = limit, look
        try:
            self.run_forever()
        finally:
            self._test_selector.limit, self._test_selector.look = None, lambda _: None
        for task in self._spawned:
            if task.done() and not task.cancelled():
                task.result()
        if self._failures:
            raise self._failures.pop(0)

    def _note_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if error := context.get("exception"):
            self._failures.append(error)
        else:
            loop.default_exception_handler(context)


def wait_until(done: Callable[[], T], patience: float = PATIENCE) -> T:
    """Wait for what another thread or process does without telling; return what is true then."""
    until = time.monotonic() + patience
    while not (result := done()):
        assert time.monotonic() < until, "it does not come to pass"
        threading.Event().wait(0.01)
    return result
