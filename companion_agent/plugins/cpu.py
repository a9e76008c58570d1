"""The processor: use in total and per core, load, frequency, temperature, context switches."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.hardware_monitor import monitor_of
from companion_agent.plugins.rates import SHORTEST, Rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    from companion_agent.platforms.base import CpuSample, CpuTimes, Platform
    from companion_agent.platforms.libre_hardware_monitor import LibreHardwareMonitor
    from companion_agent.plugins.base import PluginContext

_LOADS = ("load_1m", "load_5m", "load_15m")
_REASONS = {
    "temperature": "no sensor is known to be the processor's",
    "context_switches": "the system does not tell how often its cores change tasks",
}

_FIXED = {
    reading.key: reading
    for reading in (
        # A hundred ticks a second and core: over ten seconds 0.1 % is real. Half a percent is
        # what an idle system's timers do.
        Reading("percent", resolution=0.1, deadband=0.5),
        # The kernel writes two decimals; a load wanders by some hundredths at rest.
        *(Reading(key, resolution=0.01, deadband=0.05) for key in _LOADS),
        # Cores change their clock a hundred times a second, by a bus clock of 25 MHz and more.
        Reading("frequency", resolution=1, deadband=25),
        # Drivers resolve 1, 0.5 or 0.125 °C, and the last step flickers.
        Reading("temperature", resolution=0.1, deadband=0.5),
        # A system at rest has some hundreds a second, never the same.
        Reading("context_switches", resolution=10, deadband=100),
    )
}


class CpuPlugin(Collector):
    """Reads the processor. Percentages are of the time since the last reading."""

    name: ClassVar[str] = "cpu"
    interval: ClassVar[float] = 10

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        monitor: LibreHardwareMonitor | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._monitor = monitor
        self._rates = Rates()
        self._shares = _Shares()
        # What could be read once is announced from then on, also while it cannot be read.
        self._offered = frozenset[str]()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it, with LibreHardwareMonitor for the temperature where that is configured."""
        return cls(context.platform, context.selection, monitor_of(context))

    def collect(self) -> Mapping[str, Value]:
        """Read the processor."""
        sample = self.platform.cpu()
        percent, shares = self._shares.measure(sample)
        optional = self._optional(sample)
        offered = {"percent", *(key for key, value in optional.items() if value is not None)}
        if sample.context_switches is not None:
            offered.add("context_switches")
        self._offered |= offered
        self.describe((tuple(shares), self._offered), lambda: _readings(shares, self._offered))
        values: dict[str, Value] = {"percent": percent}
        values.update((key, value) for key, value in optional.items() if key in self._offered)
        values.update((f"core.{number}.percent", share) for number, share in shares.items())
        return values

    def left_out(self) -> Mapping[str, str]:
        """Say what this host does not tell of its processor."""
        if not self.described:
            return {}
        return {key: why for key, why in _REASONS.items() if key not in self._offered}

    def _optional(self, sample: CpuSample) -> dict[str, float | None]:
        values: dict[str, float | None] = dict.fromkeys(_LOADS)
        loads = self.platform.load()
        if loads is not None:
            values.update(zip(_LOADS, loads, strict=True))
        values["frequency"] = self.platform.cpu_frequency()
        values["temperature"] = self._temperature()
        switches = sample.context_switches
        counters = {} if switches is None else {"context_switches": switches}
        values["context_switches"] = self._rates.measure(counters).get("context_switches")
        return values

    def _temperature(self) -> float | None:
        if self._monitor is None:
            return self.platform.cpu_temperature()
        with suppress(Unavailable):
            return self._monitor.processor()
        return None


def _readings(cores: Iterable[int], offered: frozenset[str]) -> Iterator[Reading]:
    yield from (reading for key, reading in _FIXED.items() if key in offered)
    for number in cores:
        # One core's share of ten seconds jumps with whatever is scheduled there.
        yield Reading(
            f"core.{number}.percent",
            kind="cpu.core_percent",
            of=str(number),
            resolution=1,
            deadband=2,
        )


class _Shares:
    """Busy shares of the time between two samples, in percent."""

    def __init__(self) -> None:
        self._at = 0.0
        self._sample: CpuSample | None = None
        self._total: float | None = None
        self._cores: dict[int, float | None] = {}

    def measure(self, sample: CpuSample) -> tuple[float | None, dict[int, float | None]]:
        """Return the shares of all cores together and of each; `None` where one is new."""
        now = monotonic()
        before = self._sample
        if before is None or now - self._at >= SHORTEST:
            known = before.cores if before else {}
            self._total = _share(before.all if before else None, sample.all)
            self._cores = {
                number: _share(known.get(number), times) for number, times in sample.cores.items()
            }
            self._at, self._sample = now, sample
        # Cores may have been switched off or on within the last half second, too.
        return self._total, {number: self._cores.get(number) for number in sample.cores}


def _share(before: CpuTimes | None, now: CpuTimes) -> float | None:
    if before is None:
        return None
    total = now.total - before.total
    # The kernel's idle counters may step back a little; then the share is at an end of its range.
    return min(max((now.busy - before.busy) / total * 100, 0.0), 100.0) if total > 0 else None
