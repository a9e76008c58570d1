"""When the collectors are read, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from companion_agent.platforms.base import HostInfo
from companion_agent.plugins.runner import PROBE_INTERVAL
from companion_agent.timing import SPREAD, Alarm, Grid
from companion_agent.worker import HungError, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import Watch
    from companion_agent.plugins.runner import CollectorRunner
    from companion_agent.worker import Result

_LOGGER = logging.getLogger("companion_agent.agent")

# Rates need two reads. The second comes soon after the first, so that they need not wait a whole
# interval; all further ones come on a grid that starts there.
SECOND_READ = 1.0
# Suspended for less than this, connections survive.
SUSPENDED_FOR = 1.0
# A host's name and addresses change rarely.
HOST_INTERVAL = PROBE_INTERVAL
_HOST_JOB = "host information"


class Scheduler:
    """Reads every collector at its interval, in a worker, and hands on what was read.

    `run()` is its task.

    Attributes:
        info: What the host says of itself; `None` until it was read.
        grid: When collectors are read, after the first time.

    Args:
        platform: The operating system.
        sources: The collectors at work.
        read: Called with the collectors that were read in one round, or that hang since just now.
        offered: Called with the name of a collector that reports other readings than before.
        suspended: Called with how long this machine was suspended, in seconds.
        clock: Monotonic seconds, those of the event loop.
        phase: The host's place among many, from 0 to 1: those that start in the same second (after
            a power cut) are read, and speak, at different moments.
        worker: Where collectors are read; one of its own when `None`. It is stopped at the end.
    """

    def __init__(
        self,
        platform: Platform,
        sources: Iterable[CollectorRunner],
        read: Callable[[Sequence[CollectorRunner]], None],
        offered: Callable[[str], None] = lambda _: None,
        suspended: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        phase: float | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.info: HostInfo | None = None
        began = clock()
        shift = 0.0 if phase is None else SECOND_READ + phase * (SPREAD - SECOND_READ)
        self.grid = Grid(began + SECOND_READ, shift)
        self._platform = platform
        self._sources = {source.name: source for source in sources}
        self._read = read
        self._tell_offered = offered
        self._tell_suspended = suspended
        self._clock = clock
        self._alarm = Alarm()
        self._worker = worker or Worker()
        self._due = dict.fromkeys((_HOST_JOB, *self._sources), began)
        self._suspended = platform.suspended_time()
        self._watches: dict[str, Watch] = {}

    async def run(self) -> None:
        """Read what is due, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take_results())
                while True:
                    self.notice_suspend()
                    self._submit()
                    await self._alarm.wait(min(self._due.values()))
        finally:
            for name in list(self._watches):
                self._watch(name, None)
            self._worker.stop()

    @property
    def sources(self) -> Sequence[CollectorRunner]:
        """The collectors at work."""
        return list(self._sources.values())

    @property
    def complete(self) -> bool:
        """Whether everything was read once, as far as it is there."""
        known = all(source.available is not None for source in self._sources.values())
        return known and self.info is not None

    def refresh(self) -> None:
        """Read everything at once."""
        self._due = dict.fromkeys(self._due, self._clock())
        self._alarm.ring()

    def read_soon(self, name: str) -> None:
        """Read a collector at once; again, if it is being read just now."""
        source = self._sources.get(name)
        if source is None:
            return
        # What is being read just now may have looked before.
        source.again = source.running
        self._due[name] = self._clock()
        self._alarm.ring()

    def awaits(self, name: str) -> bool:
        """Tell whether a collector is being read, or about to be."""
        source = self._sources.get(name)
        return source is not None and (source.running or self._due[name] <= self._clock())

    def notice_suspend(self) -> None:
        """Look at the clocks whether this machine has slept."""
        suspended = self._platform.suspended_time()
        if suspended is None or self._suspended is None:
            return
        slept, self._suspended = suspended - self._suspended, suspended
        if slept >= SUSPENDED_FOR:
            _LOGGER.info("This machine was suspended for %.0f s", slept)
            self._tell_suspended(slept)

    # --- In the event loop ---------------------------------------------------------------

    def _submit(self) -> None:
        now = self._clock()
        jobs = []
        for name, when in self._due.items():
            if when > now:
                continue
            if name == _HOST_JOB:
                self._due[name] = self.grid.next(HOST_INTERVAL, now)
                jobs.append(Job(_HOST_JOB, self._platform.host_info, HOST_INTERVAL))
                continue
            source = self._sources[name]
            self._due[name] = self.grid.next(source.wait, now)
            if not source.running:
                jobs.append(source.job())
        if jobs:
            self._worker.submit(jobs)

    async def _take_results(self) -> None:
        while True:
            results = await self._worker.results()
            self.notice_suspend()
            taken = [self._take(result) for result in results]
            self._read([source for source in taken if source])

    def _take(self, result: Result) -> CollectorRunner | None:
        if result.name == _HOST_JOB:
            if isinstance(result.value, HostInfo):
                self.info = result.value
            else:
                _LOGGER.debug("Cannot describe this host", exc_info=result.error)
            return None
        source = self._sources[result.name]
        if isinstance(result.error, HungError):
            source.hang()
            return source
        before, readings = (source.available, source.interval), source.readings
        source.take(result)
        if source.again:
            source.again = False
            self._due[source.name] = self._clock()
        elif (source.available, source.interval) != before:
            self._due[source.name] = self.grid.next(source.wait, self._clock())
        if source.readings != readings:
            self._tell_offered(source.name)
        self._watch(source.name, source.watch)
        self._alarm.ring()
        return source

    def _watch(self, name: str, watch: Watch | None) -> None:
        """Have the event loop wait for what says that a collector is to be read, or no more."""
        before = self._watches.get(name)
        if watch is before:
            return
        loop = asyncio.get_running_loop()
        if before is not None:
            loop.remove_reader(self._watches.pop(name))
        if watch is None:
            return
        try:
            loop.add_reader(watch, self._heard, name)
        except (OSError, ValueError) as error:
            # Another package's plug-in may return anything; it is read at its interval.
            _LOGGER.debug("%s: its watch cannot be waited for", name, exc_info=error)
        else:
            self._watches[name] = watch

    def _heard(self, name: str) -> None:
        try:
            changed = self._watches[name].changed()
        except Exception as error:
            _LOGGER.debug("%s: its watch has failed", name, exc_info=error)
            self._watch(name, None)
            return
        if changed:
            self.read_soon(name)
