"""An outage, and what the recorder has of it afterwards."""

from collections import Counter
from dataclasses import replace
import json
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from homeassistant.components.recorder import get_instance
from homeassistant.components.sensor import SensorEntity
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import async_block_recorder
from sqlalchemy.exc import OperationalError

from custom_components.pilot.backfill.database import BacklogDatabase
from custom_components.pilot.backfill.importer import Importer
from custom_components.pilot.backfill.runtime import BACKLOG
from custom_components.pilot.diagnostics import async_get_config_entry_diagnostics
from custom_components.pilot.host_migration import async_move_to
from custom_components.pilot.rooms.quantities import QUANTITIES
from custom_components.pilot.rooms.rooms import HOUR, Hour
from custom_components.pilot.rooms.statistics import statistic_id_of
from support.integration_host import FakeHost

from .conftest import FAR, NEAR, NOON, RECEIVED, TEMPERATURE, Night, a_chunk, announce, near

ANEW = "7a7a7a7a00000003"

WALK = Random(38)
HEARD: dict[int, float | None] = {
    second: WALK.randint(180, 240) / 10 for second in sorted(WALK.sample(range(5 * HOUR), 120))
} | {0: 20.0}
"""What both sensors measure in five hours."""

FORMER = json.loads((Path(__file__).parent / "storage" / "pilot.backlog").read_text())

CUT, BACK = 4000, 14_000
"""When the outage begins and ends."""


@pytest.fixture
async def backlog(night: Night) -> list[list[float | None]]:
    """Return what was measured during an outage, five hours after the beginning."""
    backlog = await night.play(HEARD, CUT, BACK)
    await night.compile(5)
    return backlog


async def assert_equal(night: Night, hours: int = 5) -> None:
    """Assert that the outage left no trace."""
    undisturbed = await night.hours(night.near)
    assert len(undisturbed) == hours
    assert await night.hours(night.far) == near(undisturbed)


# --- Hours -----------------------------------------------------------------------------------


async def test_an_outage_leaves_no_trace(night: Night, backlog: list[Any]) -> None:
    """Every hour is what it is of a host that was always heard."""
    assert await night.hours(night.far) != near(await night.hours(night.near))

    await night.deliver(backlog)

    await assert_equal(night)
    assert night.acknowledged() == ["0000000000000001"]


@pytest.mark.parametrize("size", [1, 7, 30])
async def test_it_may_come_in_parts(night: Night, backlog: list[Any], size: int) -> None:
    """Each is computed as far as it is complete, and acknowledged by itself."""
    for first in range(0, len(backlog), size):
        part = backlog[first : first + size]
        await night.deliver(part, more=first + size < len(backlog))

    await assert_equal(night)
    assert len(night.acknowledged()) == len(range(0, len(backlog), size))


async def test_delivered_twice_is_stored_once(night: Night, backlog: list[Any]) -> None:
    """A repeat is acknowledged, and changes nothing; nor do the same points in another chunk."""
    chunk = await night.deliver(backlog)
    await night.deliver(backlog, chunk=chunk)
    await night.deliver(backlog)

    await assert_equal(night)
    assert len(night.acknowledged()) == 3
    assert night.importer.async_diagnostics(FAR)["chunks"] == 2


async def test_what_was_heard_before_the_outage_may_be_delivered_again(
    night: Night, backlog: list[Any]
) -> None:
    """The agent cannot know what of the last seconds arrived."""
    before = [[NOON + second, value] for second, value in HEARD.items() if 3000 < second < CUT]

    await night.deliver([*sorted(before), *backlog])

    await assert_equal(night)


async def test_hours_that_are_not_compiled_wait(night: Night) -> None:
    """The recorder would trip over a row that is there already."""
    backlog = await night.play(HEARD, CUT, BACK)
    await night.compile(2)

    await night.deliver(backlog)

    assert sorted(await night.hours(night.far)) == [0, 1]
    told = await async_get_config_entry_diagnostics(night.hass, night.entries[FAR])
    later = sum(at >= NOON + 2 * HOUR for at, _ in backlog)
    assert told["backlog"] == {
        "chunks": 1,
        "more_to_come": False,
        "waiting": {TEMPERATURE: later},
        "waiting_from": "2026-11-05T14:00:00+00:00",
        "without_statistic": [],
        "kept": told["backlog"]["kept"],
        "full": False,
        "dropped": {},
    }

    await night.compile(5)

    await assert_equal(night)
    assert night.importer.async_diagnostics(FAR)["waiting"] == {}


