"""What waits to become statistics. Pure, up to what an earlier version kept it in."""

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypedDict

from homeassistant.core import HomeAssistant

from ..const import DOMAIN
from ..protocol.backlog import Chunk, Point
from ..rooms.rooms import HOUR, Hour, hour_of
from ..storage import PilotStore, number, optional_number, text, texts
from .hours import Series, combine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from homeassistant.core import HomeAssistant

VERSION: Final = 1
MINOR_VERSION: Final = 1
KEY: Final = f"{DOMAIN}.backlog"

REMEMBERED: Final = 512
"""Chunks of each host that are known again when they are repeated."""
REMEMBERED_MOMENTS: Final = 64
"""Deliveries of each host whose end is known."""
MAX_POINTS_OF_HOST: Final = 200_000
"""Points that are kept of a host. While there are so many no chunk of it is taken."""
MAX_POINTS: Final = 500_000
"""Points that are kept of all hosts. While there are so many only those are heard that have
less than their share of them."""
MAX_AGE: Final = 60 * 24 * HOUR
MAX_AHEAD: Final = HOUR
PATIENCE: Final = 24 * HOUR
"""How long further chunks are waited for before hours are computed without them."""
KEEP_EDGES: Final = 8 * 24 * HOUR
"""How long the points of an hour are kept of which a host may have another part: longer than
an agent keeps its backlog unless it is told to."""

STATISTIC_PATIENCE: Final = 7 * 24 * HOUR
"""How long a sensor that may get a statistic is waited for, while there is room."""
ROOM_PATIENCE: Final = HOUR
"""The same, while there is none. The recorder needs five minutes for a sensor that has a value."""

NONE_HOPELESS: Final[Mapping[str, str]] = MappingProxyType({})

type Span = tuple[int, int]
type Backlogs = dict[str, HostBacklog]


@dataclass(frozen=True, slots=True)
class Kept:
    """The backlog of one reading. It is replaced, never changed: a computation has its own copy.

    Attributes:
        unit: What the values are measured in.
        points: In order of time; those of hours that are done are kept while more may come.
        todo_from: The first hour that is to be computed; None if there is none.
        holds: When those of the points are that hold at the beginning of an hour which may be
            computed again.
        gone: Hours that are done and whose points are not kept any more.
        bases: What the recorder had for hours that can only be computed from that.
        unknown_since: When it was first seen that the recorder has no statistic to add this to.
    """

    unit: str | None
    points: tuple[Point, ...] = ()
    todo_from: int | None = None
    holds: frozenset[float] = frozenset()
    gone: tuple[Span, ...] = ()
    bases: Mapping[int, Hour | None] = field(default_factory=dict)
    unknown_since: float | None = None

    @property
    def waiting(self) -> int:
        """How many points are yet to be computed."""
        if self.todo_from is None:
            return 0
        return sum(point.at >= self.todo_from for point in self.points)

    def add(self, points: Iterable[Point], unit: str | None) -> Kept:
        """Keep more points."""
        new = tuple(points)
        if not new:
            return self
        first = hour_of(new[0].at)
        todo_from = first if self.todo_from is None else min(first, self.todo_from)
        # Other units are other values; what is known in the old one stays as it is.
        before = self.points if unit == self.unit else ()
        return replace(
            self,
            unit=unit,
            points=tuple(combine(before, new)),
            todo_from=todo_from,
            # What is delivered again is no remainder any more.
            holds=self.holds - {point.at for point in new},
        )

    def without(self, oldest: float) -> Kept:
        """Forget what has waited for too long."""
        if self.todo_from is None or self.todo_from >= oldest:
            return self
        points = tuple(point for point in self.points if point.at >= oldest)
        todo_from = hour_of(max(oldest, points[0].at)) if points else None
        return replace(self, points=points, todo_from=todo_from)

    def is_gone(self, hour: int) -> bool:
        """Say whether an hour was computed from points that are not kept any more."""
        return any(start <= hour < end for start, end in self.gone)

    @property
    def start(self) -> int:
        """The first hour that has to be looked at: that of what holds when the first one begins."""
        assert self.todo_from is not None
        before = [point.at for point in self.points if point.at < self.todo_from]
        return hour_of(before[-1]) if before and before[-1] in self.holds else self.todo_from

    def done(self, series: Series, done_to: int, now: float) -> Kept:
        """Forget what nothing can be added to, now that all hours up to here are computed.

        Of an hour that the backlog made only a part of the host may have another part.
        """
        assert self.todo_from is not None
        start, oldest = self.start, now - KEEP_EDGES
        hours = {hour for hour in range(start, done_to, HOUR) if series.touched(hour)}
        edges = {hour for hour in hours if hour >= oldest and not series.whole(hour)}
        # The value at the beginning of an hour is a point of an hour before it.
        held = {
            mark.at
            for hour in (*edges, done_to)
            if series.held_by_backlog(hour) and (mark := series.before(hour)) is not None
        }
        early = {hour_of(point.at) for point in self.points if point.at < min(start, oldest)}
        points = tuple(
            point
            for point in self.points
            if point.at >= done_to
            or point.at in held
            or hour_of(point.at) in edges
            or oldest <= point.at < start
        )
        waits = series.held_by_backlog(done_to) or any(p.at >= done_to for p in points)
        gone = ((hour, hour + HOUR) for hour in (hours - edges) | early)
        return Kept(
            self.unit,
            points,
            done_to if waits else None,
            (self.holds | held) & {point.at for point in points},
            _joined((*self.gone, *gone), now - MAX_AGE),
        )


