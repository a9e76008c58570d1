"""What a broker refused to subscribe to is asked for again, where nothing comes."""

from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from homeassistant.components import mqtt
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.pilot.subscriptions import RENEWALS
from support.integration_host import HOST_ID, FakeHost

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

BASE = f"pilot/v2/{HOST_ID}"
KEPT = {f"{BASE}/announce", f"{BASE}/availability"}
"""What the broker keeps, and repeats for each subscription."""
PASSING = {f"{BASE}/backlog", "pilot/v2/+/event/+"}
TIMES = tuple(accumulate(RENEWALS))


async def wait(hass: HomeAssistant, seconds: float) -> None:
    """Let time go by."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=seconds))
    await hass.async_block_till_done()


async def connect(hass: HomeAssistant) -> None:
    """Say that Home Assistant has lost its broker, and has it again."""
    for connected in (False, True):
        async_dispatcher_send(hass, mqtt.MQTT_CONNECTION_STATE, connected)
        await hass.async_block_till_done()


def asked(client: MqttMockHAClient) -> set[str]:
    """Return the topics of Pilot's that the client was asked for since this was called last.

    Home Assistant's client passes each of them on to the broker, known or not.
    """
    topics = {call.args[0] for call in client.async_subscribe.mock_calls}
    client.async_subscribe.reset_mock()
    return {topic for topic in topics if topic.startswith("pilot/")}


@pytest.fixture
async def heard(hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient) -> FakeHost:
    """Return a host that is heard; all that the broker is asked for at a start was asked for."""
    assert asked(mqtt_mock) >= KEPT | PASSING
    return online


async def test_what_is_silent_is_asked_for_again(
    hass: HomeAssistant, heard: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """What is heard is not: the broker would repeat what it keeps, a thousand hosts' too."""
    await wait(hass, TIMES[0])

    assert asked(mqtt_mock) == PASSING


async def test_a_new_connection_begins_anew(
    hass: HomeAssistant, heard: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """What was heard before may have been refused this time."""
    await connect(hass)
    await heard.availability(retain=True)
    asked(mqtt_mock)

    await wait(hass, TIMES[0])

    again = asked(mqtt_mock)
    assert again >= PASSING | {f"{BASE}/announce"}
    assert f"{BASE}/availability" not in again


async def test_it_is_asked_a_few_times(
    hass: HomeAssistant, heard: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """A topic on which nothing comes is nothing unusual."""
    for seconds in TIMES:
        await wait(hass, seconds)
        assert asked(mqtt_mock) == PASSING

    await wait(hass, 3600)

    assert asked(mqtt_mock) == set()


async def test_what_comes_then_counts_once(
    hass: HomeAssistant, heard: FakeHost, configured: MockConfigEntry
) -> None:
    """The subscription is the same as before."""
    await wait(hass, TIMES[0])
    changes = async_capture_events(hass, "state_changed")
    before = configured.runtime_data.coordinator.received["state"]

    await heard.state("cpu", percent=33, load_1m=0.42)

    assert configured.runtime_data.coordinator.received["state"] == before + 1
    assert [change.data["new_state"].state for change in changes] == ["33"]


async def test_a_host_that_is_unloaded_is_not_asked_for(
    hass: HomeAssistant,
    heard: FakeHost,
    configured: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
) -> None:
    """What all hosts share stays."""
    await hass.config_entries.async_unload(configured.entry_id)

    await wait(hass, TIMES[0])

    assert asked(mqtt_mock) == PASSING - {f"{BASE}/backlog"}
