"""What waits, and how it is kept."""

from contextlib import closing
from dataclasses import replace
from math import inf
from pathlib import Path
import sqlite3
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.pilot.backfill import async_setup_backlog, database as module
from custom_components.pilot.backfill.database import BacklogDatabase
from custom_components.pilot.backfill.hours import Series, merge
from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.backfill.store import (
    KEEP_EDGES,
    MAX_AGE,
    PATIENCE,
    REMEMBERED,
    STATISTIC_PATIENCE,
    HostBacklog,
    Kept,
    from_stored,
    joined,
    migrate,
)
from custom_components.pilot.protocol.backlog import Chunk, Point
from custom_components.pilot.rooms.rooms import HOUR, Hour

from .reference import START

HOST = "9c3f6f0e3a5b4d21"
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


def test_nothing_changes_on_the_disk(tmp_path: Path) -> None:
    """What is read is what was written, whole or in parts."""
    host = HostBacklog(
        chunks=["00112233445566aa"],
        open_to=NOW,
        heard=(1.5, NOW),
        readings={
            KEY: Kept(
                "°C",
                (Point(1.5, 2.5), Point(2.5, None)),
                START,
                frozenset({1.5}),
                ((START, START + HOUR),),
                {START: Hour(1.0, 0.0, 2.0), START + HOUR: None},
                NOW,
            ),
            "cpu.percent": kept((60, 1.0), (61, 2.0)),
        },
    )
    path = tmp_path / "folder" / "pilot.backlog.db"
    database = BacklogDatabase(path)
    database.write({HOST: host, "other": HostBacklog(["00112233445566bb"])})
    assert BacklogDatabase(path).load() == {HOST: host, "other": HostBacklog(["00112233445566bb"])}

    less = host.copy()
    less.drop("cpu.percent", "removed")
    less.readings[KEY] = replace(less.readings[KEY], points=(Point(1.5, 3.5), Point(9.0, 1.0)))
    database.write({HOST: less})

    [(host_id, read)] = BacklogDatabase(path).load().items()
    assert (host_id, read.readings) == (HOST, less.readings)


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """What is in the file is what it was; the next write makes up for it."""
    path = tmp_path / "pilot.backlog.db"
    database = BacklogDatabase(path)
    database.write({HOST: HostBacklog(["00112233445566aa"])})
    after = {HOST: HostBacklog(["00112233445566bb"], readings={KEY: kept((60, 20.0))})}

    with (
        patch.object(module, "_write_reading", side_effect=sqlite3.OperationalError("disk full")),
        pytest.raises(sqlite3.OperationalError),
    ):
        database.write(after)
    assert BacklogDatabase(path).load() == {HOST: HostBacklog(["00112233445566aa"])}

    database.write(after)
    assert BacklogDatabase(path).load() == after


def test_nothing_is_written_that_did_not_change(tmp_path: Path) -> None:
    """An import of one reading costs nothing for all others."""
    database = BacklogDatabase(tmp_path / "pilot.backlog.db")
    host = HostBacklog(readings={KEY: kept((60, 20.0)), "cpu.percent": kept((60, 1.0))})
    database.write({HOST: host})
    more = host.copy()
    more.readings[KEY] = kept((60, 20.0), (70, 21.0))

    with patch.object(module, "_write_reading") as write_reading:
        database.write({HOST: host.copy()})
        write_reading.assert_not_called()
        database.write({HOST: more})

    assert [call.args[2] for call in write_reading.call_args_list] == [KEY]


def test_a_former_file_is_joined_with_what_came_since() -> None:
    """An earlier version was used again for a time."""
    now = HostBacklog(["b" * 16], readings={KEY: kept((60, 20.0))})
    was = HostBacklog(
        ["a" * 16], readings={KEY: kept((60, 20.0), (5000, 21.0)), "cpu.percent": kept((60, 1.0))}
    )

    both = joined({HOST: now}, {HOST: was, "other": was})

    assert both["other"] is was
    assert both[HOST].chunks == ["a" * 16, "b" * 16]
    assert times(both[HOST].readings[KEY]) == [60, 5000]
    assert times(both[HOST].readings["cpu.percent"]) == [60]
    assert joined({HOST: now}, {HOST: now}) == {HOST: now}


