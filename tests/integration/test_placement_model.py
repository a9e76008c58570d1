"""Placements and rooms as such, compared with slow and obvious references."""

from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.pilot.rooms.model import (
    LIMIT,
    Fault,
    Placement,
    PlacementError,
    Span,
    Timeline,
    affected,
)
from custom_components.pilot.rooms.rooms import (
    HOUR,
    Hour,
    hour_after,
    hour_of,
    hour_weights,
    room_hours,
    stays,
    together,
)

from .placements import MINUTE, START, a_month, area_at, minutes, room_by_minutes

if TYPE_CHECKING:
    from collections.abc import Callable

END = START + 48 * HOUR
AREAS = ("attic", "dining_room", "kitchen")

patient = settings(max_examples=50, deadline=None)
moments = st.integers(0, 48 * 60).map(lambda minute: float(START + minute * MINUTE))
areas = st.sampled_from(AREAS)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Return any timeline of two days."""
    cuts = sorted(draw(st.sets(moments.filter(lambda moment: moment < END), max_size=8)))
    placements = [
        Placement(area, start, end)
        for start, end in zip(cuts, [*cuts[1:], None], strict=False)
        if (area := draw(st.none() | areas)) is not None
    ]
    return Timeline(tuple(placements))


def faults(change: Callable[[], Timeline]) -> Fault | None:
    """Return why a change cannot be."""
    try:
        change()
    except PlacementError as err:
        return err.fault
    return None


AT_HOME = Timeline(
    (
        Placement("dining_room", 1000, 2000),
        Placement("attic", 2000, 3000),
        Placement("kitchen", 4000, None),
    )
)
NOW = 9000


# --- What happens ----------------------------------------------------------------------------


@patient
@given(st.lists(st.tuples(moments, st.none() | areas), max_size=12))
def test_standing_is_remembered(moves: list[tuple[float, str | None]]) -> None:
    """After any moves in order, everything is where it was at any minute."""
    moves.sort(key=lambda move: move[0])
    timeline = Timeline()
    for moment, area in moves:
        timeline = timeline.stand(area, moment)

    for minute in range(START, END, 10 * MINUTE):
        past = [area for moment, area in moves if moment <= minute]
        assert area_at(timeline, minute) == (past[-1] if past else None)
    for before, after in zip(timeline.placements, timeline.placements[1:], strict=False):
        assert before.end != after.start or before.area != after.area


def test_standing_where_it_stood_changes_nothing() -> None:
    """The registry tells of a name, too."""
    assert AT_HOME.stand("kitchen", NOW) is AT_HOME


def test_a_clock_that_went_back_does_not_make_overlaps() -> None:
    """A move can never be older than the one before it."""
    assert AT_HOME.stand("attic", 3500) == AT_HOME.stand("attic", 4000)


def test_carried_away_and_back_at_once() -> None:
    """It never left."""
    at_home = Timeline((Placement("kitchen", 1000),))

    assert at_home.stand("attic", 2000).stand("kitchen", 2000) == at_home


def test_placements_are_bounded() -> None:
    """The oldest go."""
    timeline = Timeline()
    for number in range(LIMIT + 10):
        timeline = timeline.stand(AREAS[number % 3], number)

    assert len(timeline.placements) == LIMIT
    assert timeline.placements[0].start == 10
    assert timeline.current is not None
    with pytest.raises(PlacementError) as caught:
        timeline.add("attic", 1, 2, NOW)
    assert caught.value.fault is Fault.TOO_MANY


# --- Corrections -----------------------------------------------------------------------------


def test_the_usual_correction() -> None:
    """Moved on Saturday, told on Monday: one boundary, two placements."""
    corrected = AT_HOME.move(2500, NOW, start=1500)

    assert corrected.placements[:2] == (
        Placement("dining_room", 1000, 1500),
        Placement("attic", 1500, 3000),
    )


def test_add_fills_a_gap() -> None:
    """Without an end, up to the next placement."""
    corrected = AT_HOME.add("attic", 3200, None, NOW)

    assert corrected.at(3999) == Placement("attic", 3200, 4000)
    assert AT_HOME.add("attic", 0, 1000, NOW).placements[0] == Placement("attic", 0, 1000)


def test_a_move_may_change_the_area_and_the_end() -> None:
    """The neighbour begins where it ends."""
    corrected = AT_HOME.move(1000, NOW, end=2500, area="kitchen")

    assert corrected.placements[:2] == (
        Placement("kitchen", 1000, 2500),
        Placement("attic", 2500, 3000),
    )


def test_split_and_delete() -> None:
    """Two halves, then one of them."""
    halves = AT_HOME.split(1500, after="kitchen")
    assert halves.placements[:2] == (
        Placement("dining_room", 1000, 1500),
        Placement("kitchen", 1500, 2000),
    )
    assert AT_HOME.split(5000, before="attic").placements[-2:] == (
        Placement("attic", 4000, 5000),
        Placement("kitchen", 5000, None),
    )

    assert halves.delete(1700).at(1700) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda: AT_HOME.add("attic", 2500, 3500, NOW), Fault.OVERLAPS),
        (lambda: AT_HOME.add("attic", 3500, 3200, NOW), Fault.ORDER),
        (lambda: AT_HOME.add("attic", 3500, NOW + 1, NOW), Fault.FUTURE),
        (lambda: AT_HOME.add("attic", NOW + 1, None, NOW), Fault.FUTURE),
        (lambda: AT_HOME.add("attic", 5000, None, NOW), Fault.NO_END),
        (lambda: AT_HOME.move(3500, NOW, start=1), Fault.NONE),
        (lambda: AT_HOME.move(500, NOW, start=1), Fault.NONE),
        (lambda: AT_HOME.move(2500, NOW, start=1000), Fault.OVERLAPS),
        (lambda: AT_HOME.move(2500, NOW, end=4500), Fault.OVERLAPS),
        (lambda: AT_HOME.move(1500, NOW, end=3000), Fault.OVERLAPS),
        (lambda: AT_HOME.move(2500, NOW, start=3000), Fault.ORDER),
        (lambda: AT_HOME.move(2500, NOW, end=NOW + 1), Fault.FUTURE),
        (lambda: AT_HOME.move(5000, NOW, start=NOW), Fault.FUTURE),
        (lambda: AT_HOME.move(5000, NOW, end=6000), Fault.CURRENT),
        (lambda: AT_HOME.move(5000, NOW, area="attic"), Fault.CURRENT),
        (lambda: AT_HOME.split(2000), Fault.ORDER),
        (lambda: AT_HOME.split(3500), Fault.NONE),
        (lambda: AT_HOME.split(5000, after="attic"), Fault.CURRENT),
        (lambda: AT_HOME.delete(5000), Fault.CURRENT),
        (lambda: Timeline((Placement("attic", 2, 1),)), Fault.ORDER),
        (lambda: Timeline((Placement("attic", 1), Placement("attic", 2))), Fault.OVERLAPS),
    ],
)
def test_what_cannot_be(change: Callable[[], Timeline], fault: Fault) -> None:
    """Each with its reason."""
    assert faults(change) is fault


@patient
@given(timelines(), areas, moments, st.none() | moments)
def test_add_changes_nothing_else(
    timeline: Timeline, area: str, start: float, end: float | None
) -> None:
    """Where it stood before it still did."""
    until = start + MINUTE if end is None else max(end, start + MINUTE)
    blocked = any(area_at(timeline, minute) for minute in range(int(start), int(until), MINUTE))
    fault = faults(lambda: timeline.add(area, start, end, END))
    assert blocked or fault is not Fault.OVERLAPS
    if fault is not None:
        return
    corrected = timeline.add(area, start, end, END)
    added = corrected.at(start)
    assert added is not None
    for minute in range(START, END, MINUTE):
        inside = added.start <= minute < added.until
        assert area_at(corrected, minute) == (area if inside else area_at(timeline, minute))


@patient
@given(timelines(), moments, st.none() | moments, st.none() | moments, st.none() | areas)
def test_a_move_changes_itself_and_its_neighbours(
    timeline: Timeline, at: float, start: float | None, end: float | None, area: str | None
) -> None:
    """Whatever is left is a timeline, of as many placements."""
    old = timeline.at(at)
    try:
        corrected = timeline.move(at, END, start=start, end=end, area=area)
    except PlacementError:
        return
    assert old is not None
    new = Placement(
        area or old.area,
        old.start if start is None else start,
        old.end if end is None else end,
    )
    assert new in corrected.placements
    assert len(corrected.placements) == len(timeline.placements)
    assert corrected.current is None or timeline.current is not None


@patient
@given(timelines(), moments, areas)
def test_split_and_delete_change_what_they_say(timeline: Timeline, at: float, area: str) -> None:
    """A half for a split, a whole for a deletion."""
    old = timeline.at(at)
    if old is None or old.start == at:
        return
    split = timeline.split(at, before=area)
    for minute in range(START, END, 7 * MINUTE):
        assert area_at(split, minute) == (
            area if old.start <= minute < at else area_at(timeline, minute)
        )
    gone = split.delete(old.start)
    for minute in range(START, END, 7 * MINUTE):
        inside = old.start <= minute < at
        assert area_at(gone, minute) == (None if inside else area_at(timeline, minute))


@patient
@given(timelines(), areas, areas)
def test_rooms_that_become_one(timeline: Timeline, area: str, into: str) -> None:
    """A host that stood in one stood in the other, and nowhere else than before."""
    if timeline.current is not None and timeline.current.area == area:
        assert faults(lambda: timeline.merge(area, into)) is Fault.OCCUPIED
        return
    merged = timeline.merge(area, into)
    for minute in range(START, END, 7 * MINUTE):
        was = area_at(timeline, minute)
        assert area_at(merged, minute) == (into if was == area else was)
    assert merged.merge(area, into) == merged


@patient
@given(timelines(), timelines())
def test_affected_is_what_differs(old: Timeline, new: Timeline) -> None:
    """From the first to the last minute in which an area's guests differ."""
    spans = affected(old, new)

    for area in AREAS:
        differing = [
            minute
            for minute in range(START, END + HOUR, MINUTE)
            if (area_at(old, minute) == area) != (area_at(new, minute) == area)
        ]
        if differing:
            assert spans[area].start == differing[0]
            assert min(spans[area].end, END + HOUR) == differing[-1] + MINUTE
        else:
            assert area not in spans


