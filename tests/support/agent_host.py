"""A host to invent, and an agent that runs on it in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from companion_agent.agent import Agent
from companion_agent.errors import Unavailable
from companion_agent.models import Counters, Reading, Value
from companion_agent.platforms.base import HostInfo
from companion_agent.plugins.base import Collector
from companion_agent.plugins.runner import CollectorRunner

from .clock import PassingClock
from .event_loop import PATIENCE, ManualEventLoop, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.config.settings import Config
    from companion_agent.platforms.base import ConsoleScreen
    from companion_agent.platforms.control import HostControl

HOST = "9c3f6f0e3a5b4d21"
PREFIX = f"pilot/v2/{HOST}"

WITHOUT_PACKAGE_MANAGERS = {"PILOT_COLLECTORS__UPDATES__ENABLED": "no"}
"""Environment of agents that are processes: what waits on this machine takes apt seconds of a
processor to tell, for each of them anew."""


class FakePlatform:
    """An operating system that answers what a test wants."""

    def __init__(self, installation: str | None = "installation") -> None:
        self.info = HostInfo("office-pc", "Test OS 1", "x86_64", macs=("00:00:5e:00:53:01",))
        self.installation = installation
        self.suspended: float | None = 0.0

    def host_info(self) -> HostInfo:
        return self.info

    def installation_id(self) -> str | None:
        return self.installation

    def suspended_time(self) -> float | None:
        return self.suspended

    def control(self) -> HostControl:
        raise Unavailable("this operating system controls nothing")

    def console_screen(self) -> ConsoleScreen:
        raise Unavailable("this operating system has no console")

    def connected_monitors(self) -> list[str]:
        return []

    def boot_id(self) -> str | None:
        return None

    def clock_confirmed(self) -> bool:
        return False


class FakeCollector(Collector):
    """A source of readings whose values, failures and slowness a test decides."""

    name = "fake"
    interval = 10

    def __init__(self, name: str = "fake", **values: Value) -> None:
        super().__init__(FakePlatform())  # type: ignore[arg-type]
        self.name = name  # type: ignore[misc]
        self.values: dict[str, Value] = values or {"percent": 12.5}
        self.failure: Exception | None = None
        self.missing: Exception | None = None
        self.gate: threading.Event | None = None
        self.entered = threading.Event()
        self.probes = 0
        self.reads = 0
        self.offered: Sequence[Reading] | None = None

    def probe(self) -> None:
        self.probes += 1
        if self.missing:
            raise self.missing

    def readings(self) -> Sequence[Reading]:
        if self.offered is not None:
            return self.offered
        return [Reading(key) for key in self.values]

    def collect(self) -> Mapping[str, Value]:
        self.entered.set()
        if self.gate:
            self.gate.wait(PATIENCE)
        if self.missing:
            raise self.missing
        if self.failure:
            raise self.failure
        read = dict(self.values)
        self.reads += 1
        return read


class AgentThread:
    """A thread in which an agent runs, by a clock that a test may advance."""

    def __init__(self, agent: Agent, clock: Callable[[], float]) -> None:
        self.loop = ManualEventLoop(clock)
        self.error: Exception | None = None
        self._agent = agent
        self._clock = clock
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def advance(self, seconds: float) -> None:
        assert isinstance(self._clock, PassingClock)
        self._clock.advance(seconds)
        self.loop.call_soon_threadsafe(lambda: None)

    def stop(self) -> None:
        self._agent.stop()
        self.wait_for_end()
        if self.error:
            raise self.error

    def wait_for_end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.closing(self.loop):
            try:
                self.loop.run_until_complete(self._agent.run())
            except Exception as error:  # noqa: BLE001  (the test's thread raises it)
                self.error = error


class RunningAgent:
    """An agent in a thread of its own."""

    def __init__(
        self,
        config: Config,
        platform: FakePlatform,
        collectors: Sequence[FakeCollector],
        clock: PassingClock,
        session: str,
        interval: float,
        *,
        present: bool = False,
    ) -> None:
        self.counts = Counters()
        self.clock = clock
        self.agent = Agent(
            config,
            platform,  # type: ignore[arg-type]
            [CollectorRunner(collector, interval) for collector in collectors],
            HOST,
            session,
            self.counts,
            clock,
            present=present,
        )
        self.thread = AgentThread(self.agent, clock)

    def wake(self) -> None:
        """Let it look at the clocks."""
        self.thread.loop.call_soon_threadsafe(self.agent._scheduler.notice_suspend)

    def advance(self, seconds: float) -> None:
        self.thread.advance(seconds)

    def wait_until_it_gave_way(self) -> None:
        """Wait for what Home Assistant cannot hear, because it happens without a word."""
        wait_until(lambda: self.agent._publisher.gave_way)

    def wait_until_nothing_is_read_within(self, seconds: float) -> None:
        """Wait until all that is due was read, and nothing will be due for some seconds."""
        scheduler = self.agent._scheduler

        # In the loop's thread: elsewhere a read could begin between the two looks.
        async def rests() -> bool:
            due = min(scheduler._due[source.name] for source in scheduler.sources)
            reading = any(source.running for source in scheduler.sources)
            return not reading and due > self.clock() + seconds

        loop = self.thread.loop
        wait_until(lambda: asyncio.run_coroutine_threadsafe(rests(), loop).result(PATIENCE))

    def read_again(self, key: str) -> None:
        """Have what was set read, and wait until the loop has seen to it."""
        collector = key.partition(".")[0]
        scheduler = self.agent._scheduler
        self.thread.loop.call_soon_threadsafe(scheduler.read_soon, collector)
        wait_until(lambda: scheduler._sources[collector].again)

    def stop(self) -> None:
        self.thread.stop()
