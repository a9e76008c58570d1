"""Hours as such, compared with a slow and obvious reference."""

from itertools import pairwise

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.pilot.backfill.hours import (
    Counter,
    Mark,
    Series,
    combine,
    counted_hours,
    merge,
    shared_hour,
)
from custom_components.pilot.protocol.backlog import Point
from custom_components.pilot.rooms.rooms import HOUR, Hour

from .reference import START, Heard, days, hour_by_seconds, points

patient = settings(max_examples=60, deadline=None)
HOURS = range(START, START + 4 * HOUR, HOUR)
cuts = st.integers(0, 4 * HOUR).map(lambda second: START + second)


def near(value: Hour | None) -> object:
    """Allow for the rounding of sums."""
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def outage(
    heard: Heard, start: int, end: int, *, found: int = 0, missed: int = 0, tail: int = 0
) -> tuple[list[Point], list[Point]]:
    """Return Home Assistant's own states and the backlog, when nothing was heard for a time.

    The agent records the value that held at the start, and a while beyond the end: that there is
    none then is no news to Home Assistant.

    Args:
        heard: What an undisturbed run would have heard.
        start: When the connection broke.
        end: When it was there again.
        found: Seconds after which the host found that out.
        missed: Seconds after which Home Assistant did.
        tail: Seconds before the start of which the host says again what it said.
    """

    def held(at: int) -> float | None:
        seconds = [second for second in heard if second <= at]
        return heard[max(seconds)] if seconds else None

    own = {s: v for s, v in heard.items() if not start <= s < end}
    if start + missed < end:
        own[start + missed] = None
    backlog = {s: v for s, v in heard.items() if start - tail <= s < end}
    begin = min(start + found, end)
    said = {begin} if any(s <= begin for s in backlog) else {start, begin}
    backlog |= {s: held(s) for s in said if any(second <= s for second in heard)}
    if any(second <= end for second in heard):
        own[end] = held(end)
        if own[end] is None:
            backlog[end] = None
    return points(own), points(backlog)


@patient
@given(days())
def test_hours_are_those_of_the_reference(heard: dict[int, float | None]) -> None:
    """Without any outage the recorder's arithmetic comes out."""
    series = Series(merge(points(heard), []))

    for hour in HOURS:
        assert series.hour(hour) == near(hour_by_seconds(heard, hour))


@patient
@given(days(), cuts, cuts, st.integers(0, 60), st.integers(0, 30), st.integers(0, 120))
def test_an_outage_leaves_no_trace(
    heard: dict[int, float | None], one: int, other: int, found: int, later: int, tail: int
) -> None:
    """Whatever was not heard is in the hours as if it had been."""
    start, end = sorted((one, other))

    own, backlog = outage(heard, start, end, found=found, missed=found + later, tail=tail)

    series = Series(merge(own, backlog))

    for hour in HOURS:
        undisturbed = Series(merge(points(heard), [])).hour(hour)
        if undisturbed is None or one == other:
            continue
        found = series.hour(hour)
        assert found is not None
        assert found.mean == pytest.approx(undisturbed.mean, rel=1e-9, abs=1e-9)
        # Values that are told twice at the edges change nothing.
        assert (found.min, found.max) == (undisturbed.min, undisturbed.max)


@patient
@given(days(), st.lists(cuts, min_size=1, max_size=5))
def test_parts_may_come_in_any_number_and_twice(
    heard: dict[int, float | None], bounds: list[int]
) -> None:
    """Points of several chunks are the points of one."""
    edges = [START, *sorted(bounds), START + 4 * HOUR]
    parts = [
        [point for point in points(heard) if start <= point.at < end]
        for start, end in pairwise(edges)
    ]

    kept: list[Point] = []
    for part in [*parts, *parts]:
        kept = combine(kept, part)

    assert kept == points(heard)


def test_a_value_holds_to_the_end_of_the_period_in_which_it_is_lost() -> None:
    """As the recorder has it: what is no number is left out, and the next period has none."""
    series = Series(merge([Point(START - 60, 20.0), Point(START + 60, None)], []))

    assert series.hour(START) == Hour(20.0, 20.0, 20.0)
    assert series.hour(START + HOUR) is None


def test_what_home_assistant_did_not_hear_is_no_gap() -> None:
    """Until the backlog itself says that there was nothing to read."""
    own = [Point(0, 1.0), Point(10, None), Point(40, None)]
    backlog = [Point(5, 2.0), Point(30, None)]

    assert merge(own, backlog) == [
        Mark(0, 1.0, own=True),
        Mark(5, 2.0, own=False),
        Mark(30, None, own=False),
        Mark(40, None, own=True),
    ]


def test_a_value_that_was_heard_last_outlasts_the_connection() -> None:
    """The host says of the same value when it was read, and that it held when it was cut off."""
    own = [Point(0.2, 20.0), Point(60, None), Point(900, 21.0)]
    backlog = [Point(0, 20.0), Point(45, 20.0)]

    assert merge(own, backlog) == [
        Mark(0, 20.0, own=False),
        Mark(0.2, 20.0, own=True),
        Mark(45, 20.0, own=False),
        Mark(900, 21.0, own=True),
    ]


def test_a_gap_after_all_was_delivered_is_one_of_the_host() -> None:
    """Home Assistant has the value itself from then on, and nothing new of it to hear."""
    own = [Point(0, 20.0), Point(900, None)]
    backlog = [Point(45, 20.0)]

    assert merge(own, backlog, heard=[60]) == [
        Mark(0, 20.0, own=True),
        Mark(45, 20.0, own=False),
        Mark(60, 20.0, own=True),
        Mark(900, None, own=True),
    ]