# --- Rooms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "hour", "after"), [(0, 0, 0), (1, 0, 3600), (3599.5, 0, 3600), (3600, 3600, 3600)]
)
def test_hours(moment: float, hour: int, after: int) -> None:
    """A full hour begins and ends itself."""
    assert (hour_of(moment), hour_after(moment)) == (hour, after)


def test_stays_are_cut_to_the_time_asked_for() -> None:
    """With who stood there first at the top."""
    found = stays({"b": AT_HOME, "a": Timeline((Placement("attic", 0),))}, "attic", 1500, 2500)

    assert [(stay.device, stay.start, stay.end) for stay in found] == [
        ("a", 1500, 2500),
        ("b", 2000, 2500),
    ]


def test_several_sensors_on_a_device_are_one() -> None:
    """The mean of their means, the lowest and the highest of all."""
    assert together([{0: Hour(1, 0, 2)}, {0: Hour(3, 2, 4), 1: Hour(5, 5, 5)}]) == {
        0: Hour(2, 0, 4),
        1: Hour(5, 5, 5),
    }
    assert together([]) == {}


@patient
@given(st.dictionaries(st.sampled_from("abc"), timelines()))
def test_weights_are_minutes(devices: dict[str, Timeline]) -> None:
    """A device's part of an hour is its minutes in the room."""
    for area in AREAS:
        weights = hour_weights(devices, area, START, END)
        for hour in range(START, END, HOUR):
            for device, timeline in devices.items():
                stood = minutes(timeline, hour, hour + HOUR).count(area)
                assert weights.get(hour, {}).get(device, 0) == pytest.approx(stood / 60)