def test_a_sensor_without_a_statistic_is_given_up() -> None:
    """After a week; at once where there is no more room, if it had an hour."""
    host = HostBacklog(readings={KEY: kept((60, 20.0))})
    host.wait_for_statistic(KEY, "no_statistic", NOW)
    crowded = host.copy()

    host.wait_for_statistic(KEY, "no_statistic", NOW + STATISTIC_PATIENCE - 1)
    assert host.readings[KEY].unknown_since == NOW
    host.wait_for_statistic(KEY, "other_unit", NOW + STATISTIC_PATIENCE)
    assert (host.points, host.dropped) == (0, {"other_unit": 1})

    crowded.make_room(NOW + 60)
    assert crowded.points == 1
    crowded.make_room(NOW + HOUR)
    assert (crowded.points, crowded.dropped) == (0, {"no_statistic": 1})


@pytest.mark.parametrize(
    ("at", "sent_at", "differ"),
    [
        (NOW, NOW, False),
        (NOW + 2 * HOUR, NOW, False),
        (NOW + 2 * HOUR, NOW + 2 * HOUR, True),
        (NOW - 2 * HOUR, NOW - 2 * HOUR, False),
        (NOW - 2 * MAX_AGE, NOW, False),
        (NOW - 2 * MAX_AGE, NOW - 2 * MAX_AGE, True),
    ],
)
def test_clocks_that_differ(at: float, sent_at: float, differ: bool) -> None:
    """Points are not dropped because a clock is wrong, only where they cannot be at all."""
    chunk = Chunk("8c1f4e0d2b7a9635", False, {KEY: (Point(at, 1.0),)}, sent_at)

    assert HostBacklog.clocks_differ(chunk, NOW) is differ


def test_a_chunk_that_was_taken_by_a_clock_that_was_ahead() -> None:
    """The next one is waited for no longer than usual."""
    host = HostBacklog(open_to=NOW - HOUR, taken_at=NOW + 48 * HOUR)

    assert host.complete_to(NOW) == NOW - HOUR
    assert host.complete_to(NOW + PATIENCE + 1) == inf


def test_a_wait_that_was_begun_by_a_clock_that_was_ahead() -> None:
    """It begins anew, and ends."""
    host = HostBacklog(readings={KEY: replace(kept((0, 1.0)), unknown_since=NOW + 48 * HOUR)})

    host.wait_for_statistic(KEY, "no_statistic", NOW)
    host.wait_for_statistic(KEY, "no_statistic", NOW + STATISTIC_PATIENCE)

    assert host.readings == {}


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
    issue_registry: ir.IssueRegistry,
) -> None:
    """It is not touched, and hosts keep what they have."""
    hass_storage["pilot.backlog"] = {"version": 2, "minor_version": 1, "key": "", "data": {}}

    await async_setup_backlog(hass)

    assert BACKLOG not in hass.data
    assert "until its file can be read" in caplog.text
    assert issue_registry.async_get_issue("pilot", "storage_pilot.backlog") is not None


def newer(path: Path) -> None:
    BacklogDatabase(path).write({HOST: HostBacklog()})
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def damaged(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"This is no database, but long enough to be taken for one." * 100)


def without_tables(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")


def with_odd_rows(path: Path) -> None:
    BacklogDatabase(path).write({HOST: HostBacklog()})
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE host SET data = '{\"chunks\": 1}'")
        db.commit()


def with_an_odd_point(path: Path) -> None:
    BacklogDatabase(path).write(
        {HOST: HostBacklog(readings={KEY: Kept(None, (Point(1.0, 2.0),), 0)})}
    )
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE point SET value = 'warm'")
        db.commit()


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


@pytest.fixture(params=[newer, damaged, without_tables, with_odd_rows, with_an_odd_point, a_folder])
def unreadable(hass: HomeAssistant, request: pytest.FixtureRequest) -> Path:
    """Return a database that this version cannot read."""
    path = Path(hass.config.path(".storage", "pilot.backlog.db"))
    request.param(path)
    return path


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


async def test_a_database_that_cannot_be_read(
    recorder_mock: Any,
    hass: HomeAssistant,
    unreadable: Path,
    caplog: pytest.LogCaptureFixture,
    issue_registry: ir.IssueRegistry,
) -> None:
    """It is not touched, hosts keep what they have, and the file is named."""
    before = content(unreadable)

    await async_setup_backlog(hass)

    assert BACKLOG not in hass.data
    assert "pilot.backlog.db" in caplog.text
    assert issue_registry.async_get_issue("pilot", "storage_pilot.backlog.db") is not None
    assert content(unreadable) == before
