"""Setting hosts up, and removing them."""

from collections import Counter
import gc
from time import time
from typing import TYPE_CHECKING, Any
from unittest.mock import call, patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_setup_component
import pytest

from custom_components.pilot import discovery, subscriptions
from support.integration_host import ANNOUNCE, HOST_ID, FakeHost, make_entry

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import (
        MqttMockHAClient,
        WebSocketGenerator,
    )


async def test_sets_up_and_unloads(
    hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry
) -> None:
    """A host that is unloaded is not listened to any more."""
    assert configured.state is ConfigEntryState.LOADED

    await hass.config_entries.async_unload(configured.entry_id)
    await hass.async_block_till_done()
    await online.state("cpu", percent=99, load_1m=1)

    assert configured.state is ConfigEntryState.NOT_LOADED
    assert hass.states.get("sensor.office_pc_processor").state == "unavailable"


async def test_reloads(hass: HomeAssistant, online: FakeHost, configured: MockConfigEntry) -> None:
    """What the broker kept is there again afterwards."""
    await hass.config_entries.async_reload(configured.entry_id)
    await hass.async_block_till_done()
    await online.connect()
    await online.state("cpu", percent=4, load_1m=1)

    assert hass.states.get("sensor.office_pc_processor").state == "4"


async def test_entities_wait_for_the_announce_after_a_restart(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Before it is known what the host reports, nothing is forgotten."""
    await hass.config_entries.async_reload(configured.entry_id)
    await hass.async_block_till_done()

    assert entity_registry.async_get("sensor.office_pc_system_disk") is not None
    assert hass.states.get("sensor.office_pc_system_disk").state == "unavailable"


async def test_forgets_what_was_unplugged_while_home_assistant_was_off(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """The first announce tells."""
    await hass.config_entries.async_unload(configured.entry_id)
    await hass.config_entries.async_setup(configured.entry_id)
    await hass.async_block_till_done()
    await online.announce(
        readings=[r for r in ANNOUNCE["readings"] if not r["key"].startswith("disk")]
    )

    assert entity_registry.async_get("sensor.office_pc_system_disk") is None
    assert hass.states.get("sensor.office_pc_system_disk") is None


async def test_retries_without_mqtt(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """The MQTT integration may have been removed or disabled."""
    with patch("homeassistant.components.mqtt.async_setup", return_value=True):
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()

    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "mqtt_not_configured"


async def test_removal_removes_everything(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    mqtt_mock: MqttMockHAClient,
) -> None:
    """Here; what the broker keeps is not touched unless the user asked for it."""
    mqtt_mock.async_publish.reset_mock()

    await hass.config_entries.async_remove(configured.entry_id)
    await hass.async_block_till_done()

    assert hass.states.async_all() == []
    assert not dr.async_entries_for_config_entry(device_registry, configured.entry_id)
    assert mqtt_mock.async_publish.mock_calls == []


@pytest.mark.usefixtures("mqtt_mock")
async def test_sensors_begin_with_their_values(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Where the broker keeps the state: writing each as unavailable first would double the work.

    It repeats topic by topic, in the order in which they are subscribed to.
    """
    host = FakeHost(hass)
    cpu = {"ts": time(), "values": {"percent": 12.5, "load_1m": 0.5}}
    kept: dict[str, Any] = {
        "availability": "online",
        "announce": ANNOUNCE,
        "state": {"collectors": {"cpu": cpu}},
    }
    states: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if (state := event.data["new_state"]) is not None:
            states.append(state.state)

    async_track_state_change_event(hass, "sensor.office_pc_processor", note)
    with patch.object(
        subscriptions.mqtt, "async_subscribe", wraps=subscriptions.mqtt.async_subscribe
    ) as subscribe:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    topics = [made.args[1].rpartition("/")[2] for made in subscribe.mock_calls]

    for topic in topics:
        if topic in kept:
            await host.send(topic, kept[topic], retain=True)

    assert states == ["12.5"]


async def remove_while_the_broker_repeats(
    hass: HomeAssistant, entry: MockConfigEntry, messages: list[tuple[str, Any, bool]]
) -> None:
    """Remove an entry; the broker sends these as soon as it is asked what it keeps."""
    subscribe = discovery.mqtt.async_subscribe
    host = FakeHost(hass)

    async def subscribe_and_hear(*args: Any, **kwargs: Any) -> Any:
        unsubscribe = await subscribe(*args, **kwargs)
        for topic, payload, retain in messages:
            await host.send(topic, payload, retain=retain)
        return unsubscribe

    with patch.object(discovery.mqtt, "async_subscribe", subscribe_and_hear):
        await hass.config_entries.async_remove(entry.entry_id)
        await hass.async_block_till_done()


@pytest.mark.usefixtures("quick_search")
async def test_removal_clears_the_broker_if_asked_to(
    hass: HomeAssistant, configured: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> None:
    """Every retained topic of the host, and nothing else."""
    hass.config_entries.async_update_entry(configured, options={"clear_on_remove": True})
    mqtt_mock.async_publish.reset_mock()

    await remove_while_the_broker_repeats(
        hass,
        configured,
        [
            ("announce", ANNOUNCE, True),
            ("availability", "off", True),
            ("state", {"collectors": {}}, True),
            ("event/session", {"ts": 1}, False),
            ("state/gone", "", True),
        ],
    )

    assert mqtt_mock.async_publish.mock_calls == [
        call(f"pilot/v2/{HOST_ID}/{topic}", b"", 1, True, message_expiry_interval=None)
        for topic in ("announce", "availability", "state")
    ]


@pytest.mark.usefixtures("quick_search")
async def test_removal_clears_what_the_broker_does_not_tell(
    hass: HomeAssistant, configured: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> None:
    """RabbitMQ keeps messages, and sends none of them to a subscription with a wildcard."""
    hass.config_entries.async_update_entry(configured, options={"clear_on_remove": True})
    mqtt_mock.async_publish.reset_mock()

    await remove_while_the_broker_repeats(hass, configured, [])

    assert [one.args for one in mqtt_mock.async_publish.mock_calls] == [
        (f"pilot/v2/{HOST_ID}/{topic}", b"", 1, True)
        for topic in ("announce", "availability", "state")
    ]


@pytest.mark.usefixtures("quick_search")
async def test_removal_does_not_fail_without_a_broker(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be cleared is said in the log; the entry is gone all the same."""
    hass.config_entries.async_update_entry(configured, options={"clear_on_remove": True})
    with patch(
        "custom_components.pilot.discovery.mqtt.async_subscribe",
        side_effect=HomeAssistantError("no"),
    ):
        await hass.config_entries.async_remove(configured.entry_id)

    assert hass.config_entries.async_entries("pilot") == []
    assert "Could not clear" in caplog.text


async def test_the_user_may_remove_only_devices_that_are_gone(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """A device that the host still has would only come back."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    child = device_registry.async_get_devices(identifiers={("pilot", f"{HOST_ID}_aht20-1-38")})[0]
    stale = device_registry.async_get_or_create(
        config_entry_id=configured.entry_id, identifiers={("pilot", f"{HOST_ID}_gone")}
    )

    refused = await client.remove_device(child.id)
    removed = await client.remove_device(stale.id)

    assert not refused["success"]
    assert removed["success"]
    assert device_registry.async_get(stale.id) is None


async def test_before_the_announce_no_device_is_known_to_be_gone(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """A host that is not followed at all cannot object."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    [device] = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})

    refused = await client.remove_device(device.id)
    await hass.config_entries.async_unload(configured.entry_id)
    removed = await client.remove_device(device.id)

    assert not refused["success"]
    assert removed["success"]


async def test_two_hosts_stand_side_by_side(
    hass: HomeAssistant, online: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """Each with its own values."""
    other = make_entry(hass, name="studio-pc", unique_id="0" * 16, entry_id="other")
    await hass.config_entries.async_setup(other.entry_id)
    await hass.async_block_till_done()
    second = FakeHost(
        hass,
        ANNOUNCE
        | {
            "host": {"id": "0" * 16, "name": "studio-pc"},
            "devices": {},
            "readings": [{"key": "cpu.percent"}],
        },
    )
    await second.connect()
    await second.state("cpu", percent=77)

    assert hass.states.get("sensor.office_pc_processor").state == "12.5"
    assert hass.states.get("sensor.studio_pc_processor").state == "77"


def pilots_objects() -> Counter[str]:
    """Return how many objects of Pilot's own classes there are."""
    gc.collect()
    return Counter(
        kind.__qualname__
        for kind in map(type, gc.get_objects())
        if str(kind.__module__).startswith("custom_components.pilot")
    )


async def test_nothing_of_hosts_that_leave_stays_in_memory(
    hass: HomeAssistant, host: FakeHost, mqtt_mock: MqttMockHAClient
) -> None:
    """Hosts that are removed and added again for years must not fill it."""

    async def join_and_leave() -> None:
        entry = make_entry(hass)
        await hass.config_entries.async_setup(entry.entry_id)
        await host.connect()
        await host.state("cpu", percent=12.5, load_1m=0.42)
        await host.state("disk", root__used_percent=61)
        await hass.config_entries.async_remove(entry.entry_id)
        await hass.async_block_till_done()
        mqtt_mock.reset_mock()  # It keeps what it was called with.

    await join_and_leave()
    before = pilots_objects()

    for _ in range(3):
        await join_and_leave()

    assert pilots_objects() - before == Counter()