def test_spans_join() -> None:
    """The shortest that has both in it."""
    assert Span(1, 2) | Span(5, 6) == Span(1, 6)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_a_month_of_a_house(seed: int) -> None:
    """20 sensors, 10 rooms, 200 moves, 14,400 hours: the same as minute by minute."""
    timelines, measured, end = a_month(Random(seed))
    assert sum(len(timeline.placements) for timeline in timelines.values()) > 150
    stood = {device: minutes(timeline, START, end) for device, timeline in timelines.items()}

    for number in range(10):
        area = f"room_{number}"
        rooms = room_hours(hour_weights(timelines, area, START, end), measured)
        expected = room_by_minutes(stood, measured, area, START, end)

        assert rooms.keys() == expected.keys()
        for hour, value in rooms.items():
            assert value == pytest.approx(expected[hour])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_a_month_of_corrections(seed: int) -> None:
    """Computing only what a correction affects gives what computing everything does."""
    random = Random(seed)
    timelines, measured, end = a_month(random)
    names = [f"room_{number}" for number in range(10)]

    def compute(area: str, start: int, until: int) -> dict[int, Hour]:
        return room_hours(hour_weights(timelines, area, start, until), measured)

    rooms = {area: compute(area, START, end) for area in names}
    corrections = 0
    while corrections < 40:
        device = random.choice(list(timelines))
        at, start = (float(random.randrange(START, end, MINUTE)) for _ in range(2))
        area = random.choice(names)
        try:
            new = random.choice(
                (
                    lambda old, at=at, start=start: old.move(at, end, start=start),
                    lambda old, at=at, area=area: old.split(at, before=area),
                    lambda old, at=at: old.delete(at),
                    lambda old, at=at, area=area: old.add(area, at, None, end),
                )
            )(timelines[device])
        except PlacementError:
            continue
        corrections += 1
        old, timelines[device] = timelines[device], new
        for name, span in affected(old, new).items():
            first, last = hour_of(span.start), min(hour_after(min(span.end, end)), end)
            kept = {hour: value for hour, value in rooms[name].items() if not first <= hour < last}
            rooms[name] = kept | compute(name, first, last)

    for area in names:
        assert rooms[area] == compute(area, START, end)