def test_what_is_delivered_before_the_host_is_shown_again_holds_on() -> None:
    """Its values are heard a moment later."""
    own = [Point(0, 20.0), Point(30, None), Point(61, 21.0)]
    backlog = [Point(10, 20.0), Point(45, 21.0)]

    assert merge(own, backlog, heard=[60]) == merge(own, backlog)


@patient
@given(days(), cuts, st.integers(0, 60), st.integers(0, 60), cuts)
def test_what_was_heard_and_delivered_as_well_leaves_no_trace(
    heard: dict[int, float | None], begin: int, lasts: int, later: int, off: int
) -> None:
    """The host doubted for a time that it was heard; some time after that it is switched off."""
    delivered = begin + lasts + later
    own = {second: value for second, value in heard.items() if second < off} | {off: None}
    backlog = {s: v for s, v in own.items() if begin <= s <= begin + lasts}
    before = [second for second in own if second <= begin]
    if before:
        backlog[begin] = own[max(before)]

    series = Series(merge(points(own), points(backlog), [delivered] if delivered < off else []))

    for hour in HOURS:
        if delivered < off:
            assert series.hour(hour) == near(hour_by_seconds(own, hour))


def test_only_hours_with_a_part_of_the_backlog_are_touched() -> None:
    """The recorder's other hours are right."""
    own = [Point(START, 20.0), Point(START + HOUR - 1, None), Point(START + 3 * HOUR - 60, 24.0)]
    backlog = [Point(START + HOUR + 1800, 22.0)]

    series = Series(merge(own, backlog))

    assert [series.touched(hour) for hour in HOURS] == [False, True, True, False]
    assert series.hour(START + HOUR) == Hour(22.0, 22.0, 22.0)


def test_whole_hours_can_be_forgotten() -> None:
    """Those that begin or end otherwise may get another part."""
    backlog = [Point(START + 60, 20.0), Point(START + 2 * HOUR + 60, None)]
    series = Series(merge([], backlog))

    assert [series.whole(hour) for hour in HOURS] == [False, True, False, False]


# --- Counters --------------------------------------------------------------------------------


def test_a_counter_goes_on_through_the_outage() -> None:
    """Hours in between get what was counted by then; those after it are not touched."""
    own = [Point(START, 100.0), Point(START + 60, None), Point(START + 3 * HOUR + 60, 160.0)]
    backlog = [Point(START + 1800 + hour * HOUR, 110.0 + 10 * hour) for hour in range(3)]

    counted = counted_hours(Series(merge(own, backlog)), list(HOURS), Counter(90.0, 1000.0))

    assert counted == {
        START: Counter(110.0, 1020.0),
        START + HOUR: Counter(120.0, 1030.0),
        START + 2 * HOUR: Counter(130.0, 1040.0),
    }


def test_a_counter_that_starts_again_and_is_lower_afterwards() -> None:
    """The recorder sees the new start too: it counts what is shown after it."""
    own = [Point(START, 100.0), Point(START + 60, None), Point(START + 2 * HOUR, 30.0)]
    backlog = [Point(START + 1800, 100.0), Point(START + HOUR, 5.0)]

    counted = counted_hours(Series(merge(own, backlog)), list(HOURS), Counter(100.0, 1000.0))

    assert counted == {START: Counter(100.0, 1000.0), START + HOUR: Counter(5.0, 1005.0)}


def test_a_counter_that_starts_again_and_is_higher_afterwards() -> None:
    """What the recorder has afterwards stays: the sum never decreases."""
    own = [Point(START, 100.0), Point(START + 60, None), Point(START + 2 * HOUR, 130.0)]
    backlog = [Point(START + 1800, 180.0), Point(START + HOUR, 0.0), Point(START + 5400, 120.0)]

    counted = counted_hours(Series(merge(own, backlog)), list(HOURS), Counter(100.0, 1000.0))

    assert counted == {START: Counter(180.0, 1030.0), START + HOUR: Counter(120.0, 1030.0)}


def test_a_counter_below_zero_is_not_believed() -> None:
    """Nor does the recorder."""
    assert Counter(5.0, 50.0).go_on(-1.0) == Counter(5.0, 50.0)


@patient
@given(st.lists(st.none() | st.integers(0, 300), min_size=4, max_size=40), st.data())
def test_sums_never_decrease_and_end_where_the_recorder_is(
    steps: list[int | None], data: st.DataObject
) -> None:
    """Whatever a counter does in an outage, what follows fits; None starts it again."""
    values = [0]
    for more in steps:
        values.append(0 if more is None else values[-1] + more)
    step = 4 * HOUR // len(values)
    heard: dict[int, float | None] = {
        START + index * step: float(value) for index, value in enumerate(values)
    }
    start, end = sorted(data.draw(st.tuples(cuts, cuts)))
    own, backlog = outage(heard, start, end)
    before = Counter(0.0, 0.0)
    recorder = before
    for point in own:
        recorder = recorder if point.value is None else recorder.go_on(point.value)

    counted = counted_hours(Series(merge(own, backlog)), list(HOURS), before)

    sums = [counted[hour].sum for hour in sorted(counted)]
    assert sums == sorted(sums)
    if any(point.at >= end and point.value is not None for point in own):
        assert all(total <= recorder.sum for total in sums)


# --- Hours of which only a row is left -------------------------------------------------------


def test_a_row_and_a_backlog_share_an_hour_by_time() -> None:
    """The row has the rest."""
    series = Series(merge([], [Point(START + 900, 30.0), Point(START + 1800, None)]))

    assert shared_hour(Hour(20.0, 18.0, 21.0), series, START) == Hour(22.5, 18.0, 30.0)
    assert shared_hour(None, series, START) == Hour(30.0, 30.0, 30.0)
    assert shared_hour(Hour(20.0, 18.0, 21.0), series, START + HOUR) == Hour(20.0, 18.0, 21.0)