async def test_two_outages_within_an_hour(night: Night) -> None:
    """The second part of the hour comes when the first has been imported."""
    own = {second: value for second, value in HEARD.items() if second < 5000 or second > 5600}
    first = await night.play({s: v for s, v in own.items() if s < 5300}, 3700, 4800)
    second = await night.play({s: v for s, v in own.items() if s >= 5300}, 6000, 14_000)

    await night.compile(2)
    await night.deliver(first)
    await night.compile(5)
    await night.deliver(second)

    await assert_equal(night)


async def test_what_comes_late_does_not_replace_what_is_there(
    night: Night, backlog: list[Any]
) -> None:
    """Of hours that were whole only the row is left: a late value has a part in it."""
    await night.deliver(backlog)
    before = await night.hours(night.far)

    late = [[NOON + 2 * HOUR + 900, 50.0], [NOON + 2 * HOUR + 1800, None]]
    await night.deliver(late)

    after = await night.hours(night.far)
    assert (after[2].min, after[2].max) == (before[2].min, 50.0)
    assert after[2].mean == pytest.approx(before[2].mean * 0.75 + 50 * 0.25)
    assert {hour: after[hour] for hour in (0, 1, 3, 4)} == near(
        {hour: before[hour] for hour in (0, 1, 3, 4)}
    )


async def test_a_value_that_holds_for_hours(night: Night) -> None:
    """Nothing changed, so nothing was recorded: the hours are there all the same."""
    heard = {s: 20.0 if s < 5000 else 21.0 for s in range(0, 17_000, 600)} | {17_000: 22.0}
    backlog = await night.play(heard, CUT, BACK)
    await night.compile(5)

    await night.deliver(backlog)

    assert len(backlog) == 2
    assert (await night.hours(night.far))[2] == Hour(21.0, 21.0, 21.0)
    await assert_equal(night)


async def test_a_host_that_is_switched_off_after_an_outage(night: Night) -> None:
    """It has no hours then: the value that it delivered last was heard as well."""
    await night.says(night.far, 20.0)
    night.at(120)
    await night.deliver([[NOON + 60, 20.0]])
    night.at(2 * HOUR - 300)
    await night.far.availability("off")

    await night.compile(5)

    assert await night.hours(night.far) == {hour: Hour(20.0, 20.0, 20.0) for hour in (0, 1)}
    assert night.importer.async_diagnostics(FAR)["waiting_from"] is None


async def test_more_waits_behind_what_was_taken_as_the_last_part(night: Night) -> None:
    """The host was cut off before it heard that it was taken, and measured on."""
    await night.says(night.far, 20.0)
    first = await night.deliver([[NOON, 20.0]])
    backlog = await night.play(HEARD, 1, BACK)

    await night.deliver([[NOON, 20.0]], chunk=first, more=True)
    await night.compile(5)
    assert night.importer.async_diagnostics(FAR)["more_to_come"] is True
    await night.deliver(backlog)

    await assert_equal(night)
    assert night.importer.async_diagnostics(FAR)["more_to_come"] is False


async def test_the_host_ends_within_the_outage(night: Night) -> None:
    """It says so with a null: from then on there is nothing."""
    backlog = await night.play({0: 20.0, 5000: 21.0}, CUT, BACK)
    await night.compile(5)

    await night.deliver([*backlog, [NOON + 8000, None]])

    hours = await night.hours(night.far)
    assert sorted(hours) == [0, 1, 2, 3, 4]
    assert hours[2] == Hour(21.0, 21.0, 21.0)
    # It was heard again at 14,000 s, with the value that it had.
    assert hours[3] == Hour(21.0, 21.0, 21.0)


