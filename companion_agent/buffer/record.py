"""What has to be kept: changes of numbers while they are not heard, and shortly before that."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.clock import JUMP, Moment
from companion_agent.protocol.validation import clean_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from companion_agent.clock import Clocks
    from companion_agent.models import Value

# A disk that does not answer must not fill the memory: some MiB.
MOST_POINTS = 20_000
# What may turn out not to have been heard, seconds after it was said: more is kept only while
# the broker itself is silent. Home Assistant's death is known after one and a half of its
# keep-alives, which are 60 s.
TAIL = 120.0
_MOST_TAIL = 10_000


class Point(NamedTuple):
    """A reading's value from a moment on; `None` when it was not readable from then on."""

    key: str
    said: Moment
    value: float | None


class Recorder:
    """Notes what the collectors report; keeps it while it is recording.

    Args:
        clocks: The host's clocks.
        clock: Monotonic seconds.

    Attributes:
        recording: Whether what is noted is kept.
        overflowed: How many points were dropped because they were not taken in time.
    """

    def __init__(self, clocks: Clocks, clock: Callable[[], float]) -> None:
        self.recording = False
        self.overflowed = 0
        self._clocks = clocks
        self._clock = clock
        self._latest: dict[str, dict[str, float | None]] = {}
        self._read: dict[str, Moment] = {}
        self._kept: deque[Point] = deque()
        self._tail: deque[tuple[float, Point]] = deque(maxlen=_MOST_TAIL)
        self._offset = clocks.moment().offset
        self._woke = 0.0
        self._asleep: set[str] = set()  # not read since

    # --- What is read --------------------------------------------------------------------

    def note(self, collector: str, read_at: float, values: Mapping[str, Value]) -> None:
        """Take what a collector reports.

        Args:
            collector: Its name.
            read_at: When it was read, seconds since 1970 by the wall clock.
            values: What it read, settled; what is not a number is left out.
        """
        if collector in self._asleep:
            self._asleep.discard(collector)
            if read_at < self._woke:
                # Read before the machine slept: it says nothing of the time in between.
                return
        before = self._latest.get(collector, {})
        after: dict[str, float | None] = {}
        for key, value in values.items():
            number = _number(value)
            if number is not None or key in before:
                after[key] = number
        said = self._read[collector] = self._when(read_at)
        gone = dict.fromkeys(before.keys() - after.keys())
        self._compare(collector, before, after | gone, said)
        self._latest[collector] = after

    def forget(self, collector: str) -> None:
        """Take note that a collector reports nothing any more."""
        before = self._latest.pop(collector, None)
        if before:
            self._compare(collector, before, dict.fromkeys(before), self._when(None))
            del self._read[collector]

    def gap(self) -> None:
        """Take note that nothing was read for a while: the machine slept.

        Every value holds until the last moment at which it is known.
        """
        self._close_series({name: _just_after(said) for name, said in self._read.items()})
        self._woke = self._clocks.moment().wall
        self._asleep = set(self._latest)

    # --- What is kept --------------------------------------------------------------------

    def begin(self, since: float | None = None) -> None:
        """Keep what is noted from now on, and what every reading is now and was when it was read.

        Args:
            since: Keep also what was noted since then, by the monotonic clock.
        """
        self.recording = True
        tail = [] if since is None else [point for when, point in self._tail if when >= since]
        self._tail.clear()
        later = {point.key for point in tail}
        now = self._clocks.moment()
        first: list[Point] = []
        held: list[Point] = []
        for collector, values in self._latest.items():
            for name, value in values.items():
                if value is None:
                    continue
                key = f"{collector}.{name}"
                if key not in later:
                    first.append(Point(key, self._read[collector], value))
                # Home Assistant may have heard it when it was read, and dated it a moment later.
                # Then this alone tells it that the value outlasted the connection.
                held.append(Point(key, now, value))
        self._keep(self._confirm([*first, *tail, *held]))

    def end(self, *, unheard: bool) -> None:
        """Keep no more.

        Args:
            unheard: What is read from now on is not heard: no value holds on.
        """
        if unheard:
            self._close_series(dict.fromkeys(self._latest, self._when(None)))
        self.recording = False

    def expire(self, heard: float) -> None:
        """Forget what was certainly heard.

        Args:
            heard: When the broker was last known to be there, by the monotonic clock.
        """
        limit = min(heard, self._clock() - TAIL)
        while self._tail and self._tail[0][0] < limit:
            self._tail.popleft()

    @property
    def waiting(self) -> int:
        """How many points are kept and were not taken."""
        return len(self._kept)

    def take(self) -> list[Point]:
        """Hand over what was kept, oldest first."""
        taken = sorted(self._kept, key=lambda point: point.said.boot)
        self._kept.clear()
        return taken

    def put_back(self, points: Iterable[Point]) -> None:
        """Take back what could not be stored."""
        self._kept.extendleft(reversed(list(points)))
        self._bound()

    def discard(self) -> None:
        """Forget what was kept: it is said otherwise."""
        self._kept.clear()

    # --- Inside --------------------------------------------------------------------------

    def _close_series(self, ends: Mapping[str, Moment]) -> None:
        """Let every value end, so that it is a change when it is read again."""
        for collector, before in self._latest.items():
            after: dict[str, float | None] = dict.fromkeys(before)
            self._compare(collector, before, after, ends[collector])
            self._latest[collector] = after

    def _compare(
        self,
        collector: str,
        before: Mapping[str, float | None],
        after: Mapping[str, float | None],
        said: Moment,
    ) -> None:
        changes = [
            Point(f"{collector}.{key}", said, value)
            for key, value in after.items()
            if value != before.get(key)
        ]
        if self.recording:
            self._keep(changes)
        else:
            now = self._clock()
            self._tail.extend((now, point) for point in changes)

    def _confirm(self, points: list[Point]) -> list[Point]:
        """Say of points from a moment ago what is known of the clock now."""
        if not self._clocks.confirmed():
            return points
        offset = self._clocks.moment().offset
        return [
            point._replace(said=point.said._replace(sure=abs(point.said.offset - offset) <= JUMP))
            for point in points
        ]

    def _keep(self, points: Iterable[Point]) -> None:
        self._kept.extend(points)
        self._bound()

    def _bound(self) -> None:
        while len(self._kept) > MOST_POINTS:
            self._kept.popleft()
            self.overflowed += 1

    def _when(self, read_at: float | None) -> Moment:
        now = self._clocks.moment()
        if self.recording and self._clocks.confirmed():
            now = now._replace(sure=True)
        was_set = abs(now.offset - self._offset) > JUMP
        self._offset = now.offset
        if read_at is None:
            return now
        if was_set:
            # Perhaps since it was read: how long ago that was is not known, but it was just now.
            return Moment(read_at, now.boot)
        return Moment(read_at, now.boot - max(now.wall - read_at, 0.0), now.sure)


def _just_after(said: Moment) -> Moment:
    # Two points of a key at the same moment would be one.
    return said._replace(wall=said.wall + 0.001, boot=said.boot + 0.001)


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    cleaned = clean_value(value)
    return cleaned if isinstance(cleaned, (int, float)) else None
