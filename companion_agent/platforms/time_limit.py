"""Calls that may never return, each with a limit of time.

A system call that hangs (a file system whose server or disk is dead, a driver that waits for its
device) cannot be ended. Its thread is left to it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
import queue
import threading
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")

# Seconds for all calls of one round together: below the worker's patience.
PATIENCE = 4.0
# Seconds after which another thread goes on with the rest.
STALL = 0.25
# Threads that may hang at a time. Each holds some 30 KiB.
MOST = 64
# Threads that wait for the next round: making one wakes its maker twice.
KEPT = 1

_idle: deque[_Thread] = deque()


class _Thread:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], threading.Lock]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, name="time-limited", daemon=True).start()

    def begin(self, work: Callable[[], None]) -> threading.Lock:
        """Have something done; the lock is free when it is."""
        ended = threading.Lock()
        ended.acquire()
        self._jobs.put((work, ended))
        return ended

    def _run(self) -> None:
        kept = True
        while kept:
            work, ended = self._jobs.get()
            try:
                work()
            finally:
                if kept := len(_idle) < KEPT:
                    _idle.append(self)
                ended.release()


def _begin(work: Callable[[], None]) -> threading.Lock:
    """Have something done in a thread that waits, or in a new one."""
    with suppress(IndexError):
        return _idle.pop().begin(work)
    return _Thread().begin(work)


class TimeLimitedCalls(Generic[K, T]):
    """Calls a function for each of several things, so that one that hangs holds up no other.

    As long as all answer, one thread does it all. What hangs is not called again until it has
    returned.

    Args:
        call: What to call, in another thread; it must not raise.
    """

    def __init__(self, call: Callable[[K], T]) -> None:
        self._call = call
        self._calling: set[K] = set()

    @property
    def hung(self) -> Collection[K]:
        """The things whose call has not returned."""
        return frozenset(self._calling)

    def results(self, keys: Iterable[K]) -> dict[K, T]:
        """Call for every key; return what came back in time."""
        waiting = deque(key for key in keys if key not in self._calling)
        found: dict[K, T] = {}

        def work() -> None:
            while waiting:
                try:
                    key = waiting.popleft()
                except IndexError:
                    return
                self._calling.add(key)
                try:
                    found[key] = self._call(key)
                finally:
                    self._calling.discard(key)

        until = monotonic() + PATIENCE
        slow: list[threading.Lock] = []
        while waiting and len(self._calling) < MOST and monotonic() < until:
            ended = _begin(work)
            if not ended.acquire(timeout=STALL):
                slow.append(ended)
        for ended in slow:
            ended.acquire(timeout=max(0.0, until - monotonic()))
        # A thread that comes back later must not go on with what the next round asks anew.
        waiting.clear()
        return dict(found)
