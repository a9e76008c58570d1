"""Programs that the local file names: whether they run, how often, and what they take."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.matching import Matcher, SlowPatternError
from companion_agent.models import Reading
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import title
from companion_agent.plugins.processes.settings import WatchedProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection, Value
    from companion_agent.platforms.base import Platform, ProcessSample
    from companion_agent.plugins.base import PluginContext
    from companion_agent.plugins.processes.settings import WatchedProcess

# A process may become another program while it is looked at (fork and exec under one name).
_LOOKS = 2
# Seconds that the search in one command line may take: any user of the machine writes those.
_MATCH_LIMIT = 1.0


class _Known(NamedTuple):
    """A process that was looked at.

    Attributes:
        name: What it was called then.
        programs: Which of the watched ones it is.
        looks: How often it was looked at.
        cpu_time: The processor time that it had used, in seconds.
    """

    name: str
    programs: tuple[str, ...]
    looks: int
    cpu_time: float


class ProcessesPlugin(Collector):
    """Reads all processes once, and sums up those of watched programs.

    A program that does not run is off, and takes nothing.

    Args:
        platform: The operating system.
        selection: Not used: the configuration names each program.
        config: The programs.
        clock: Monotonic seconds.
    """

    name: ClassVar[str] = "processes"
    interval: ClassVar[float] = 30

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: WatchedProcesses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(platform, selection)
        self._config = config.processes if config else {}
        self._clock = clock
        self._known: dict[tuple[int, float], _Known] = {}
        self._read_at: float | None = None
        self._slow: dict[str, str] = {}
        self._cores = os.cpu_count() or 1
        self.described = tuple(
            reading
            for name, one in self._config.items()
            for reading in _readings(name, title(one.name or name))
        )

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the programs that the configuration names."""
        return cls(context.platform, context.selection, context.get(WatchedProcesses))

    def probe(self) -> None:
        """Tell whether there is anything to watch.

        Raises:
            Unavailable: No program is named.
        """
        if not self._config:
            raise Unavailable(
                "no program is named in the configuration", "name programs under 'processes'"
            )

    def collect(self) -> Mapping[str, Value]:
        """Read all processes, and sum up."""
        self.probe()
        before, known = self._known, dict[tuple[int, float], _Known]()
        counts = dict.fromkeys(self._config, 0)
        memory = dict.fromkeys(self._config, 0)
        used = dict.fromkeys(self._config, 0.0)
        self._slow = {}
        with Matcher(_MATCH_LIMIT) as matcher:
            for process in self.platform.process_samples():
                known[process.id] = now = self._look(process, before.get(process.id), matcher)
                last = before[process.id].cpu_time if process.id in before else 0.0
                for name in now.programs:
                    counts[name] += 1
                    memory[name] += process.memory
                    used[name] += max(now.cpu_time - last, 0.0)
        self._known = known
        read_at, self._read_at = self._read_at, self._clock()
        passed = self._read_at - read_at if read_at is not None else 0.0
        values: dict[str, Value] = {}
        for name in self._config:
            if name in self._slow:
                keys = ("running", "count", "memory", "cpu_percent")
                values |= dict.fromkeys(f"{name}.{key}" for key in keys)
                continue
            values[f"{name}.running"] = counts[name] > 0
            values[f"{name}.count"] = counts[name]
            values[f"{name}.memory"] = memory[name]
            # Between two readings; a first one has nothing to compare with.
            share = used[name] / passed / self._cores * 100 if passed > 0 else None
            values[f"{name}.cpu_percent"] = None if share is None else min(share, 100.0)
        return values

    def troubles(self) -> Mapping[str, str]:
        """Say of which programs it could not be found out whether they run."""
        return dict(self._slow)

    def _look(self, process: ProcessSample, last: _Known | None, matcher: Matcher) -> _Known:
        if last is not None and last.name == process.name and last.looks >= _LOOKS:
            return last._replace(cpu_time=process.cpu_time)
        arguments = process.arguments()
        programs = tuple(
            key
            for key, one in self._config.items()
            if self._matches(one, key, process.name, arguments, matcher)
        )
        looks = 1 if last is None or last.name != process.name else last.looks + 1
        if self._slow:
            # Something was left out, perhaps of this one.
            looks = 0
        return _Known(process.name, programs, looks, process.cpu_time)

    def _matches(
        self,
        one: WatchedProcess,
        key: str,
        name: str,
        arguments: Sequence[str],
        matcher: Matcher,
    ) -> bool:
        if key in self._slow:
            # It has had its time in this pass.
            return False
        try:
            return one.matches(key, name, arguments, matcher)
        except SlowPatternError as error:
            self._slow[key] = str(error)
            return False


def _readings(name: str, label: str) -> Iterator[Reading]:
    yield Reading(f"{name}.running", kind="processes.running", of=label)
    yield Reading(f"{name}.count", kind="processes.count", of=label, resolution=1)
    yield Reading(
        f"{name}.cpu_percent", kind="processes.cpu_percent", of=label, resolution=0.1, deadband=0.5
    )
    # The system counts pages of 4 KiB; a program at rest moves by some of them.
    yield Reading(
        f"{name}.memory", kind="processes.memory", of=label, resolution=65_536, deadband=524_288
    )
