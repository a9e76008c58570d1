"""Whether a host is there: the two entities that always have a state."""

from datetime import UTC, datetime, timedelta
from time import time
from typing import TYPE_CHECKING, Any

from homeassistant.components.mqtt.const import MQTT_CONNECTION_STATE
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers.dispatcher import async_dispatcher_send
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
    mock_restore_cache_with_extra_data,
)

from custom_components.pilot.coordinator import Status

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

    from support.integration_host import FakeHost

# The connection is disabled by default.
pytestmark = pytest.mark.usefixtures("freezer", "all_enabled")

CONNECTION = "binary_sensor.office_pc_connection"
STATUS = "sensor.office_pc_status"
PROCESSOR = "sensor.office_pc_processor"


def shown(hass: HomeAssistant) -> tuple[str, str, Any]:
    """Return what the two entities show: on or off, and the status twice."""
    connection, status = hass.states.get(CONNECTION), hass.states.get(STATUS)
    assert connection is not None
    assert status is not None
    return connection.state, status.state, connection.attributes["status"]


def since(hass: HomeAssistant) -> datetime:
    """Return since when the host is what it is."""
    connection = hass.states.get(CONNECTION)
    assert connection is not None
    return datetime.fromisoformat(connection.attributes["since"])


async def set_broker(hass: HomeAssistant, mqtt_mock: MqttMockHAClient, *, up: bool) -> None:
    """Take Home Assistant's connection to its broker away, or give it back."""
    mqtt_mock.connected = up
    async_dispatcher_send(hass, MQTT_CONNECTION_STATE, up)
    await hass.async_block_till_done()


async def test_unknown_before_the_first_word(
    hass: HomeAssistant, configured: MockConfigEntry
) -> None:
    """A host that has not been heard of has a state all the same."""
    assert shown(hass) == ("unknown", "unknown", "unknown")


@pytest.mark.parametrize(
    ("word", "connection"), [("online", "on"), ("asleep", "off"), ("off", "off"), ("lost", "off")]
)
async def test_shows_what_the_host_says(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost, word: str, connection: str
) -> None:
    """The four words of a host are four states."""
    await host.availability(word)

    assert shown(hass) == (connection, word, word)