# --- Entities --------------------------------------------------------------------------------


async def test_the_user_has_chosen_another_unit(night: Night) -> None:
    """The statistic has the unit that it began with, the states have the user's."""
    for host in (night.near, night.far):
        night.entities.async_update_entity_options(
            night.entity_id(host), "sensor", {"unit_of_measurement": "°F"}
        )
    await night.settle()
    backlog = await night.play(HEARD, CUT, BACK)
    await night.compile(1)
    for host in (night.near, night.far):
        night.entities.async_update_entity_options(
            night.entity_id(host), "sensor", {"unit_of_measurement": "K"}
        )
    await night.compile(5)

    await night.deliver(backlog)

    undisturbed = await night.hours(night.near)
    assert undisturbed[2].mean > 200
    await assert_equal(night)


async def test_the_user_has_renamed_the_entity(night: Night, backlog: list[Any]) -> None:
    """Its statistics have moved along."""
    night.entities.async_update_entity(
        night.entity_id(night.far), new_entity_id="sensor.the_cellar"
    )
    await night.settle()

    await night.deliver(backlog)

    assert night.entity_id(night.far) == "sensor.the_cellar"
    await assert_equal(night)


async def test_the_user_renames_the_entity_meanwhile(night: Night, backlog: list[Any]) -> None:
    """Nothing is written under the old name; it is computed again under the new one."""
    renamed = False

    async def keep_bases(*_: object) -> None:
        nonlocal renamed
        if not renamed:
            renamed = True
            night.entities.async_update_entity(
                night.entity_id(night.far), new_entity_id="sensor.the_cellar"
            )

    with patch.object(Importer, "_keep_bases", keep_bases):
        await night.deliver(backlog)
    await night.compile(5)

    await assert_equal(night)


async def test_the_user_has_disabled_the_entity(night: Night, backlog: list[Any]) -> None:
    """It has a statistic from before."""
    night.entities.async_update_entity(
        night.entity_id(night.far), disabled_by=er.RegistryEntryDisabler.USER
    )
    await night.settle()

    await night.deliver(backlog)

    await assert_equal(night)


async def test_an_entity_without_a_statistic_waits(night: Night) -> None:
    """Whether it gets one is for the recorder to say."""
    await night.deliver([[NOON - 5000, 20.0], [NOON - 4000, None]])
    assert await night.hours(night.far) == {}

    await night.says(night.far, 21.0)
    await night.compile(1)
    await night.compile(2)

    assert sorted(await night.hours(night.far)) == [-2, 0, 1]
    assert night.importer.async_diagnostics(FAR)["waiting"] == {}


async def test_the_user_has_removed_the_entity(night: Night) -> None:
    """There is nothing that could have a statistic."""
    backlog = await night.play(HEARD, CUT, BACK)
    await night.deliver(backlog)
    night.entities.async_remove(night.entity_id(night.far))

    await night.compile(5)

    told = night.importer.async_diagnostics(FAR)
    assert told["waiting"] == {}
    assert told["dropped"] == {"removed": len(backlog)}


async def test_the_host_is_removed(night: Night) -> None:
    """Nothing of it is kept."""
    backlog = await night.play(HEARD, CUT, BACK)
    await night.deliver(backlog)

    with patch("custom_components.pilot.async_part"):
        await night.hass.config_entries.async_remove(night.entries[FAR].entry_id)

    assert night.importer.hosts == {}


async def test_the_host_is_installed_anew(night: Night) -> None:
    """What waits under its old id becomes statistics all the same: the entities are the same."""
    backlog = await night.play(HEARD, CUT, BACK)
    await night.deliver(backlog)
    hass, entry, entity_id = night.hass, night.entries[FAR], night.entity_id(night.far)
    await hass.config_entries.async_unload(entry.entry_id)

    await async_move_to(hass, entry, ANEW)
    await hass.config_entries.async_setup(entry.entry_id)
    night.far = FakeHost(hass, announce(ANEW, "far"))
    await night.far.connect()
    await night.compile(5)

    assert night.entity_id(night.far) == entity_id
    undisturbed, hours = await night.hours(night.near), await night.hours(night.far)
    assert {hour: hours[hour] for hour in range(4)} == near(
        {hour: undisturbed[hour] for hour in range(4)}
    )
    assert night.importer.hosts.keys() == {ANEW}
    assert night.importer.async_diagnostics(ANEW)["dropped"] == {}


