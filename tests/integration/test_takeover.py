"""What MQTT discovery has made of a host goes on as this integration's, with ids and history."""

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import async_fire_mqtt_message

from custom_components.pilot import takeover
from support.integration_host import HOST_ID, make_entry

if TYPE_CHECKING:
    from collections.abc import Generator

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

    from support.integration_host import FakeHost

TOPIC = f"homeassistant/device/{HOST_ID}/config"
STATE = f"pilot/v2/{HOST_ID}/state"


def component(key: str, name: str, platform: str = "sensor") -> dict[str, Any]:
    """Describe an entity, as the agent does."""
    return {
        "platform": platform,
        "unique_id": f"{HOST_ID}_{key}",
        "name": name,
        "default_entity_id": f"{platform}.mine_{key.replace('.', '_')}",
        "state_topic": STATE,
    }


@pytest.fixture
def said(mqtt_mock: MqttMockHAClient) -> Generator[list[tuple[str, str, bool]]]:
    """Record what is published; the broker hands it on to Home Assistant itself."""
    said: list[tuple[str, str, bool]] = []

    async def publish(
        hass: HomeAssistant, topic: str, payload: str, qos: int = 0, retain: bool = False
    ) -> None:
        if topic.endswith("/search"):
            return
        said.append((topic, payload, retain))
        async_fire_mqtt_message(hass, topic, payload)

    with patch.object(takeover.mqtt, "async_publish", publish):
        yield said


@pytest.fixture
async def drawn(
    hass: HomeAssistant, mqtt_mock: MqttMockHAClient, host: FakeHost
) -> er.EntityRegistry:
    """Have MQTT discovery draw a host, one entity of which the user has changed."""
    components = {
        "cpu": component("cpu.percent", "Processor"),
        "disk": component("disk.root.used_percent", "System disk"),
        "gone": component("fan.speed", "Fan"),
    }
    payload = {
        "device": {"identifiers": [HOST_ID], "name": "office-pc"},
        "origin": {"name": "pilot-agent"},
        "components": components,
    }
    async_fire_mqtt_message(hass, TOPIC, json.dumps(payload))
    await hass.async_block_till_done(wait_background_tasks=True)
    registry = er.async_get(hass)
    registry.async_update_entity(
        "sensor.mine_cpu_percent", new_entity_id="sensor.brain", name="Brain"
    )
    devices = dr.async_get(hass)
    brain = registry.async_get("sensor.brain")
    assert brain is not None
    assert brain.device_id is not None
    devices.async_update_device(brain.device_id, name_by_user="Office")
    await hass.async_block_till_done()
    return registry


async def add(hass: HomeAssistant, host: FakeHost) -> None:
    """Add the host."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await host.connect()


async def test_entities_keep_their_ids_and_what_the_user_has_changed(
    hass: HomeAssistant, host: FakeHost, drawn: er.EntityRegistry, said: list[tuple[str, str, bool]]
) -> None:
    """What the host does not announce any more is removed, and there is no second device."""
    await add(hass, host)

    assert said == [(TOPIC, takeover.MIGRATE, False), (TOPIC, "", True)]
    brain = drawn.async_get("sensor.brain")
    assert brain is not None
    assert (brain.platform, brain.name) == ("pilot", "Brain")
    disk = drawn.async_get_entity_id("sensor", "pilot", f"{HOST_ID}_disk.root.used_percent")
    assert disk == "sensor.mine_disk_root_used_percent"
    assert not [one for one in drawn.entities.values() if one.platform == "mqtt"]
    assert drawn.async_get("sensor.mine_fan_speed") is None
    devices = list(dr.async_get(hass).devices)
    [device] = [one for one in devices if HOST_ID in {value for _, value in one.identifiers}]
    assert device.identifiers == {("pilot", HOST_ID)}
    assert device.name_by_user == "Office"


async def test_a_host_that_mqtt_does_not_draw_is_left_alone(
    hass: HomeAssistant, host: FakeHost, said: list[tuple[str, str, bool]]
) -> None:
    """Nothing is published."""
    await add(hass, host)

    assert said == []


async def test_what_cannot_be_taken_over_is_said(
    hass: HomeAssistant,
    host: FakeHost,
    drawn: er.EntityRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The host is set up all the same."""
    with patch.object(takeover.mqtt, "async_publish", side_effect=HomeAssistantError("gone")):
        await add(hass, host)

    assert "could not be taken over, so they exist twice now" in caplog.text
    assert drawn.async_get_entity_id("sensor", "pilot", f"{HOST_ID}_cpu.percent") is not None


async def test_entities_that_exist_here_already_stay(
    hass: HomeAssistant, host: FakeHost, drawn: er.EntityRegistry, said: list[tuple[str, str, bool]]
) -> None:
    """Those of MQTT are removed: a host that was added before its discovery was switched on."""
    entry = make_entry(hass)
    mine = drawn.async_get_or_create(
        "sensor", "pilot", f"{HOST_ID}_cpu.percent", config_entry=entry
    )

    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    assert drawn.async_get("sensor.brain") is None
    assert drawn.async_get(mine.entity_id) is not None
