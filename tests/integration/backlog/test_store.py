"""What waits, and how it is kept."""

from math import inf
from typing import TYPE_CHECKING, Any

from custom_components.pilot.backfill import async_setup_backlog
from custom_components.pilot.backfill.chunk import Chunk, Point
from custom_components.pilot.backfill.hours import Series, merge
from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.backfill.store import (
    KEEP_EDGES,
    MAX_AGE,
    PATIENCE,
    REMEMBERED,
    HostBacklog,
    Kept,
    from_stored,
    migrate,
    to_stored,
)
from custom_components.pilot.rooms.rooms import HOUR, Hour

from .reference import START

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    import pytest

KEY = "i2c.aht20-1-38.temperature"
NOW = float(START + 6 * HOUR)


def kept(*points: tuple[float, float | None]) -> Kept:
    """Return a backlog; times count from the beginning."""
    return Kept("°C").add([Point(START + at, value) for at, value in points], "°C")


def done(backlog: Kept, hours: int, now: float = NOW) -> Kept:
    """Return what is left when so many hours are computed."""
    return backlog.done(Series(merge([], backlog.points)), START + hours * HOUR, now)


def times(backlog: Kept) -> list[float]:
    """Return when the points are that are kept."""
    return [point.at - START for point in backlog.points]


def test_whole_hours_are_forgotten_and_edges_kept() -> None:
    """And with each edge the value at its beginning."""
    backlog = kept((1800, 20.0), (5000, 21.0), (6000, 22.0), (9000, 23.0), (11_000, None))

    left = done(backlog, 5)

    assert times(left) == [1800, 9000, 11_000]
    assert left.gone == ((START + HOUR, START + 3 * HOUR),)
    assert left.todo_from is None
    assert left.waiting == 0


def test_what_holds_on_is_kept() -> None:
    """The next hour begins with it."""
    left = done(kept((1800, 20.0), (5000, 21.0)), 3)

    assert times(left) == [1800, 5000]
    assert left.todo_from == START + 3 * HOUR
    assert left.start == START + HOUR


def test_a_value_that_has_been_followed_is_not_looked_for() -> None:
    """Days of states would be read for nothing."""
    left = done(kept((1800, 20.0), (5000, 21.0), (6000, None)), 5)

    later = left.add([Point(START + 50 * HOUR, 30.0)], "°C")
    assert later.start == START + 50 * HOUR

    another_part = left.add([Point(START + HOUR + 60, 25.0)], "°C")
    assert another_part.start == START


def test_edges_are_forgotten_after_some_days() -> None:
    """No host keeps another part of them for so long."""
    left = done(kept((1800, 20.0), (5000, None)), 3, NOW + KEEP_EDGES)

    assert times(left) == []
    assert left.gone == ((START, START + 2 * HOUR),)


def test_edges_of_earlier_outages_stay() -> None:
    """Also when what is computed begins later."""
    first = done(kept((1800, 20.0), (1900, None)), 2)
    second = first.add([Point(START + 3 * HOUR, 30.0), Point(START + 3 * HOUR + 60, None)], "°C")

    assert times(done(second, 5)) == [1800, 1900, 3 * HOUR, 3 * HOUR + 60]


def test_what_waits_for_too_long_is_forgotten() -> None:
    """The recorder never got to know the sensor."""
    host = HostBacklog(readings={KEY: kept((60, 20.0), (5000, 21.0))})

    host.forget_old(KEY, NOW)
    assert times(host.readings[KEY]) == [60, 5000]

    host.forget_old(KEY, START + 1000.0 + MAX_AGE)
    assert times(host.readings[KEY]) == [5000]
    assert host.readings[KEY].todo_from == START + HOUR

    host.forget_old(KEY, NOW + MAX_AGE)
    assert times(host.readings[KEY]) == []
    assert host.readings[KEY].todo_from is None
    assert host.dropped["too_old"] == 2


def test_further_chunks_are_not_waited_for_for_ever() -> None:
    """The host may be gone for good."""
    host = HostBacklog()
    host.take(Chunk("0" * 16, True, {KEY: (Point(START, 20.0),)}), {KEY: "°C"}, NOW)

    assert host.complete_to(NOW) == START
    assert host.complete_to(NOW + PATIENCE + 1) == inf


def test_only_the_last_chunks_are_known_again() -> None:
    """A host that repeats one of them has repeated it before the next."""
    host = HostBacklog()
    for number in range(REMEMBERED + 5):
        host.take(Chunk(f"{number:016x}", False, {}), {}, NOW)

    assert len(host.chunks) == REMEMBERED
    assert host.chunks[0] == f"{5:016x}"


def test_another_unit_begins_anew() -> None:
    """A newer agent may measure in another unit."""
    backlog = kept((60, 20.0)).add([Point(START + 120, 68.0)], "°F")

    assert backlog.unit == "°F"
    assert times(backlog) == [120]


def test_nothing_changes_in_the_storage() -> None:
    """What is read is what was written."""
    host = HostBacklog(
        chunks=["00112233445566aa"],
        open_to=NOW,
        readings={
            KEY: Kept(
                "°C",
                (Point(1.5, 2.5), Point(2.5, None)),
                START,
                frozenset({1.5}),
                ((START, START + HOUR),),
                {START: Hour(1.0, 0.0, 2.0), START + HOUR: None},
            )
        },
    )

    stored = to_stored({"9c3f6f0e3a5b4d21": host})

    assert from_stored(stored) == {"9c3f6f0e3a5b4d21": host}
    assert migrate(dict(stored)) == stored


def test_what_an_older_version_kept() -> None:
    """What it did not know is nothing."""
    reading = {"unit": None, "points": [[1.0, 2.0]], "todo_from": None}
    old = {"hosts": {"9c3f6f0e3a5b4d21": {"chunks": [], "readings": {KEY: reading}}}}

    hosts = from_stored(migrate(old))  # type: ignore[arg-type]

    assert hosts == {
        "9c3f6f0e3a5b4d21": HostBacklog(readings={KEY: Kept(None, (Point(1.0, 2.0),))})
    }


async def test_a_minor_version_later(
    hass_storage: dict[str, Any], recorder_mock: Any, hass: HomeAssistant
) -> None:
    """Going back one version of Pilot loses nothing."""
    hass_storage["pilot.backlog"] = {
        "version": 1,
        "minor_version": 2,
        "key": "pilot.backlog",
        "data": {"hosts": {"9c3f6f0e3a5b4d21": {"chunks": ["00112233445566aa"], "readings": {}}}},
    }

    await async_setup_backlog(hass)

    assert hass.data[BACKLOG].async_diagnostics("9c3f6f0e3a5b4d21")["chunks"] == 1


async def test_a_major_version_later(
    hass_storage: dict[str, Any],
    recorder_mock: Any,
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not touched, and hosts keep what they have."""
    hass_storage["pilot.backlog"] = {"version": 2, "minor_version": 1, "key": "", "data": {}}

    await async_setup_backlog(hass)

    assert BACKLOG not in hass.data
    assert "until Pilot is updated" in caplog.text
