"""Runs what may block, reading a disk or asking a driver, and survives what hangs."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
import math
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.protocol.errors import PilotError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Others wait for a slow job no longer than this; then a fresh thread goes on with them. Well
# below three of the shortest usual intervals, after which their readings would be stale.
PATIENCE = 5.0
# While results are awaited, partial ones are handed out this often: a batch that takes longer
# has something slow in it, and the others' values shall not wait for it.
PARTIAL_RESULTS = 1.0


class HungError(PilotError):
    """A job did not end within its limit; its thread still waits for it."""


class Job(NamedTuple):
    """Something to do in the worker.

    Attributes:
        name: Whose it is.
        run: What to do.
        limit: Seconds after which it counts as hung; infinity for never.
    """

    name: str
    run: Callable[[], object]
    limit: float


class Result(NamedTuple):
    """What became of a job.

    Attributes:
        name: The job's name.
        value: What it returned.
        error: What it raised instead; a `HungError` says that it did not end in time.
    """

    name: str
    value: object = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Entry:
    """A job in the queue, and the future of who waits for this one alone."""

    job: Job
    future: asyncio.Future[object] | None = None


@dataclass(slots=True, eq=False)
class _Thread:
    """One thread and what it still has to do. `None` among the entries ends a batch."""

    entries: queue.SimpleQueue[_Entry | None] = field(default_factory=queue.SimpleQueue)
    current: tuple[_Entry, float] | None = None
    relieved: bool = False


class Worker:
    """One thread for all jobs, in order; a slow one is left alone with its thread.

    All methods belong to the event loop's thread. The worker's is started with the first job.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: deque[tuple[_Entry, Result]] = deque()  # filled by the threads
        self._results: list[Result] = []
        self._arrived = asyncio.Event()
        self._thread: _Thread | None = None
        self._slow: list[_Thread] = []
        self._waiting: set[_Entry] = set()  # those that did not end, and do not hang
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, job: Job) -> object:
        """Do a job and return what it returns; giving up the wait does not end the job.

        Raises:
            HungError: It did not end in time; what still comes of it is dropped.
            Exception: What the job raises.
        """
        return await self.start([job])[0]

    def start(self, jobs: Iterable[Job]) -> list[asyncio.Future[object]]:
        """Do jobs one after the other; the futures end as `run()` does, at the same time."""
        loop = asyncio.get_running_loop()
        entries = [_Entry(job, loop.create_future()) for job in jobs]
        self._put(entries)
        return [entry.future for entry in entries if entry.future]

    def submit(self, jobs: Iterable[Job]) -> None:
        """Do jobs one after the other; `results()` brings what became of them."""
        self._put([_Entry(job) for job in jobs])

    async def results(self) -> list[Result]:
        """Wait for results of what was submitted: together, unless one of them takes long.

        A job that hangs gives a `HungError` first, and its true result if it ever ends.
        """
        await self._arrived.wait()
        self._arrived.clear()
        results, self._results = self._results, []
        return results

    def stop(self) -> None:
        """Let the thread end after what it has begun; a hung one does not hold up the process."""
        self._waiting.clear()
        self._set_timer()
        if self._thread:
            self._thread.relieved = True
            self._thread.entries.put(None)
            self._thread = None

    # --- In the event loop ---------------------------------------------------------------

    def _put(self, entries: list[_Entry]) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting.update(entries)
        # The thread is woken last, when the loop has little left to do before it sleeps: earlier,
        # it would only wake to wait for the interpreter.
        self._loop.call_soon(self._begin, entries)
        self._set_timer()

    def _begin(self, entries: list[_Entry]) -> None:
        if not self._waiting.issuperset(entries):
            # It was stopped meanwhile.
            return
        thread = self._thread or self._start()
        for entry in entries:
            thread.entries.put(entry)
        thread.entries.put(None)

    def _start(self) -> _Thread:
        thread = self._thread = _Thread()
        threading.Thread(target=self._work, args=(thread,), name="worker", daemon=True).start()
        return thread

    def _deliver(self) -> None:
        """Hand out what the threads have brought."""
        while self._ended:
            entry, result = self._ended.popleft()
            self._waiting.discard(entry)
            self._hand_out(entry, result)
        self._set_timer()

    def _hand_out(self, entry: _Entry, result: Result) -> None:
        if entry.future is None:
            self._results.append(result)
            self._arrived.set()
        elif entry.future.done():
            # It hung, or is not waited for any more.
            return
        elif result.error:
            entry.future.set_exception(result.error)
        else:
            entry.future.set_result(result.value)

    def _set_timer(self) -> None:
        """Look again when something may be slow, and when a slow job's limit is over."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._waiting or self._loop is None:
            return
        now = self._loop.time()
        slow = [
            thread.current
            for thread in self._slow
            if thread.current and thread.current[0] in self._waiting
        ]
        due = min((started + entry.job.limit for entry, started in slow), default=math.inf)
        if len(self._waiting) > len(slow):
            due = min(due, now + PARTIAL_RESULTS)
        if due < math.inf:
            self._timer = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        """Relieve the thread of a slow job, and name the jobs that hang since just now."""
        self._deliver()
        now = self._now()
        thread = self._thread
        if thread and (current := thread.current) and now - current[1] >= PATIENCE:
            self._relieve(thread)
        for slow in list(self._slow):
            if (current := slow.current) is None:
                self._slow.remove(slow)
                continue
            entry, started = current
            if entry in self._waiting and now - started >= entry.job.limit:
                self._waiting.discard(entry)
                hung = HungError(f"it did not end within {entry.job.limit:g} s")
                self._hand_out(entry, Result(entry.job.name, error=hung))
        self._set_timer()

    def _relieve(self, slow: _Thread) -> None:
        slow.relieved = True
        self._slow.append(slow)
        fresh = self._start()
        with suppress(queue.Empty):
            while True:
                fresh.entries.put(slow.entries.get_nowait())
        # It may have come back just now and wait for more: this ends it.
        slow.entries.put(None)

    def _now(self) -> float:
        assert self._loop
        return self._loop.time()

    # --- In the threads ------------------------------------------------------------------

    def _work(self, thread: _Thread) -> None:
        while not thread.relieved:
            entry = thread.entries.get()
            if entry is not None:
                thread.current = (entry, self._now())
                self._ended.append((entry, _perform(entry.job)))
                thread.current = None
            # What follows at once is waited for: one waking of the event loop is enough for both.
            last = entry is None and thread.entries.empty()
            if (last or thread.relieved) and self._loop:
                # Nothing waits for it after the end of the event loop.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._deliver)


def _perform(job: Job) -> Result:
    try:
        return Result(job.name, job.run())
    except Exception as error:  # noqa: BLE001  (a plug-in that raises must not end the worker)
        return Result(job.name, error=error)