@pytest.mark.parametrize("ahead", [2 * HOUR, -61 * 24 * HOUR])
async def test_a_wrong_clock_loses_nothing(
    night: Night, ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The host keeps its points until both clocks are right; one line says so."""
    values = {TEMPERATURE: [[NOON + ahead, 1.0]]}
    for _ in range(2):
        await night.far.send("backlog", a_chunk(values, time=NOON + ahead))
    await night.settle()
    assert night.acknowledged() == []
    assert caplog.text.count("differ by more than an hour") == 1

    await night.far.send("backlog", a_chunk({TEMPERATURE: [[NOON - 5, 1.0]]}, time=NOON))
    await night.settle()
    assert night.acknowledged() == ["00000000000000ff"]


async def test_other_readings_are_not_taken(night: Night) -> None:
    """They are counted; what else is in the chunk is taken."""
    await night.far.send(
        "backlog",
        a_chunk(
            {
                "cpu.percent": [[NOON - 10, 1.0]],
                TEMPERATURE: [[NOON - 61 * 24 * HOUR, 1.0], [NOON - 5, 2.0], [NOON + 4000, 3.0]],
            }
        ),
    )
    await night.settle()

    told = night.importer.async_diagnostics(FAR)
    assert told["dropped"] == {"not_announced": 1, "future": 1, "too_old": 1}
    assert told["kept"] == 1
    assert night.acknowledged() == ["00000000000000ff"]


# --- Counters --------------------------------------------------------------------------------


async def test_a_counter_goes_on(night: Night) -> None:
    """State and sum of each hour are those of an undisturbed run."""
    total = 1000.0
    heard: dict[int, float | None] = {0: total}
    for second in sorted(HEARD):
        total += WALK.randint(0, 5_000_000)
        heard[second] = total
    heard[60] = 2000.0
    for second in (0, 60):
        night.at(second)
        for host in (night.near, night.far):
            await night.says(host, heard[second], RECEIVED)
    backlog = await night.play(heard, CUT, BACK, RECEIVED)
    await night.compile(5)
    undisturbed = await night.rows(night.near, RECEIVED)
    assert await night.rows(night.far, RECEIVED) != near(undisturbed)

    half = len(backlog) // 2
    await night.deliver(backlog[:half], key=RECEIVED, more=True)
    await night.deliver(backlog[half:], key=RECEIVED)

    assert await night.rows(night.far, RECEIVED) == near(undisturbed)
    assert len(undisturbed) == 5


async def test_a_counter_that_was_never_counted(night: Night) -> None:
    """There is nothing to go on from: the recorder begins where it is heard first."""
    backlog = await night.play({5000: 1e9, 9000: 2e9, 17_000: 3e9}, CUT, BACK, RECEIVED)
    await night.compile(5)
    before = await night.rows(night.far, RECEIVED)

    await night.deliver([point for point in backlog if point[1]], key=RECEIVED)

    assert await night.rows(night.far, RECEIVED) == before


# --- What goes wrong -------------------------------------------------------------------------


async def test_home_assistant_is_restarted_during_the_import(
    night: Night, backlog: list[Any]
) -> None:
    """What was not seen in the database is done again, from what is stored, and is the same."""
    with patch("custom_components.pilot.backfill.importer.is_written", return_value=False):
        await night.deliver(backlog)
    assert night.importer.async_diagnostics(FAR)["waiting"] != {}
    after = Importer(night.hass)
    await after.async_start()
    await night.settle()

    await assert_equal(night)
    assert after.async_diagnostics(FAR)["waiting"] == {}
    assert after.async_diagnostics(FAR)["chunks"] == 1


async def test_the_recorder_is_slow(night: Night, backlog: list[Any]) -> None:
    """The host is answered at once; the hours come when the recorder does."""
    await async_block_recorder(night.hass, 1)
    await night.far.send("backlog", a_chunk({TEMPERATURE: backlog}))
    await night.hass.async_block_till_done()
    assert night.acknowledged() == ["00000000000000ff"]

    await night.settle()

    await assert_equal(night)


async def test_a_database_that_fails(
    night: Night, backlog: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once for each try, and nothing is lost."""
    broken = OperationalError("SELECT", {}, Exception("the disk is full"))
    with patch("custom_components.pilot.backfill.importer.compute", side_effect=broken):
        await night.deliver(backlog)
    assert "cannot be imported now" in caplog.text

    await night.compile(5)

    await assert_equal(night)


async def test_too_much_waits(
    night: Night, backlog: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The host keeps what is not taken, and delivers it again."""
    with patch("custom_components.pilot.backfill.importer.MAX_POINTS", 5):
        await night.deliver([[NOON + 5.5 * HOUR + second, 20.0] for second in range(5)])
        chunk = await night.deliver(backlog)
        await night.deliver(backlog, chunk=chunk)
    assert night.acknowledged() == ["0000000000000001"]
    assert caplog.text.count("no more are taken from it") == 1

    await night.deliver(backlog, chunk=chunk)

    assert night.acknowledged() == ["0000000000000001", chunk]


async def test_the_states_of_the_hour_are_purged(night: Night, backlog: list[Any]) -> None:
    """Then the row that is left and the backlog share the hour by time; once, not twice."""
    before = await night.hours(night.far)
    get_instance(night.hass).keep_days = 0

    with patch("custom_components.pilot.backfill.importer.is_written", return_value=False):
        await night.deliver(backlog)
    await night.compile(5)

    covered = (2 * HOUR - CUT) / HOUR
    undisturbed, after = await night.hours(night.near), await night.hours(night.far)
    assert after[2] == near({2: undisturbed[2]})[2]
    assert after[1].max == max(before[1].max, undisturbed[1].max)
    assert after[1].mean == pytest.approx(undisturbed[1].mean, abs=(1 - covered) * 6)
    assert after[0] == near({0: before[0]})[0]
    assert night.importer.async_diagnostics(FAR)["waiting"] == {}


# --- What never becomes a statistic ----------------------------------------------------------

CORES = [f"cpu.core{core}.percent" for core in range(16)]
AWAY = int(2.1 * 24 * HOUR)


async def announce_cores(night: Night, host: FakeHost) -> None:
    """Let a host announce a sensor for each of its cores, which are disabled from the start."""
    collectors = host.announced["collectors"] | {"cpu": {"interval": 600}}
    readings = [*host.announced["readings"], *({"key": k, "kind": "cpu.percent"} for k in CORES)]
    await host.announce(collectors=collectors, readings=readings)
    await night.settle()
    for key in CORES:
        night.entities.async_update_entity(
            night.entity_id(host, key), disabled_by=er.RegistryEntryDisabler.INTEGRATION
        )
    await night.settle()


async def test_a_host_with_many_disabled_sensors_was_away_for_days(night: Night) -> None:
    """It is taken though that is more than there is room for; nothing of it is left."""
    await announce_cores(night, night.far)
    await night.says(night.far, 20.0)
    await night.compile(1)
    night.at(AWAY)
    times = range(HOUR, AWAY - HOUR, 600)
    chunks = [times[first : first + 50] for first in range(0, len(times), 50)]

    with patch("custom_components.pilot.backfill.importer.MAX_POINTS_OF_HOST", 600):
        for number, chunk in enumerate(chunks):
            points = [[NOON + second, 20.0 + second % 7] for second in chunk]
            await night.far.send(
                "backlog",
                a_chunk(
                    dict.fromkeys(CORES, points) | {TEMPERATURE: points},
                    more=chunk is not chunks[-1],
                    chunk=f"{number:016x}",
                ),
            )
    await night.compile(AWAY // HOUR)

    told = night.importer.async_diagnostics(FAR)
    assert night.acknowledged() == [f"{number:016x}" for number in range(len(chunks))]
    assert told["dropped"] == {"disabled": 16 * len(times)}
    assert told["waiting"].keys() <= {TEMPERATURE}
    assert told["kept"] < 20
    hours = await night.hours(night.far)
    assert len(hours) == AWAY // HOUR


@pytest.mark.parametrize(
    "recorder_config", [{"exclude": {"entity_globs": ["sensor.aht20_*_2"]}}], ids=["globs"]
)
async def test_what_the_recorder_leaves_out_is_counted_and_not_kept(night: Night) -> None:
    """As the user has configured it."""
    assert night.entity_id(night.far) == "sensor.aht20_temperature_2"

    await night.deliver([[NOON + 60, 20.0], [NOON + 70, 21.0]])

    told = night.importer.async_diagnostics(FAR)
    assert (told["kept"], told["dropped"]) == (0, {"not_recorded": 2})
    assert len(night.acknowledged()) == 1


@pytest.mark.parametrize("reason", ["not_recorded", "no_state_class", "disabled"])
async def test_what_gets_no_statistic_is_counted_and_not_kept(
    night: Night, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what comes nor what is there already."""
    entity_id = night.entity_id(night.far)
    waits = [[NOON + 60, 20.0], [NOON + 70, 21.0]]
    await night.deliver(waits)
    assert night.importer.async_diagnostics(FAR)["kept"] == 2
    if reason == "no_state_class":
        # The entity itself would put them back with its next state.
        monkeypatch.setattr(SensorEntity, "capability_attributes", None)
        night.entities.async_update_entity(entity_id, capabilities=None)
    elif reason == "disabled":
        night.entities.async_update_entity(entity_id, disabled_by=er.RegistryEntryDisabler.USER)

    with patch(
        "custom_components.pilot.backfill.importer.is_entity_recorded",
        return_value=reason != "not_recorded",
    ):
        await night.deliver(waits)
        await night.compile(2)

    told = night.importer.async_diagnostics(FAR)
    assert told["kept"] == 0
    assert told["dropped"] == {reason: 4}
    assert len(night.acknowledged()) == 2


async def test_a_sensor_that_gets_no_statistic_keeps_nothing_out(night: Night) -> None:
    """It may get one, but had an hour to."""
    with patch("custom_components.pilot.backfill.importer.MAX_POINTS_OF_HOST", 5):
        await night.deliver([[NOON - 9000 + second, 20.0] for second in range(5)])
        await night.compile(0.5)
        refused = await night.deliver([[NOON + 60, 20.0]])
        assert night.importer.async_diagnostics(FAR)["without_statistic"] == [TEMPERATURE]
        assert refused not in night.acknowledged()

        await night.compile(2)
        await night.deliver([[NOON + 60, 20.0]], chunk=refused)

    assert refused in night.acknowledged()
    assert night.importer.async_diagnostics(FAR)["dropped"] == {"no_statistic": 6}


# --- Room ------------------------------------------------------------------------------------


async def test_one_host_does_not_keep_out_another(night: Night, backlog: list[Any]) -> None:
    """There is no room left in all, but the other one has little of it."""
    flood = [[NOON + 5.5 * HOUR + second, 20.0] for second in range(200)]
    with patch("custom_components.pilot.backfill.importer.MAX_POINTS", 200):
        await night.near.send("backlog", a_chunk({TEMPERATURE: flood}, chunk="a" * 16))
        await night.near.send("backlog", a_chunk({RECEIVED: flood}, chunk="b" * 16))
        await night.deliver(backlog)

    assert night.importer.async_diagnostics(NEAR)["chunks"] == 1
    assert night.importer.async_diagnostics(NEAR)["full"]
    assert len(night.acknowledged()) == 1
    await assert_equal(night)


async def test_counters_make_room_before_all_has_come(night: Night) -> None:
    """Else what is missing would wait for the room that they take."""
    heard: dict[int, float | None] = {second: second * 10.0 for second in range(0, 5 * HOUR, 300)}
    for host in (night.near, night.far):
        await night.says(host, 0.0, RECEIVED)
    points = await night.play(heard, CUT, BACK, RECEIVED)
    await night.compile(5)

    with patch("custom_components.pilot.backfill.importer.MAX_POINTS_OF_HOST", 25):
        waiting = [points[first : first + 10] for first in range(0, len(points), 10)]
        for number, part in enumerate(waiting):
            more = part is not waiting[-1]
            chunk = await night.deliver(part, key=RECEIVED, more=more)
            if chunk not in night.acknowledged():
                await night.compile(5 + number)
                await night.deliver(part, key=RECEIVED, more=more, chunk=chunk)

    assert len(night.acknowledged()) == len(waiting)
    undisturbed = await night.rows(night.near, RECEIVED)
    written = await night.rows(night.far, RECEIVED)
    assert {hour: written[hour] for hour in range(5)} == near(
        {hour: undisturbed[hour] for hour in range(5)}
    )


async def test_a_database_that_fails_while_a_chunk_comes(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether a disabled sensor has a statistic is not known then: its host keeps the chunk."""
    night.entities.async_update_entity(
        night.entity_id(night.far), disabled_by=er.RegistryEntryDisabler.USER
    )
    await night.settle()
    broken = OperationalError("SELECT", {}, Exception("database is locked"))
    with patch("custom_components.pilot.backfill.importer.known_statistics", side_effect=broken):
        chunk = await night.deliver([[NOON + 60, 20.0]])
    assert night.acknowledged() == []
    assert "database is locked" in caplog.text
    assert "Traceback" not in caplog.text

    await night.deliver([[NOON + 60, 20.0]], chunk=chunk)

    assert night.acknowledged() == [chunk]


# --- The disk --------------------------------------------------------------------------------


async def test_a_disk_that_is_full(
    night: Night, backlog: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What is not on it is not acknowledged, and taken when it is repeated."""
    with patch.object(BacklogDatabase, "write", side_effect=OSError("no space left on device")):
        chunk = await night.deliver(backlog)
    assert night.acknowledged() == []
    assert "pilot.backlog.db cannot be written" in caplog.text

    await night.deliver(backlog, chunk=chunk)

    assert night.acknowledged() == [chunk]
    await assert_equal(night)


async def test_what_an_earlier_version_kept_is_taken_over(
    night: Night, hass_storage: dict[str, Any]
) -> None:
    """The file is one that such a version wrote; nothing that waited in it is lost."""
    await night.play(HEARD, CUT, BACK)
    await night.compile(2)
    hass_storage["pilot.backlog"] = FORMER

    after = Importer(night.hass)
    await after.async_start()
    assert after.async_diagnostics(FAR)["chunks"] == 1
    assert "pilot.backlog" not in hass_storage
    night.hass.data[BACKLOG] = after
    await night.compile(5)

    # The hours before were computed by that version.
    undisturbed, hours = await night.hours(night.near), await night.hours(night.far)
    assert {hour: hours[hour] for hour in (2, 3, 4)} == near(
        {hour: undisturbed[hour] for hour in (2, 3, 4)}
    )
    again = Importer(night.hass)
    await again.async_start()
    assert again.hosts == {FAR: replace(after.hosts[FAR], dropped=Counter())}


# --- Rooms -----------------------------------------------------------------------------------


async def test_rooms_are_computed_anew(night: Night) -> None:
    """The room in which the sensor stood has the hours of the outage, too."""
    area = ar.async_get(night.hass).async_create("Attic")
    device = dr.async_get(night.hass).async_get_device_by_identifier(
        ("pilot", f"{FAR}_aht20-1-38"), night.entries[FAR].entry_id
    )
    assert device is not None
    dr.async_get(night.hass).async_update_device(device.id, area_id=area.id)
    backlog = await night.play(HEARD, CUT, BACK)
    await night.compile(5)

    await night.deliver(backlog)
    await night.settle()

    statistic_id = statistic_id_of(area.id, QUANTITIES["temperature"])
    with patch.object(night, "entity_id", return_value=statistic_id):
        room = await night.hours(night.far)
    assert room == near(await night.hours(night.near))
