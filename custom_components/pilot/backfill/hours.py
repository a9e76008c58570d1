"""Hours as the recorder makes them of states, made of states and a backlog together. Pure.

The recorder compiles twelve periods of five minutes and then an hour of them
(`homeassistant/components/sensor/recorder.py`, `compile_statistics`, and
`homeassistant/components/recorder/statistics.py`, `_compile_hourly_statistics`). Whatever
it does is done here in the same way, so that an hour is what it would have been without the
outage. Moments are seconds since 1970, UTC.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from ..protocol.backlog import Point
from ..rooms.rooms import HOUR, Hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PERIOD: Final = 300

RESET_BELOW: Final = 0.9
"""A counter that falls below this part of its last value has started again."""


class Mark(NamedTuple):
    """What a sensor's state is from a moment on, and who says so."""

    at: float
    value: float | None
    own: bool
    """Home Assistant's own state; else a point of the backlog."""


def merge(
    own: Iterable[Point], backlog: Iterable[Point], heard: Iterable[float] = ()
) -> list[Mark]:
    """Return the states of an undisturbed run.

    That Home Assistant did not hear a host is no news where the host's backlog has a value:
    such a gap ends where the backlog says that there was none, or where values are heard again.

    Args:
        own: Home Assistant's own states.
        backlog: What the host measured.
        heard: When the host had delivered all that it had. A value that stays the same is no
            state of its own again, so nothing else tells that Home Assistant hears it from then
            on, and that a gap which follows is one of the host.
    """
    everything = [Mark(*point, own=True) for point in own]
    everything += [Mark(*point, own=False) for point in backlog]
    everything.sort(key=lambda mark: (mark.at, mark.own))
    moments = deque(sorted(heard))
    merged: list[Mark] = []
    shown: float | None = None

    def hear(until: float) -> None:
        while moments and moments[0] < until:
            at = moments.popleft()
            if merged and shown is not None and _is_backlog(last := merged[-1]):
                merged.append(Mark(at, last.value, own=True))

    for mark in everything:
        hear(mark.at)
        if mark.own:
            shown = mark.value
            if shown is None and merged and _is_backlog(merged[-1]):
                continue
        merged.append(mark)
    hear(inf)
    return merged


