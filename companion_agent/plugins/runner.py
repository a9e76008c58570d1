"""One collector at work: probed, read, settled, and reported when it breaks or heals."""

from __future__ import annotations

from dataclasses import dataclass, field
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.announcement import Report, describe_reading
from companion_agent.errors import Unanswered, Unavailable
from companion_agent.protocol.catalogue import CATALOGUE
from companion_agent.protocol.errors import ProtocolError
from companion_agent.worker import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.models import Event, Reading, Value
    from companion_agent.platforms.control import Watch
    from companion_agent.plugins.base import Collector
    from companion_agent.worker import Result

_LOGGER = logging.getLogger("companion_agent.plugins")

# How often something that this host does not offer is looked for: soon enough for a battery or
# a disk that was just plugged in, and a wake-up that is shared with most collectors.
PROBE_INTERVAL = 60.0
# A read that takes longer than this is hung; slower collectors have longer intervals.
SHORTEST_LIMIT = 10.0


class Sample(NamedTuple):
    """What one collector read.

    Attributes:
        read_at: When, seconds since 1970 UTC.
        values: The values by their readings' keys.
        readings: What there was to read.
        interval: Seconds until it wants to be read again.
        troubles: What could not be read, and why.
        events: What has happened.
        watch: Hears of changes; `None` where nothing does.
    """

    read_at: float
    values: Mapping[str, Value]
    readings: tuple[Reading, ...]
    interval: float
    troubles: Mapping[str, str]
    events: tuple[Event, ...] = ()
    watch: Watch | None = None