@dataclass(slots=True)
class HostBacklog:
    """The backlog of one host.

    Attributes:
        chunks: The ids of those that were taken last.
        open_to: The newest point of the last chunk, while further ones wait behind it.
        taken_at: When that was taken.
        heard: When the host had delivered all that it had, the last times.
        readings: What is kept of its readings.
        dropped: How many points were not kept or not used, by the reason; since the start.
    """

    chunks: list[str] = field(default_factory=list)
    open_to: float | None = None
    taken_at: float = 0.0
    heard: tuple[float, ...] = ()
    readings: dict[str, Kept] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def copy(self) -> HostBacklog:
        """Return one that may be changed without the other."""
        return replace(self, readings=dict(self.readings), dropped=self.dropped.copy())

    @property
    def points(self) -> int:
        """How many points are kept."""
        return sum(len(kept.points) for kept in self.readings.values())

    def take(
        self,
        chunk: Chunk,
        units: Mapping[str, str | None],
        now: float,
        hopeless: Mapping[str, str] = NONE_HOPELESS,
    ) -> None:
        """Keep the points of a chunk, of readings whose unit is known.

        Args:
            chunk: What the host measured.
            units: Of the readings that are numbers.
            now: Seconds since 1970, UTC.
            hopeless: Readings that get no statistic, and why.
        """
        for key, points in chunk.values.items():
            if key not in units or key in hopeless:
                self.dropped[hopeless.get(key, "not_announced")] += len(points)
                continue
            taken = [p for p in points if now - MAX_AGE <= p.at <= now + MAX_AHEAD]
            self.dropped["future"] += sum(p.at > now + MAX_AHEAD for p in points)
            self.dropped["too_old"] += sum(p.at < now - MAX_AGE for p in points)
            kept = self.readings.get(key) or Kept(units[key])
            self.readings[key] = kept.add(taken, units[key])
        self.chunks = [*self.chunks, chunk.id][-REMEMBERED:]
        self.taken_at = now
        if not chunk.more:
            self.open_to = None
            self.heard = (*self.heard, now)[-REMEMBERED_MOMENTS:]
        elif chunk.newest is not None:
            self.open_to = chunk.newest

    def is_open_again(self, chunk: Chunk) -> bool:
        """Say whether more waits behind a chunk that was taken as the last one.

        Its host did not hear that it was taken, and has measured on: an outage began.
        """
        return chunk.more and self.open_to is None and self.chunks[-1:] == [chunk.id]

    def open_again(self, chunk: Chunk, now: float) -> None:
        """Wait for what is behind a chunk that was taken as the last one."""
        self.open_to, self.taken_at = chunk.newest, now

    @staticmethod
    def clocks_differ(chunk: Chunk, now: float) -> bool:
        """Say whether points would be dropped since one of the two clocks is wrong.

        Then the host keeps them: they are in time once the clock is set.
        """
        points = [point.at for points in chunk.values.values() for point in points]
        if chunk.sent_at is None or not points:
            return False
        ahead = chunk.sent_at > now + MAX_AHEAD and max(points) > now + MAX_AHEAD
        behind = chunk.sent_at < now - MAX_AHEAD and min(points) < now - MAX_AGE
        return ahead or behind

    def complete_to(self, now: float) -> float:
        """Return the moment before which nothing more is expected."""
        # By a clock that was ahead it would be waited for that much longer.
        self.taken_at = min(self.taken_at, now)
        if self.open_to is None or now > self.taken_at + PATIENCE:
            return inf
        return self.open_to

    def forget_old(self, key: str, now: float) -> None:
        """Forget what has waited for too long to become a statistic."""
        waited = self.readings[key]
        left = self.readings[key] = waited.without(now - MAX_AGE)
        self.dropped["too_old"] += len(waited.points) - len(left.points)

    def wait_for_statistic(self, key: str, reason: str, now: float) -> None:
        """Note that the recorder cannot take a reading yet; give it up after some days."""
        kept = self.readings[key]
        if kept.unknown_since is None or kept.unknown_since > now:
            self.readings[key] = replace(kept, unknown_since=now)
        elif kept.unknown_since <= now - STATISTIC_PATIENCE:
            self.drop(key, reason)

    def make_room(self, now: float) -> None:
        """Give up what most likely gets no statistic: it is not to keep out all the rest."""
        for key, kept in list(self.readings.items()):
            if kept.unknown_since is not None and kept.unknown_since <= now - ROOM_PATIENCE:
                self.drop(key, "no_statistic")

    def drop(self, key: str, reason: str) -> None:
        """Forget a reading that cannot have statistics any more."""
        self.dropped[reason] += self.readings.pop(key).waiting


