"""Where a device stood, from when to when. Pure: moments are seconds since 1970, UTC."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT: Final = 500
"""Placements that are kept of a device; the oldest go first."""


class Fault(StrEnum):
    """Why a correction cannot be; the value is where the translations have the words."""

    CURRENT = "placement_is_current"
    """Where a device stands now is what Home Assistant's device registry says."""
    FUTURE = "placement_in_future"
    NONE = "no_placement_then"
    NO_END = "placement_without_end"
    OCCUPIED = "area_is_occupied"
    """Where a device stands now is in no room that is to be no more."""
    ORDER = "placement_ends_before_start"
    OVERLAPS = "placement_overlaps"
    TOO_MANY = "too_many_placements"


class PlacementError(Exception):
    """A correction that cannot be."""

    def __init__(self, fault: Fault) -> None:
        """Keep the reason."""
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Placement:
    """A device stood in an area from its start up to, and not including, its end."""

    area: str
    start: float
    end: float | None = None
    """None: it stands there still."""

    @property
    def until(self) -> float:
        """Its end as a number."""
        return inf if self.end is None else self.end


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    start: float
    end: float

    def __or__(self, other: Span) -> Span:
        """Return the shortest stretch that has both in it."""
        return Span(min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The placements of one device: in order, apart from each other, only the last one open.

    Every change returns another timeline. One that cannot be raises `PlacementError`.
    """

    placements: tuple[Placement, ...] = field(default=())

    def __post_init__(self) -> None:
        for placement in self.placements:
            if not placement.start < placement.until:
                raise PlacementError(Fault.ORDER)
        for before, after in pairwise(self.placements):
            if before.until > after.start:
                raise PlacementError(Fault.OVERLAPS)

    # --- Questions ---------------------------------------------------------------------------

    @property
    def current(self) -> Placement | None:
        """Where the device stands now, if anywhere."""
        last = self.placements[-1] if self.placements else None
        return last if last is not None and last.end is None else None

    @property
    def changed_at(self) -> float:
        """When it last moved."""
        if not self.placements:
            return -inf
        last = self.placements[-1]
        return last.start if last.end is None else last.end

    def at(self, moment: float) -> Placement | None:
        """Return where it stood then."""
        for placement in reversed(self.placements):
            if placement.start <= moment:
                return placement if moment < placement.until else None
        return None

    def within(self, start: float, end: float) -> Iterable[Placement]:
        """Return the placements that have a part of this time in them."""
        return (p for p in self.placements if p.start < end and start < p.until)

    # --- What happens ------------------------------------------------------------------------

    def stand(self, area: str | None, at: float) -> Timeline:
        """Record that it stands there since then; in no area at all when that is None."""
        current = self.current
        if (None if current is None else current.area) == area:
            return self
        at = max(at, self.changed_at)
        placements = list(self.placements)
        if current is not None:
            placements.pop()
            if current.start < at:
                placements.append(replace(current, end=at))
        if area is not None:
            last = placements[-1] if placements else None
            if last is not None and last.area == area and last.end == at:
                # It was carried back at once: it never left.
                placements[-1] = replace(last, end=None)
            else:
                placements.append(Placement(area, at))
        return Timeline(tuple(placements[-LIMIT:]))

    def put_right(self, now: float, moved_at: float | None = None) -> Timeline:
        """Return it without anything after now, which a clock that was ahead has dated.

        Args:
            now: What time it is.
            moved_at: When the device came to where it stands; now where that is not known.
        """
        if self.changed_at <= now:
            return self
        current = self.current
        at = now if moved_at is None else min(moved_at, now)
        past = Timeline(
            tuple(
                placement if placement.until <= at else replace(placement, end=at)
                for placement in self.placements
                if placement.start < at
            )
        )
        return past if current is None else past.stand(current.area, at)

    # --- Corrections -------------------------------------------------------------------------

    def add(self, area: str, start: float, end: float | None, now: float) -> Timeline:
        """Add a placement in a gap; without an end, up to the next one."""
        if end is None:
            end = min((p.start for p in self.placements if p.start > start), default=None)
            if end is None:
                raise PlacementError(Fault.FUTURE if start > now else Fault.NO_END)
        _check(start, end, now)
        if any(True for _ in self.within(start, end)):
            raise PlacementError(Fault.OVERLAPS)
        return self._with((*self.placements, Placement(area, start, end)))

    def move(
        self,
        at: float,
        now: float,
        *,
        start: float | None = None,
        end: float | None = None,
        area: str | None = None,
    ) -> Timeline:
        """Change the placement of that moment.

        A neighbour that begins or ends where it does moves its boundary along: what was one
        move from room to room stays one.
        """
        index = self._index(at)
        old = self.placements[index]
        if old.end is None and (end is not None or area not in (None, old.area)):
            raise PlacementError(Fault.CURRENT)
        new = Placement(
            old.area if area is None else area,
            old.start if start is None else start,
            old.end if end is None else end,
        )
        _check(new.start, new.end, now)
        placements = list(self.placements)
        placements[index] = new
        if index > 0 and placements[index - 1].end == old.start:
            placements[index - 1] = _cut(placements[index - 1], end=new.start)
        if index + 1 < len(placements) and placements[index + 1].start == old.end:
            assert new.end is not None
            placements[index + 1] = _cut(placements[index + 1], start=new.end)
        return self._with(placements)

    def split(self, at: float, *, before: str | None = None, after: str | None = None) -> Timeline:
        """Make two placements of the one of that moment, in other areas where they are given."""
        index = self._index(at)
        old = self.placements[index]
        if old.start == at:
            raise PlacementError(Fault.ORDER)
        if old.end is None and after not in (None, old.area):
            raise PlacementError(Fault.CURRENT)
        halves = (
            Placement(before or old.area, old.start, at),
            Placement(after or old.area, at, old.end),
        )
        return self._with((*self.placements[:index], *halves, *self.placements[index + 1 :]))

    def delete(self, at: float) -> Timeline:
        """Forget the placement of that moment, and leave a gap."""
        index = self._index(at)
        if self.placements[index].end is None:
            raise PlacementError(Fault.CURRENT)
        return self._with((*self.placements[:index], *self.placements[index + 1 :]))

    def merge(self, area: str, into: str) -> Timeline:
        """Make one room of two: to go from one to the other was not to move."""
        if any(p.area == area and p.end is None for p in self.placements):
            raise PlacementError(Fault.OCCUPIED)
        placements: list[Placement] = []
        for old in self.placements:
            new = replace(old, area=into) if old.area == area else old
            last = placements[-1] if placements else None
            if last is not None and last.area == new.area == into and last.end == new.start:
                placements[-1] = replace(last, end=new.end)
            else:
                placements.append(new)
        return Timeline(tuple(placements))

    # --- Inside ------------------------------------------------------------------------------

    def _index(self, at: float) -> int:
        placement = self.at(at)
        if placement is None:
            raise PlacementError(Fault.NONE)
        return self.placements.index(placement)

    def _with(self, placements: Iterable[Placement]) -> Timeline:
        ordered = tuple(sorted(placements, key=lambda placement: placement.start))
        if len(ordered) > LIMIT:
            raise PlacementError(Fault.TOO_MANY)
        return Timeline(ordered)


def _check(start: float, end: float | None, now: float) -> None:
    """Refuse what never was."""
    if start >= now or (end is not None and end > now):
        raise PlacementError(Fault.FUTURE)
    if end is not None and start >= end:
        raise PlacementError(Fault.ORDER)


def _cut(
    neighbour: Placement, *, start: float | None = None, end: float | None = None
) -> Placement:
    """Move a boundary of a neighbour; nothing of it may be left out altogether."""
    cut = replace(
        neighbour,
        start=neighbour.start if start is None else start,
        end=neighbour.end if end is None else end,
    )
    if cut.start >= cut.until:
        raise PlacementError(Fault.OVERLAPS)
    return cut


def affected(old: Timeline, new: Timeline) -> dict[str, Span]:
    """Return the areas whose history differs between two timelines of a device, and when."""
    edges = sorted(
        {
            edge
            for timeline in (old, new)
            for p in timeline.placements
            for edge in (p.start, p.until)
        }
    )
    spans: dict[str, Span] = {}
    for start, end in pairwise(edges):
        was, now_is = old.at(start), new.at(start)
        areas = {placement.area if placement else None for placement in (was, now_is)}
        if len(areas) == 1:
            continue
        for area in areas:
            if area is not None:
                span = Span(start, end)
                spans[area] = spans[area] | span if area in spans else span
    return spans
