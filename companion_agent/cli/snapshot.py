"""Reads every collector once or more, for `pilot-agent read` and `pilot-agent doctor`."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from companion_agent import platforms
from companion_agent.errors import Unavailable
from companion_agent.plugins import COLLECTORS, create
from companion_agent.plugins.runner import Source
from companion_agent.worker import Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.i2c.overrides import Tuned
    from companion_agent.plugins.i2c.settings import I2cConfig

# Rates are taken over this time: long enough for a figure that means something.
GAP = 1.0
# A collector that takes longer hangs; the others are shown without it.
LIMIT = 10.0


class Survey:
    """What every collector found.

    Attributes:
        sources: The collectors, with what they read.
        gone: Why a collector is not available, by its name.
    """

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        self.gone: dict[str, Unavailable] = {}

    @classmethod
    def of_this_host(
        cls,
        names: Collection[str] = (),
        selections: Callable[[str], Selection | None] = lambda _: None,
        platform: Platform | None = None,
        sensors: I2cConfig | None = None,
        tuned: Tuned | None = None,
    ) -> Survey:
        """Survey this host.

        Args:
            names: The collectors to ask; all when empty.
            selections: What the user wants of a collector.
            platform: The operating system; this one when `None`.
            sensors: The sensors that the configuration names.
            tuned: What was changed of them from Home Assistant.
        """
        platform = platform or platforms.current()
        survey = cls(
            [
                Source(
                    create(name, platform, selections(name), sensors=sensors, tuned=tuned),
                    collector.interval,
                )
                for name, collector in COLLECTORS.items()
                if not names or name in names
            ]
        )
        survey.read()
        return survey

    def read(self) -> None:
        """Read everything twice, for the rates."""
        woken = threading.Event()
        worker = Worker(woken.set)
        self._read_all(worker, woken)
        if any(source.available for source in self.sources):
            time.sleep(GAP)
            self._read_all(worker, woken)
        worker.stop()

    def _read_all(self, worker: Worker, woken: threading.Event) -> None:
        waiting = {source.name: source for source in self.sources if not source.running}
        jobs = [source.job() for source in waiting.values() if source.available is not False]
        worker.submit(Job(job.name, job.run, LIMIT) for job in jobs)
        waiting = {job.name: waiting[job.name] for job in jobs}
        until = time.monotonic() + LIMIT + 1
        while waiting and time.monotonic() < until:
            # Slow ones are relieved of their thread here, so that the others get theirs.
            woken.wait(0.2)
            woken.clear()
            worker.hung()
            for result in worker.results():
                source = waiting.pop(result.name)
                source.take(result)
                if isinstance(result.error, Unavailable):
                    self.gone[source.name] = result.error
        for source in waiting.values():
            source.hang()
