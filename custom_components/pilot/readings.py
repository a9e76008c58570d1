"""The readings of a host: their values, the age of these, and their listeners."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from .const import MISSED_AFTER, STALE_AFTER
from .protocol.announce import Announce, Reading
from .protocol.catalogue import ReadingType
from .protocol.errors import ProtocolError
from .protocol.validation import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type NativeValue = float | bool | str | datetime


class Listener(Protocol):
    """Shows the value of a reading: its entity."""

    def async_show(self, value: NativeValue | None) -> None:
        """Show a value; None where it cannot be read, or is too old.

        Of those that listen to several readings it is the value of any of them: they are asked to
        show it once for all that a message has changed.
        """


def _number(_: Reading, raw: Value) -> NativeValue | None:
    if type(raw) is not float and type(raw) is not int:
        raise ProtocolError("value_type", "a number was announced, something else came")
    return raw


def _boolean(_: Reading, raw: Value) -> NativeValue | None:
    if type(raw) is not bool:
        raise ProtocolError("value_type", "a boolean was announced, something else came")
    return raw


def _text(_: Reading, raw: Value) -> NativeValue | None:
    if type(raw) is not str:
        raise ProtocolError("value_type", "a text was announced, something else came")
    return raw


def _enum(reading: Reading, raw: Value) -> NativeValue | None:
    # A newer agent may know more options: this value cannot be shown, the others can.
    return option if (option := _text(reading, raw)) in reading.options else None


def _timestamp(reading: Reading, raw: Value) -> NativeValue | None:
    try:
        moment = datetime.fromisoformat(str(_text(reading, raw)))
        utc = None if moment.tzinfo is None else moment.astimezone(UTC)
    except ValueError, OverflowError:
        utc = None
    if utc is None:
        raise ProtocolError("value_type", "a timestamp was announced, something else came")
    return utc


_CONVERT: Final[Mapping[ReadingType, Callable[[Reading, Value], NativeValue | None]]] = {
    ReadingType.NUMBER: _number,
    ReadingType.BOOLEAN: _boolean,
    ReadingType.TEXT: _text,
    ReadingType.ENUM: _enum,
    ReadingType.TIMESTAMP: _timestamp,
}


class Cell:
    """One reading: the value that came last, and the entities that it is shown by."""

    __slots__ = ("_convert", "listeners", "raw", "reading", "value")

    def __init__(self, reading: Reading, listeners: tuple[Listener, ...] = ()) -> None:
        """Start without a value."""
        self.reading = reading
        self.listeners = listeners
        self.value: NativeValue | None = None
        self.raw: Value = None
        self._convert = _CONVERT[reading.type]

    def convert(self, raw: Value) -> NativeValue | None:
        """Return the value to show, or raise `ProtocolError` if it is not what was announced."""
        return None if raw is None else self._convert(self.reading, raw)


type Shown = dict[Listener, NativeValue | None]
"""What is to be shown, by whom."""

type Changes = list[tuple[Cell, Value, NativeValue | None]]
"""Readings with the value that came, and what it means."""


class Collector:
    """The readings that were read together, and when they last came.

    Times are monotonic seconds. `measured` says how old the values are, which for a
    retained message is the host's word; `heard` says when the last message arrived.
    """

    __slots__ = ("cells", "fresh", "heard", "interval", "measured", "ts")

    def __init__(self, interval: float, heard: float) -> None:
        """Start without values."""
        self.interval = interval
        self.cells: dict[str, Cell] = {}
        self.fresh = False
        self.heard = heard
        self.measured = heard
        self.ts: float | None = None

    @property
    def stale_at(self) -> float:
        """When its values are too old, in monotonic seconds."""
        return self.measured + STALE_AFTER * self.interval

    @property
    def silent_at(self) -> float:
        """When the collector counts as silent, in monotonic seconds."""
        return self.heard + STALE_AFTER * self.interval

    def changes(self, values: Mapping[str, Value]) -> Changes:
        """Return the readings that these values change; a missing one cannot be read now.

        Raises:
            ProtocolError: One of them is not of the announced type. Nothing was changed.
        """
        get = values.get
        changes: Changes = []
        # This loop sees every value of every message.
        for name, cell in self.cells.items():
            raw, last = get(name), cell.raw
            # 1, 1.0 and true are three values.
            if raw != last or type(raw) is not type(last):
                changes.append((cell, raw, cell.convert(raw)))
        return changes

    def hear(self, ts: float, now: float, age: float) -> bool:
        """Note that values of this age arrived; say whether they were read anew."""
        self.heard = now
        # The broker repeats what it retained, and the host what it did not read anew: that
        # makes values neither older nor younger.
        if ts == self.ts:
            return False
        self.ts = ts
        self.measured = now - age
        return True

    def shown(self) -> Shown:
        """Return the values of all readings, by their listeners."""
        return {listener: cell.value for cell in self.cells.values() for listener in cell.listeners}


class Readings:
    """All readings of a host, by collector."""

    def __init__(self) -> None:
        """Start without any."""
        self.collectors: dict[str, Collector] = {}
        self._listeners: dict[str, tuple[Listener, ...]] = {}

    def arrange(self, announce: Announce, now: float) -> None:
        """Take over the announced readings, and keep the values of those that stay."""
        collectors: dict[str, Collector] = {}
        before: dict[str, dict[str, Cell]] = {}
        for name, interval in announce.collectors.items():
            collector = self.collectors.get(name) or Collector(interval, now)
            collector.interval = interval
            before[name], collector.cells = collector.cells, {}
            collectors[name] = collector
        for reading in announce.readings.values():
            cell = before[reading.collector].get(reading.value_name)
            if cell is None:
                cell = Cell(reading, self._listeners.get(reading.key, ()))
            elif cell.reading != reading:
                # Its entity is about to be replaced, and must not be shown other values.
                cell = Cell(reading)
            collectors[reading.collector].cells[reading.value_name] = cell
        self.collectors = collectors

    def listen(self, key: str, listener: Listener) -> None:
        """Add a listener to a reading, which may be announced later on."""
        self._set_listeners(key, (*self._listeners.get(key, ()), listener))

    def stop(self, key: str, listener: Listener) -> None:
        """Remove a listener of a reading."""
        listeners = self._listeners.get(key, ())
        self._set_listeners(key, tuple(one for one in listeners if one is not listener))

    def _set_listeners(self, key: str, listeners: tuple[Listener, ...]) -> None:
        if listeners:
            self._listeners[key] = listeners
        else:
            self._listeners.pop(key, None)
        if (cell := self.cell(key)) is not None:
            cell.listeners = listeners

    def cell(self, key: str) -> Cell | None:
        """Return the reading of this name, if it is announced."""
        collector_name, _, name = key.partition(".")
        collector = self.collectors.get(collector_name)
        return None if collector is None else collector.cells.get(name)

    def value(self, key: str) -> NativeValue | None:
        """Return a value, None when it cannot be read or is too old."""
        cell = self.cell(key)
        if cell is None or not self.collectors[cell.reading.collector].fresh:
            return None
        return cell.value

    def shown(self) -> Shown:
        """Return the values of all readings that are not too old, by their listeners."""
        shown: Shown = {}
        for collector in self.collectors.values():
            if collector.fresh:
                shown.update(collector.shown())
        return shown

    def grant_time(self, now: float) -> None:
        """Let the silence of all collectors begin anew."""
        for collector in self.collectors.values():
            collector.heard = now

    def expire(self, now: float) -> list[Collector]:
        """Return the collectors whose values have just become too old."""
        expired = [c for c in self.collectors.values() if c.fresh and c.stale_at <= now]
        for collector in expired:
            collector.fresh = False
        return expired

    def doubt(self, now: float) -> None:
        """Treat values as too old whose successor must have been missed.

        They would be shown, and recorded, until a host that is online again has sent all values.
        """
        for collector in self.collectors.values():
            if collector.measured + MISSED_AFTER * collector.interval < now:
                collector.fresh = False

    def silent(self, now: float) -> bool:
        """Return whether all collectors are silent."""
        return bool(self.collectors) and all(c.silent_at <= now for c in self.collectors.values())

    def next_check(self, now: float) -> float | None:
        """Return when a collector may become too old, or the last one silent."""
        fresh = [c.stale_at for c in self.collectors.values() if c.fresh]
        if fresh:
            return min(fresh)
        if not self.collectors or self.silent(now):
            return None
        return max(c.silent_at for c in self.collectors.values())