@pytest.mark.parametrize("word", ["asleep", "off", "lost"])
async def test_readings_are_unavailable_while_the_host_is_away(
    hass: HomeAssistant, online: FakeHost, word: str
) -> None:
    """What was read before it went is not shown as if it were so still."""
    await online.availability(word)

    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_readings_come_back_at_once_if_they_are_young(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """After a short outage the values are back without waiting for the next ones."""
    await online.availability("lost")
    await online.availability("online")

    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_readings_wait_for_new_values_if_they_are_old(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """After a night's sleep the values of the evening are not shown."""
    await online.availability("asleep")
    freezer.tick(timedelta(hours=8))
    async_fire_time_changed(hass)
    await hass.async_block_till_done()

    await online.availability("online")
    assert hass.states.get(PROCESSOR).state == "unavailable"

    await online.state("cpu", percent=3, load_1m=0.1)
    assert hass.states.get(PROCESSOR).state == "3"


async def test_readings_wait_for_new_values_if_there_must_have_been_some(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """Values that were overtaken unheard are not shown, and recorded, for a moment."""
    await online.availability("lost")
    freezer.tick(timedelta(seconds=16))  # The interval is 10 s; silence counts from 30 s on.

    await online.availability("online")
    assert hass.states.get(PROCESSOR).state == "unavailable"

    await online.state("cpu", percent=3, load_1m=0.1)
    assert hass.states.get(PROCESSOR).state == "3"


async def test_values_that_come_while_it_is_away_are_shown_when_it_is_back(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """An old will may arrive late: the agent puts it right in a moment."""
    freezer.tick(31)
    async_fire_time_changed(hass)
    await online.availability("lost")
    await online.state("cpu", percent=44, load_1m=1)
    assert hass.states.get(PROCESSOR).state == "unavailable"

    await online.availability("online")
    assert hass.states.get(PROCESSOR).state == "44"


async def test_logs_going_and_coming_once(
    hass: HomeAssistant, online: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it goes, one when it is back."""
    caplog.clear()
    await online.availability("lost")
    await online.availability("lost")
    await online.availability("online")

    assert [record.message for record in caplog.records if "office-pc is" in record.message] == [
        "office-pc is lost",
        "office-pc is online",
    ]


async def test_since_is_when_the_status_changed(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """Repeating a status does not begin it anew."""
    freezer.move_to("2026-11-05T12:00:00+00:00")
    await online.availability("off")
    freezer.move_to("2026-11-05T13:00:00+00:00")
    await online.availability("off")

    assert since(hass) == datetime(2026, 11, 5, 12, tzinfo=UTC)


# --- Home Assistant's own broker ---------------------------------------------------------------


async def test_says_that_the_broker_cannot_be_reached(
    hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """That is not the host's fault, and the user sees it."""
    await set_broker(hass, mqtt_mock, up=False)

    assert shown(hass) == ("unknown", "no_broker", "no_broker")
    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_the_host_is_as_before_when_the_broker_is_back(
    hass: HomeAssistant,
    online: FakeHost,
    mqtt_mock: MqttMockHAClient,
    freezer: FrozenDateTimeFactory,
) -> None:
    """It has been online all the while, as far as is known: `since` says so."""
    online_since = since(hass)
    freezer.tick(5)
    await set_broker(hass, mqtt_mock, up=False)
    freezer.tick(5)
    await set_broker(hass, mqtt_mock, up=True)
    await online.availability("online", retain=True)

    assert shown(hass) == ("on", "online", "online")
    assert since(hass) == online_since
    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_starts_without_a_broker(
    hass: HomeAssistant, mqtt_mock: MqttMockHAClient, entry: MockConfigEntry
) -> None:
    """Home Assistant may be started while the broker is away."""
    mqtt_mock.connected = False

    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert shown(hass) == ("unknown", "no_broker", "no_broker")


# --- Only what was true --------------------------------------------------------------------------


@pytest.fixture
def written(hass: HomeAssistant) -> dict[str, list[str]]:
    """Return the states that entities are given from now on, in order, by their ids."""
    states: dict[str, list[str]] = {}

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is not None:
            states.setdefault(state.entity_id, []).append(state.state)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    return states


async def test_a_start_shows_no_host_as_off(
    hass: HomeAssistant,
    written: dict[str, list[str]],
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
) -> None:
    """A host that was online all the while does not turn from off to on."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.announce(retain=True)
    await host.availability("online", retain=True)

    assert written[CONNECTION] == ["unknown", "on"]
    assert written[STATUS] == ["unknown", "online"]


async def test_a_start_before_the_broker_shows_no_host_as_off(
    hass: HomeAssistant,
    written: dict[str, list[str]],
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
) -> None:
    """After a power cut Home Assistant is often up first."""
    mqtt_mock.connected = False
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await set_broker(hass, mqtt_mock, up=True)
    await host.availability("online", retain=True)

    assert set(written[CONNECTION]) == {"unknown", "on"}
    assert written[STATUS] == ["no_broker", "unknown", "online"]


async def test_a_reload_of_the_entry_shows_no_host_as_off(
    hass: HomeAssistant,
    online: FakeHost,
    written: dict[str, list[str]],
    configured: MockConfigEntry,
) -> None:
    """Another option of an entry, or pairing, reloads it."""
    await hass.config_entries.async_reload(configured.entry_id)
    await hass.async_block_till_done()
    await online.announce(retain=True)
    await online.availability("online", retain=True)

    assert written[CONNECTION] == ["unavailable", "unknown", "on"]
    assert written[STATUS] == ["unavailable", "unknown", "online"]


@pytest.mark.parametrize(("word", "connection"), [("online", "on"), ("off", "off")])
async def test_a_lost_broker_shows_what_it_repeats_and_nothing_before(
    hass: HomeAssistant,
    online: FakeHost,
    written: dict[str, list[str]],
    mqtt_mock: MqttMockHAClient,
    word: str,
    connection: str,
) -> None:
    """A host that went while the broker was away is not shown as online for a moment."""
    await set_broker(hass, mqtt_mock, up=False)
    await set_broker(hass, mqtt_mock, up=True)
    await online.availability(word, retain=True)

    assert set(written[CONNECTION][:-1]) == {"unknown"}
    assert written[CONNECTION][-1] == connection
    assert written[STATUS] == ["no_broker", "unknown", word]
    assert written[PROCESSOR][0] == "unavailable"


async def test_values_that_the_broker_kept_are_shown_once_the_host_is_known_to_be_online(
    hass: HomeAssistant,
    written: dict[str, list[str]],
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
) -> None:
    """The messages of a start come in any order; an old value is none of the states."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.announce(retain=True)
    await host.state("cpu", ts=time() - 10, percent=7, load_1m=1, retain=True)
    await host.state("disk", ts=time() - 200, root__used_percent=61, retain=True)
    await host.availability("online", retain=True)

    assert written[PROCESSOR] == ["unavailable", "7"]
    assert set(written["sensor.office_pc_system_disk"]) == {"unavailable"}


# --- Silence -----------------------------------------------------------------------------------


async def test_readings_of_a_silent_collector_become_unavailable(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """After three intervals, and only those of that collector."""
    freezer.tick(29)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert hass.states.get(PROCESSOR).state == "12.5"

    freezer.tick(2)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert hass.states.get(PROCESSOR).state == "unavailable"
    assert hass.states.get("sensor.office_pc_system_disk").state == "61"
    assert shown(hass) == ("on", "online", "online")


async def test_a_collector_that_speaks_again_is_believed_again(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """Even if it says the same as before."""
    freezer.tick(31)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()

    await online.state("cpu", percent=12.5, load_1m=0.42)
    assert hass.states.get(PROCESSOR).state == "12.5"

    freezer.tick(31)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_each_message_gives_three_more_intervals(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """A collector that keeps speaking never becomes stale."""
    for _ in range(12):
        freezer.tick(10)
        await online.state("cpu", percent=12.5, load_1m=0.42)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()

    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_a_host_of_which_nothing_comes_is_lost(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """A broker that lost its memory with the power may keep `online` for ever."""
    freezer.tick(3 * 60 + 1)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert shown(hass) == ("off", "lost", "lost")

    await online.state("cpu", percent=1, load_1m=0.1)
    assert shown(hass) == ("on", "online", "online")


async def test_what_the_broker_kept_is_no_sign_of_life(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """It repeats `online` whenever Home Assistant reconnects; only the host itself counts."""
    freezer.tick(3 * 60 + 1)
    async_fire_time_changed(hass)
    await online.availability("online", retain=True)
    await online.announce(retain=True)
    assert shown(hass) == ("off", "lost", "lost")

    await online.announce()
    assert shown(hass) == ("on", "online", "online")


async def test_a_host_that_only_announced_itself_is_lost_too(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    freezer: FrozenDateTimeFactory,
) -> None:
    """It has as long as its slowest collector takes."""
    await host.connect()
    freezer.tick(3 * 60 + 1)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()

    assert shown(hass) == ("off", "lost", "lost")


async def test_a_host_that_reports_nothing_is_not_lost(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    host: FakeHost,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Silence is all that can be expected of it."""
    await host.availability()
    await host.announce(collectors={}, readings=[], devices={})
    freezer.tick(86_400)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()

    assert shown(hass) == ("on", "online", "online")


# --- Retained values ---------------------------------------------------------------------------


async def test_retained_values_are_as_old_as_the_host_says(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """What the broker kept is shown if it is young enough."""
    freezer.move_to(datetime.fromtimestamp(1793952000, UTC))
    await host.connect()
    await host.state("cpu", ts=1793952000 - 20, percent=7, load_1m=1, retain=True)
    await host.state("disk", ts=1793952000 - 200, root__used_percent=61, retain=True)

    assert hass.states.get(PROCESSOR).state == "7"
    assert hass.states.get("sensor.office_pc_system_disk").state == "unavailable"

    freezer.tick(11)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()
    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_a_clock_ahead_makes_values_no_younger_than_now(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """A host that lives in the future is not believed for longer."""
    freezer.move_to(datetime.fromtimestamp(1793952000, UTC))
    await host.connect()
    await host.state("cpu", ts=1793952000 + 86_400, percent=7, load_1m=1, retain=True)
    freezer.tick(31)
    async_fire_time_changed(hass)
    await hass.async_block_till_done()

    assert hass.states.get(PROCESSOR).state == "unavailable"


async def test_live_values_are_young_whatever_the_clock_says(
    hass: HomeAssistant, online: FakeHost
) -> None:
    """A host with a wrong clock is a host all the same."""
    await online.state("cpu", ts=0, percent=99, load_1m=1)

    assert hass.states.get(PROCESSOR).state == "99"


async def test_repeating_what_it_kept_makes_values_no_older(
    hass: HomeAssistant, online: FakeHost, freezer: FrozenDateTimeFactory
) -> None:
    """When Home Assistant reconnects, the broker repeats what came live a moment ago."""
    freezer.move_to(datetime.fromtimestamp(1793952000, UTC) + timedelta(days=1))
    await online.state("cpu", ts=5, percent=12.5, load_1m=0.42)
    await online.state("cpu", ts=5, percent=12.5, load_1m=0.42, retain=True)

    assert hass.states.get(PROCESSOR).state == "12.5"


# --- Restarts of Home Assistant ----------------------------------------------------------------


def stored(status: str, since: str) -> dict[str, str]:
    """Return what the status entities keep."""
    return {"host_status": status, "host_since": since}


@pytest.mark.parametrize("keeper", [CONNECTION, STATUS])
async def test_since_survives_a_restart(
    hass: HomeAssistant,
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
    keeper: str,
) -> None:
    """A host that was online before and is online after has been online since before."""
    before = "2026-11-01T08:00:00+00:00"
    mock_restore_cache_with_extra_data(hass, [(State(keeper, "online"), stored("online", before))])
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert shown(hass) == ("unknown", "unknown", "unknown")

    await host.availability("online", retain=True)

    assert since(hass) == datetime.fromisoformat(before)


async def test_since_begins_anew_if_the_status_changed_meanwhile(
    hass: HomeAssistant,
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
    freezer: FrozenDateTimeFactory,
) -> None:
    """When it did is not known, but now it is so."""
    freezer.move_to("2026-11-05T12:00:00+00:00")
    mock_restore_cache_with_extra_data(
        hass,
        [(State(CONNECTION, "on"), stored("online", "2026-11-01T08:00:00+00:00"))],
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.availability("off", retain=True)

    assert since(hass) == datetime(2026, 11, 5, 12, tzinfo=UTC)


async def test_since_is_not_in_the_future_of_a_clock_that_was_set_right(
    hass: HomeAssistant,
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Neither what was stored, nor what was noted since the start."""
    ahead = "2026-11-07T12:00:00+00:00"
    mock_restore_cache_with_extra_data(hass, [(State(CONNECTION, "on"), stored("online", ahead))])
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.availability("online", retain=True)
    assert since(hass) == datetime(2026, 11, 5, 12, tzinfo=UTC)

    freezer.move_to(ahead)
    await host.availability("asleep")
    freezer.move_to("2026-11-05T13:00:00+00:00")
    await host.availability("asleep")

    assert since(hass) == datetime(2026, 11, 5, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "rubbish",
    [
        {},
        stored("online", "yesterday"),
        stored("happy", "2026-11-01T08:00:00+00:00"),
        stored("online", "2026-11-01T08:00:00"),
    ],
)
async def test_rubbish_in_the_store_is_ignored(
    hass: HomeAssistant,
    mqtt_mock: MqttMockHAClient,
    entry: MockConfigEntry,
    host: FakeHost,
    freezer: FrozenDateTimeFactory,
    rubbish: dict[str, str],
) -> None:
    """Whatever was stored, the host is shown."""
    freezer.move_to("2026-11-05T12:00:00+00:00")
    mock_restore_cache_with_extra_data(hass, [(State(CONNECTION, "on"), rubbish)])
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.availability("online", retain=True)

    assert since(hass) == datetime(2026, 11, 5, 12, tzinfo=UTC)


async def test_the_first_word_may_come_before_the_memory(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """The order in which entities and messages arrive makes no difference."""
    earlier = datetime(2026, 1, 1, tzinfo=UTC)

    configured.runtime_data.coordinator.async_restore(Status.ONLINE, earlier)
    await hass.async_block_till_done()

    assert since(hass) == earlier


async def test_the_memory_may_come_while_the_broker_is_away(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
) -> None:
    """It is of use when the broker is back."""
    earlier = datetime(2026, 1, 1, tzinfo=UTC)
    await set_broker(hass, mqtt_mock, up=False)
    configured.runtime_data.coordinator.async_restore(Status.ONLINE, earlier)
    assert since(hass) != earlier

    await set_broker(hass, mqtt_mock, up=True)
    await online.availability("online", retain=True)
    assert since(hass) == earlier


async def test_status_is_kept_while_the_broker_is_away(
    hass: HomeAssistant,
    online: FakeHost,
    mqtt_mock: MqttMockHAClient,
    configured: MockConfigEntry,
) -> None:
    """What is stored is what the host was, not that nothing could be known."""
    await set_broker(hass, mqtt_mock, up=False)

    entity = hass.data["entity_components"]["binary_sensor"].get_entity(CONNECTION)
    assert entity.extra_restore_state_data.as_dict()["host_status"] == "online"


async def test_nothing_is_stored_of_a_host_that_was_never_heard(
    hass: HomeAssistant, configured: MockConfigEntry
) -> None:
    """There is nothing to take up after the restart."""
    entity = hass.data["entity_components"]["binary_sensor"].get_entity(CONNECTION)

    assert entity.extra_restore_state_data.as_dict() == {}