@dataclass(slots=True)
class CollectorRunner:
    """A collector, and what is known about it.

    Attributes:
        collector: Reads it.
        interval: Seconds between two reads: as often as the collector wants, given how often
            it should be.
        available: Whether this host offers it; `None` while that is not known.
        absent: Why it does not; `None` while it does, or that is not known.
        readings: What it reports now; empty when it is not available.
        values: What was last reported, settled.
        read_at: When that was read, seconds since 1970 UTC.
        trouble: Why it cannot be read now; empty while it can.
        troubles: Why parts of it cannot be read, by part.
        running: Whether it is being read.
        again: Whether it is to be read once more, as soon as that has ended.
        events: What has happened, until it is taken.
        watch: Hears that it is to be read at once; `None` where nothing does.
    """

    collector: Collector
    interval: float
    now: Callable[[], float] = time.time
    available: bool | None = None
    absent: Unavailable | None = None
    readings: tuple[Reading, ...] = ()
    values: dict[str, Value] = field(default_factory=dict)
    read_at: float = 0.0
    trouble: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)
    running: bool = False
    again: bool = False
    events: list[Event] = field(default_factory=list)
    watch: Watch | None = None
    _probed: bool = False
    _refused: set[str] = field(default_factory=set)
    _offered: tuple[Reading, ...] = ()
    _usual: float = field(init=False)

    def __post_init__(self) -> None:
        self._usual = self.interval

    @property
    def name(self) -> str:
        """The collector's name."""
        return self.collector.name

    @property
    def wait(self) -> float:
        """Seconds until it is read, or looked for, again."""
        return self.interval if self.available else max(self.interval, PROBE_INTERVAL)

    @property
    def report(self) -> Report:
        """What the announce says about it."""
        return Report(self.interval, self.readings)

    def job(self) -> Job:
        """Return what reads it, for the worker."""
        self.running = True
        return Job(self.name, self._read, max(SHORTEST_LIMIT, self.interval))

    def take(self, result: Result) -> None:
        """Take what the worker brought."""
        self.running = False
        if isinstance(result.value, Sample):
            try:
                self._settle(result.value)
            except Exception as error:
                # Another package's plug-in may return anything; the loop must not end by it.
                _LOGGER.debug("%s returned what cannot be used", self.name, exc_info=error)
                self._broken(_describe(error))
        elif isinstance(result.error, Unanswered) and self.available:
            self._broken(result.error.reason)
        elif isinstance(result.error, Unavailable):
            self._gone(result.error)
        else:
            _LOGGER.debug("%s failed", self.name, exc_info=result.error)
            self._broken(_describe(result.error))

    def hang(self) -> None:
        """Note that it did not answer in time; the worker still waits for it."""
        self._broken("it does not answer")

    def _read(self) -> Sample:
        if not self._probed:
            self.collector.probe()
            self._probed = True
        collector = self.collector
        values = collector.collect()
        return Sample(
            self.now(),
            values,
            tuple(collector.readings()),
            # Sensors may have been found, or tuned.
            _checked_interval(collector.pace(self._usual)),
            collector.troubles(),
            tuple(_checked_event(event, collector.events) for event in collector.take_events()),
            collector.watch(),
        )

    def _settle(self, sample: Sample) -> None:
        if self.trouble:
            _LOGGER.info("%s: works again", self.name)
            self.trouble = ""
        elif self.available is False:
            _LOGGER.info("%s: is there now", self.name)
        self.available = True
        self.absent = None
        self.interval = sample.interval
        self._compare(sample.troubles)
        if sample.readings != self._offered:
            self.readings = tuple(
                reading for reading in sample.readings if self._can_announce(reading)
            )
            self._offered = sample.readings
        last = self.values
        self.values = {
            reading.key: reading.settle(sample.values.get(reading.key), last.get(reading.key))
            for reading in self.readings
        }
        self.read_at = sample.read_at
        self.events += sample.events
        self.watch = sample.watch

    def take_events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events, self.events = self.events, []
        return events

    def _compare(self, troubles: Mapping[str, str]) -> None:
        for part, trouble in troubles.items():
            if part not in self.troubles:
                _LOGGER.warning("%s: %s cannot be read: %s", self.name, part, trouble)
        for part in self.troubles:
            if part not in troubles:
                _LOGGER.info("%s: %s works again", self.name, part)
        self.troubles = troubles

    def _gone(self, error: Unavailable) -> None:
        level = logging.INFO if self.available else logging.DEBUG
        _LOGGER.log(level, "%s: not available: %s", self.name, error.reason)
        self.available = False
        self.absent = error
        self.trouble = ""
        self.troubles = {}
        self._probed = False
        self.readings = self._offered = ()
        self.values = {}

    def _broken(self, trouble: str) -> None:
        if not self.trouble:
            _LOGGER.warning("%s: cannot be read: %s", self.name, trouble)
        self.trouble = trouble
        if self.available is None:
            self.available = False
        self.values = dict.fromkeys(self.values)
        self.read_at = self.now()

    def _can_announce(self, reading: Reading) -> bool:
        try:
            describe_reading(self.name, reading)
        except ProtocolError as error:
            if reading.key not in self._refused:
                self._refused.add(reading.key)
                _LOGGER.warning("%s: a reading is left out: %s", self.name, error)
            return False
        return True


def kind_of(source: CollectorRunner, reading: Reading) -> str:
    """Return what a reading is, by the catalogue's name."""
    return reading.kind or f"{source.name}.{reading.key}"


def unit_of(source: CollectorRunner, reading: Reading) -> str:
    """Return a reading's unit; the catalogue's where the reading does not say."""
    known = CATALOGUE.get(kind_of(source, reading))
    return reading.unit or (known.unit if known else "")


def _checked_interval(seconds: float) -> float:
    if not seconds > 0:
        raise ValueError(f"an interval of {seconds} s")
    return seconds


def _checked_event(event: Event, types: Sequence[str]) -> Event:
    if event.type not in types:
        raise ValueError(f"an event {event.type!r} that was not declared")
    if not all(isinstance(one, (str, bool)) for one in event.data.values()):
        raise ValueError(f"an event {event.type!r} with other data than texts and booleans")
    return event


def _describe(error: Exception | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return f"{type(error).__name__}: {error}"