def _joined(spans: Iterable[Span], oldest: float) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if end <= oldest:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


# --- What versions before the database kept ------------------------------------------------------


class _StoredReading(TypedDict):
    unit: str | None
    points: list[tuple[float, float | None]]
    todo_from: int | None
    holds: list[float]
    gone: list[Span]
    bases: list[tuple[int, tuple[float, float, float] | None]]


class _StoredHost(TypedDict):
    chunks: list[str]
    open_to: float | None
    taken_at: float
    readings: dict[str, _StoredReading]


class Stored(TypedDict):
    """What was kept as JSON has it."""

    hosts: dict[str, _StoredHost]


def from_stored(stored: Stored) -> Backlogs:
    """Return what was kept, or raise one of `storage.ODD`."""
    return {
        host_id: replace(
            host_of(host),
            readings={
                key: reading_of(kept, (point_of(at, value) for at, value in kept["points"]))
                for key, kept in host["readings"].items()
            },
        )
        for host_id, host in stored["hosts"].items()
    }


def host_of(kept: Mapping[str, Any]) -> HostBacklog:
    """Return a host as it was kept, without readings, or raise one of `storage.ODD`."""
    return HostBacklog(
        texts(kept["chunks"]),
        optional_number(kept["open_to"]),
        number(kept["taken_at"]),
        tuple(map(number, kept.get("heard", ()))),
    )


def reading_of(kept: Mapping[str, Any], points: Iterable[Point]) -> Kept:
    """Return a reading as it was kept, or raise one of `storage.ODD`."""
    todo_from = optional_number(kept["todo_from"])
    return Kept(
        unit=None if kept["unit"] is None else text(kept["unit"]),
        points=tuple(points),
        todo_from=None if todo_from is None else int(todo_from),
        holds=frozenset(map(number, kept["holds"])),
        gone=tuple((int(number(start)), int(number(end))) for start, end in kept["gone"]),
        bases={
            int(number(hour)): None if base is None else Hour(*map(number, base))
            for hour, base in kept["bases"]
        },
        unknown_since=optional_number(kept.get("unknown_since")),
    )


def point_of(at: object, value: object) -> Point:
    """Return a point as it was kept, or raise one of `storage.ODD`."""
    return Point(number(at), optional_number(value))


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Return what another minor version kept, as this version has it.

    Within a major version fields are only added: what a newer one adds is left out, what an
    older one lacks gets the value that says "nothing known".
    """
    return {
        "hosts": {
            host_id: {
                "chunks": host["chunks"],
                "open_to": host.get("open_to"),
                "taken_at": host.get("taken_at", 0.0),
                "readings": {
                    key: {
                        "unit": kept["unit"],
                        "points": kept["points"],
                        "todo_from": kept["todo_from"],
                        "holds": kept.get("holds", []),
                        "gone": kept.get("gone", []),
                        "bases": kept.get("bases", []),
                    }
                    for key, kept in host["readings"].items()
                },
            }
            for host_id, host in data["hosts"].items()
        }
    }


class FormerStore(PilotStore[Stored, Backlogs]):
    """The file in which everything was kept, and written anew with each chunk."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to read it."""
        super().__init__(hass, KEY, VERSION, MINOR_VERSION, from_stored, migrate=migrate)


def joined(hosts: Mapping[str, HostBacklog], former: Mapping[str, HostBacklog]) -> Backlogs:
    """Return what waits, with what the former file has besides.

    That has more where a user went back to an earlier version for a time. To compute an
    hour again does no harm, so nothing needs to be known of how far it came.
    """
    all_hosts = dict(hosts)
    for host_id, was in former.items():
        if host_id not in hosts:
            all_hosts[host_id] = was
            continue
        host = all_hosts[host_id] = hosts[host_id].copy()
        host.chunks = list(dict.fromkeys((*was.chunks, *host.chunks)))[-REMEMBERED:]
        host.heard = tuple(sorted({*was.heard, *host.heard}))[-REMEMBERED_MOMENTS:]
        for key, kept in was.readings.items():
            if key not in host.readings:
                host.readings[key] = kept
            elif kept.todo_from is not None:
                todo = [point for point in kept.points if point.at >= kept.todo_from]
                host.readings[key] = host.readings[key].add(todo, kept.unit)
    return all_hosts
