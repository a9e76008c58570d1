"""Hosts are asked what they are: not every broker keeps messages for a wildcard."""

from datetime import timedelta
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.components.mqtt.const import MQTT_CONNECTION_STATE
from homeassistant.config_entries import ConfigEntryState
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.pilot import discovery
from custom_components.pilot.const import SEARCH_INTERVAL, SEARCH_PATIENCE, SEARCH_SPREAD
from support.integration_host import HOST_ID, FakeHost, make_entry

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

SEARCH = "pilot/v2/search"
WITHIN_A_MINUTE = [{"within": 60.0}]
SOON = [{"within": 2.0}]

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "quick_search")


def searches(mqtt_mock: MqttMockHAClient) -> list[dict[str, Any]]:
    """Return what hosts were asked, and check that no broker keeps it."""
    calls = [one for one in mqtt_mock.async_publish.mock_calls if one.args[0] == SEARCH]
    assert not any(one.args[3] for one in calls)
    return [json.loads(one.args[1]) for one in calls]


async def test_hosts_are_asked_at_the_start_and_every_ten_minutes(
    hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """Each answers at its own moment within a minute."""
    at_the_start = searches(mqtt_mock)
    mqtt_mock.async_publish.reset_mock()

    async_fire_time_changed(hass, dt_util.utcnow() + SEARCH_INTERVAL)
    await hass.async_block_till_done()

    assert at_the_start == WITHIN_A_MINUTE
    assert searches(mqtt_mock) == WITHIN_A_MINUTE


async def test_hosts_are_asked_when_the_broker_is_back(
    hass: HomeAssistant, configured: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> None:
    """It may have forgotten all that it kept."""
    mqtt_mock.async_publish.reset_mock()

    async_dispatcher_send(hass, MQTT_CONNECTION_STATE, False)
    await hass.async_block_till_done()
    while_away = searches(mqtt_mock)
    async_dispatcher_send(hass, MQTT_CONNECTION_STATE, True)
    await hass.async_block_till_done()

    assert while_away == []
    assert searches(mqtt_mock) == WITHIN_A_MINUTE


async def test_a_host_that_only_answers_live_is_found(
    hass: HomeAssistant, mqtt_mock: MqttMockHAClient
) -> None:
    """As with RabbitMQ, which sends nothing retained for a wildcard."""
    publish = discovery.mqtt.async_publish
    asked: list[Any] = []

    async def publish_and_answer(hass: HomeAssistant, topic: str, payload: str) -> None:
        await publish(hass, topic, payload)
        asked.append(json.loads(payload))
        await FakeHost(hass).send("announce", FakeHost(hass).announced)

    with patch.object(discovery.mqtt, "async_publish", publish_and_answer):
        found = await discovery.async_search(hass, "pilot/v2")

    assert asked == [{"within": 2.0}]
    assert list(found.hosts) == [HOST_ID]


async def test_hosts_are_left_alone_where_the_broker_keeps_what_they_announced(
    hass: HomeAssistant, mqtt_mock: MqttMockHAClient
) -> None:
    """A thousand of them would answer in the same two seconds."""
    subscribe = discovery.async_subscribe

    async def subscribe_and_hear(hass: HomeAssistant, topic: str, handler: Any) -> Any:
        stop = await subscribe(hass, topic, handler)
        await FakeHost(hass).send("announce", FakeHost(hass).announced, retain=True)
        return stop

    with patch.object(discovery, "async_subscribe", subscribe_and_hear):
        found = await discovery.async_search(hass, "pilot/v2")

    assert list(found.hosts) == [HOST_ID]
    assert searches(mqtt_mock) == []


# --- Where one is not heard ----------------------------------------------------------------------


async def reconnect(hass: HomeAssistant) -> None:
    """Have Home Assistant lose its broker, and find it again."""
    for connected in (False, True):
        async_dispatcher_send(hass, MQTT_CONNECTION_STATE, connected)
        await hass.async_block_till_done()


async def wait(hass: HomeAssistant, time: timedelta) -> None:
    """Let time go by."""
    async_fire_time_changed(hass, dt_util.utcnow() + time)
    await hass.async_block_till_done()


async def test_hosts_are_asked_when_one_that_was_set_up_is_not_heard(
    hass: HomeAssistant, configured: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> None:
    """As in a cluster of RabbitMQ, whose other nodes keep what the host has said."""
    mqtt_mock.async_publish.reset_mock()

    await wait(hass, SEARCH_PATIENCE)
    await wait(hass, SEARCH_INTERVAL / 2)

    assert searches(mqtt_mock) == SOON


async def test_hosts_are_left_alone_where_all_are_heard(
    hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """The broker has sent what it keeps, or the host was there."""
    mqtt_mock.async_publish.reset_mock()

    await wait(hass, SEARCH_PATIENCE)

    assert searches(mqtt_mock) == []


async def test_hosts_are_asked_once_for_all_that_are_not_heard(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
) -> None:
    """More of them have more time to answer."""
    entries = [entry]
    for number in range(59):
        host_id = f"{number:016x}"
        entries.append(make_entry(hass, entry_id=host_id, unique_id=host_id))
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert {one.state for one in entries} == {ConfigEntryState.LOADED}
    mqtt_mock.async_publish.reset_mock()

    await wait(hass, SEARCH_PATIENCE)

    assert searches(mqtt_mock) == [{"within": 3.0}]


async def test_a_host_that_is_not_heard_after_a_reconnection_is_asked_for_once_more(
    hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """It may have answered the search that was made at once before Home Assistant listened."""
    await reconnect(hass)
    mqtt_mock.async_publish.reset_mock()

    await wait(hass, SEARCH_SPREAD)
    while_they_answer = searches(mqtt_mock)
    await wait(hass, SEARCH_SPREAD + SEARCH_PATIENCE)

    assert while_they_answer == []
    assert searches(mqtt_mock) == SOON


async def test_what_is_unloaded_is_not_asked_for(
    hass: HomeAssistant, configured: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> None:
    """Neither soon nor after a reconnection."""
    await hass.config_entries.async_unload(configured.entry_id)
    await wait(hass, SEARCH_PATIENCE)
    await reconnect(hass)
    mqtt_mock.async_publish.reset_mock()

    await wait(hass, SEARCH_SPREAD + SEARCH_PATIENCE)

    assert searches(mqtt_mock) == []
