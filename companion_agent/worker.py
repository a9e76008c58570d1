"""Runs what may block, reading a disk or asking a driver, and survives what hangs."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
import queue
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Others wait for a slow job no longer than this; then a fresh thread goes on with them. Well
# below three of the shortest usual intervals, after which their readings would be stale.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do in the worker.

    Attributes:
        name: Whose it is; one job per name at a time.
        run: What to do.
        limit: Seconds after which it counts as hung.
    """

    name: str
    run: Callable[[], object]
    limit: float


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job.

    Attributes:
        name: The job's name.
        value: What it returned.
        error: What it raised instead.
    """

    name: str
    value: object = None
    error: Exception | None = None


@dataclass(slots=True)
class _Shift:
    """One thread and what it still has to do. `None` among the jobs ends a batch."""

    jobs: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue)
    current: tuple[Job, float] | None = None
    relieved: bool = False


class Worker:
    """One thread for all jobs, in order; a slow one is left alone with its thread.

    All methods are called by the loop's thread. The thread is started with the first job.

    Args:
        wake: Wakes the loop; called by the worker's threads at the end of a batch.
        clock: Monotonic seconds.
    """

    def __init__(
        self, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._results: deque[Result] = deque()
        self._shift: _Shift | None = None
        self._slow: list[_Shift] = []
        self._hung: set[str] = set()
        self._waiting: set[str] = set()

    @property
    def watching(self) -> bool:
        """Whether results are still expected; those of hung jobs are not."""
        return not self._waiting <= self._hung

    def submit(self, jobs: Iterable[Job]) -> None:
        """Do jobs one after the other; the loop is woken after the last one."""
        shift = self._shift or self._start()
        for job in jobs:
            self._waiting.add(job.name)
            shift.jobs.put(job)
        shift.jobs.put(None)

    def results(self) -> list[Result]:
        """Take the results that are there."""
        taken = []
        while self._results:
            result = self._results.popleft()
            self._waiting.discard(result.name)
            self._hung.discard(result.name)
            taken.append(result)
        return taken

    def hung(self) -> list[str]:
        """Relieve the thread of a slow job; name the jobs that passed their limit just now."""
        now = self._clock()
        shift = self._shift
        if shift and (current := shift.current) and now - current[1] >= PATIENCE:
            self._relieve(shift)
        found = []
        for slow in list(self._slow):
            current = slow.current
            if current is None:
                self._slow.remove(slow)
                continue
            job, started = current
            if now - started >= job.limit and job.name not in self._hung:
                self._hung.add(job.name)
                found.append(job.name)
        return found

    def stop(self) -> None:
        """Let the thread end after what it has begun; a hung one does not hold up the process."""
        if self._shift:
            self._shift.relieved = True
            self._shift.jobs.put(None)
            self._shift = None

    def _start(self) -> _Shift:
        shift = self._shift = _Shift()
        threading.Thread(target=self._work, args=(shift,), name="worker", daemon=True).start()
        return shift

    def _relieve(self, slow: _Shift) -> None:
        slow.relieved = True
        self._slow.append(slow)
        fresh = self._start()
        with suppress(queue.Empty):
            while True:
                fresh.jobs.put(slow.jobs.get_nowait())
        # It may have come back just now and wait for more: this ends it.
        slow.jobs.put(None)

    def _work(self, shift: _Shift) -> None:
        while not shift.relieved:
            job = shift.jobs.get()
            if job is not None:
                shift.current = (job, self._clock())
                self._results.append(_perform(job))
                shift.current = None
            if job is None or shift.relieved:
                self._wake()


def _perform(job: Job) -> Result:
    try:
        return Result(job.name, job.run())
    except Exception as error:  # noqa: BLE001  (a collector that raises must not end the worker)
        return Result(job.name, error=error)
