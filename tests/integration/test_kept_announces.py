"""What a host announced is known after a restart, before it or the broker says anything."""

import json
from typing import TYPE_CHECKING, Any

from homeassistant.const import EVENT_STATE_CHANGED
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from support.integration_host import ANNOUNCE, HOST_ID, FakeHost

from .kinds import all_kinds

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

PROCESSOR = "sensor.office_pc_processor"
DISK = "sensor.office_pc_system_disk"


def stored(announce: str, key_id: str = "") -> dict[str, Any]:
    """Return what an earlier run has left behind."""
    return {"version": 1, "data": {"hosts": {HOST_ID: {"announce": announce, "key_id": key_id}}}}


@pytest.fixture
async def started(
    hass: HomeAssistant,
    host: FakeHost,
    entry: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
    hass_storage: dict[str, Any],
) -> FakeHost:
    """Return a host that an earlier run knew, and that has not been heard of in this one."""
    hass_storage["pilot.announces"] = stored(json.dumps(ANNOUNCE))
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return host


async def test_entities_are_there_before_the_host_is_heard(
    hass: HomeAssistant, started: FakeHost
) -> None:
    """Made by the integration, not only remembered by Home Assistant."""
    processor = hass.states.get(PROCESSOR)
    assert processor is not None
    assert processor.state == "unavailable"
    assert "restored" not in processor.attributes


async def test_nothing_is_told_before_the_host_is_heard(
    hass: HomeAssistant,
    host: FakeHost,
    entry: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
    all_enabled: None,
    hass_storage: dict[str, Any],
) -> None:
    """No entity of any platform has a state that was never true."""
    hass_storage["pilot.announces"] = stored(json.dumps(all_kinds()))
    events = async_capture_events(hass, EVENT_STATE_CHANGED)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    told = {(event.data["entity_id"], event.data["new_state"].state) for event in events}
    assert len(told) > 100
    assert {one for one in told if one[1] not in ("unknown", "unavailable")} == {
        ("binary_sensor.office_pc_pairing", "off"),
    }


async def test_values_come_with_the_first_messages(hass: HomeAssistant, started: FakeHost) -> None:
    """In whichever order the broker repeats them."""
    await started.state("cpu", percent=12.5, load_1m=0.42, retain=True)
    await started.availability(retain=True)
    await started.announce(retain=True)

    assert hass.states.get(PROCESSOR).state == "12.5"


async def test_what_was_added_meanwhile_has_its_value_too(
    hass: HomeAssistant, started: FakeHost
) -> None:
    """The values of an agent that was renewed are not read by what the old one announced."""
    await started.state("memory", percent=40, retain=True)
    await started.availability(retain=True)
    await started.announce(
        collectors=ANNOUNCE["collectors"] | {"memory": {"interval": 10}},
        readings=[*ANNOUNCE["readings"], {"key": "memory.percent"}],
        retain=True,
    )

    assert hass.states.get("sensor.office_pc_memory").state == "40"


async def test_what_went_meanwhile_goes(
    hass: HomeAssistant, started: FakeHost, entity_registry: er.EntityRegistry
) -> None:
    """What the host says now counts."""
    assert entity_registry.async_get(DISK) is not None

    await started.announce(
        readings=[r for r in ANNOUNCE["readings"] if not r["key"].startswith("disk")]
    )

    assert entity_registry.async_get(DISK) is None


@pytest.mark.parametrize(
    "kept",
    [
        stored("{}"),
        stored(json.dumps(ANNOUNCE), key_id="of a pairing that is gone"),
        {"version": 1, "data": {"hosts": {HOST_ID: {"announce": 7}}}},
    ],
    ids=["not an announce", "another key", "damaged"],
)
async def test_what_cannot_be_believed_waits_for_the_host(
    hass: HomeAssistant,
    host: FakeHost,
    entry: MockConfigEntry,
    mqtt_mock: MqttMockHAClient,
    hass_storage: dict[str, Any],
    kept: dict[str, Any],
) -> None:
    """As on the very first start."""
    hass_storage["pilot.announces"] = kept
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert hass.states.get(PROCESSOR) is None

    await host.connect()

    assert hass.states.get(PROCESSOR) is not None


async def test_it_is_kept(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    """At the end at the latest."""
    await hass.async_stop()
    kept = hass_storage["pilot.announces"]["data"]["hosts"]

    assert json.loads(kept[HOST_ID]["announce"]) == online.announced


async def test_it_is_forgotten_with_the_host(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    """Nothing of it stays in the storage."""
    await hass.config_entries.async_remove(configured.entry_id)
    await hass.async_stop()

    assert hass_storage["pilot.announces"]["data"]["hosts"] == {}