class Series:
    """Merged states, to be asked for hours."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        """Take them in order of time."""
        self._marks = marks
        self._times = [mark.at for mark in marks]

    def before(self, moment: float) -> Mark | None:
        """Return what held just before a moment."""
        index = bisect_left(self._times, moment)
        return self._marks[index - 1] if index else None

    def within(self, start: float, end: float) -> Sequence[Mark]:
        """Return what changed from a moment on, up to and not including another."""
        return self._marks[bisect_left(self._times, start) : bisect_left(self._times, end)]

    def touched(self, hour: int) -> bool:
        """Say whether the backlog has a part in an hour."""
        return _is_backlog(self.before(hour)) or any(
            not mark.own for mark in self.within(hour, hour + HOUR)
        )

    def whole(self, hour: int) -> bool:
        """Say whether the backlog alone makes an hour: nothing can be added to it any more."""
        marks = self.within(hour, hour + HOUR)
        return self.held_by_backlog(hour) and all(map(_is_backlog, marks))

    def held_by_backlog(self, moment: float) -> bool:
        """Say whether a value of the backlog holds at a moment."""
        return _is_backlog(self.before(moment))

    def heard_after(self, moment: float) -> float | None:
        """Return the first value that Home Assistant heard itself from a moment on."""
        return next(
            (m.value for m in self.within(moment, inf) if m.own and m.value is not None), None
        )

    # --- Hours -------------------------------------------------------------------------------

    def hour(self, hour: int) -> Hour | None:
        """Return the mean of the means of its periods, and the extremes."""
        periods = [
            period
            for start in range(hour, hour + HOUR, PERIOD)
            if (period := self._period(start, start + PERIOD)) is not None
        ]
        if not periods:
            return None
        return Hour(
            sum(period.mean for period in periods) / len(periods),
            min(period.min for period in periods),
            max(period.max for period in periods),
        )

    def _period(self, start: float, end: float) -> Hour | None:
        """Return the mean over time, and the extremes.

        What is not a number is left out, so that a value holds to the end of the period in
        which it ends; a period that begins without a value counts from its first one on.
        """
        values: list[tuple[float, float]] = []
        held = self.before(start)
        if held is not None and held.value is not None:
            values.append((start, held.value))
        values += [
            (mark.at, mark.value) for mark in self.within(start, end) if mark.value is not None
        ]
        if not values:
            return None
        begin = values[0][0]
        if begin >= end:
            return None
        ends = [at for at, _ in values[1:]] + [end]
        whole = sum(value * (until - at) for (at, value), until in zip(values, ends, strict=True))
        numbers = [value for _, value in values]
        return Hour(whole / (end - begin), min(numbers), max(numbers))


@dataclass(frozen=True, slots=True)
class Counter:
    """What a counter that only increases shows, and how much it has counted altogether."""

    state: float
    sum: float

    def go_on(self, value: float) -> Counter:
        """Show another value; one that is much lower is a new start at 0."""
        if value < 0:
            return self
        if value < RESET_BELOW * self.state:
            return Counter(value, self.sum + value)
        return Counter(value, self.sum + value - self.state)


def _is_backlog(mark: Mark | None) -> bool:
    return mark is not None and not mark.own and mark.value is not None


def counted_hours(series: Series, hours: Sequence[int], before: Counter) -> dict[int, Counter]:
    """Return the hours at whose end a value of the backlog holds.

    All others are right: the recorder counts on from the last value before an outage to the
    first one after it. If the counter started again in between, that is less than it really
    counted. What the recorder has from then on stays as it is, so no hour of the outage may
    have counted more.

    Args:
        series: The merged states.
        hours: In order and without gaps.
        before: What the recorder has at the beginning of the first hour.
    """
    counted: dict[int, Counter] = {}
    recorder = counter = before
    for hour in hours:
        for mark in series.within(hour, hour + HOUR):
            if mark.value is None:
                continue
            if mark.own:
                counter = recorder = recorder.go_on(mark.value)
            else:
                counter = counter.go_on(mark.value)
        if not series.held_by_backlog(hour + HOUR):
            continue
        heard_again = series.heard_after(hour + HOUR)
        limit = inf if heard_again is None else recorder.go_on(heard_again).sum
        counted[hour] = Counter(counter.state, min(counter.sum, limit))
    return counted


def shared_hour(there: Hour | None, series: Series, hour: int) -> Hour | None:
    """Return an hour of which only the recorder's row is left, with the backlog's part in it.

    The backlog has the part of the hour in which its values hold, the row the rest of it.
    """
    part = series.hour(hour)
    if part is None or there is None:
        return part if there is None else there
    covered = _covered(series, hour) / HOUR
    return Hour(
        there.mean * (1 - covered) + part.mean * covered,
        min(there.min, part.min),
        max(there.max, part.max),
    )


def _covered(series: Series, hour: int) -> float:
    """Return for how many seconds of an hour there is a value."""
    seconds = 0.0
    held = series.before(hour)
    since = None if held is None or held.value is None else float(hour)
    for mark in series.within(hour, hour + HOUR):
        if since is not None and mark.value is None:
            seconds += mark.at - since
            since = None
        elif since is None and mark.value is not None:
            since = mark.at
    return seconds if since is None else seconds + hour + HOUR - since


def combine(kept: Sequence[Point], more: Iterable[Point]) -> list[Point]:
    """Put points in order; of two of the same moment the later message counts."""
    points: Mapping[float, float | None] = dict(kept) | dict(more)
    return [Point(at, points[at]) for at in sorted(points)]
