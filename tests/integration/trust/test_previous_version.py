"""What the previous version of the integration stored, and what its agent said.

`tests/previous/README.md` says how it was written.
"""

from collections.abc import Callable
import copy
from datetime import UTC, datetime
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from freezegun import freeze_time
from homeassistant.helpers import (
    area_registry as ar,
    category_registry as cr,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    issue_registry as ir,
    label_registry as lr,
)
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.pilot.trust import async_get_trust
from support.integration_agent import BASE, FakeAgent, FakeBroker
from support.integration_host import HOST_ID

from ..conftest import ROOT  # noqa: TID252
from .conftest import SECRET

if TYPE_CHECKING:
    from collections.abc import Generator

    from homeassistant.core import HomeAssistant

PREVIOUS = ROOT / "tests" / "previous"
STORAGE = {
    file.name: json.loads(file.read_text("utf-8")) for file in (PREVIOUS / "storage").iterdir()
}
INTEGRATION = json.loads((PREVIOUS / "integration.json").read_text("utf-8"))
AGENT = json.loads((PREVIOUS / "agent.json").read_text("utf-8"))
ENTITIES = {
    entity["unique_id"]: entity["entity_id"]
    for entity in STORAGE["core.entity_registry"]["data"]["entities"]
}


def frozen_at(moment: float) -> Any:
    """Let time stand still shortly after something was recorded."""
    return freeze_time(datetime.fromtimestamp(moment, UTC))


async def set_up(hass: HomeAssistant) -> MockConfigEntry:
    """Set up the config entry that was stored."""
    entry = MockConfigEntry(domain="pilot", **STORAGE["config_entry.json"])
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def load_registries() -> bool:
    """Let Home Assistant start without registries: they are loaded from the storage."""
    return False


@pytest.fixture
async def registries(hass: HomeAssistant) -> None:
    """Load the registries from the storage."""
    dr.async_setup(hass)
    for registry in (ar, cr, dr, er, fr, ir, lr):
        await registry.async_load(hass)


# --- Storage ---------------------------------------------------------------------------------


@pytest.fixture
def stored(hass_storage: dict[str, Any]) -> Generator[None]:
    """Start with the storage of the previous version, a minute after it was written."""
    hass_storage.update(copy.deepcopy(STORAGE))
    with frozen_at(INTEGRATION["recorded"] + 60):
        yield


@pytest.fixture
async def upgraded(
    stored: None, registries: None, hass: HomeAssistant, agent: FakeAgent
) -> FakeAgent:
    """Return the host that is paired since then; it has started anew."""
    trust = await async_get_trust(hass)
    agent.ring.add(trust.controller, "Home", SECRET)
    await set_up(hass)
    agent.starts = int(INTEGRATION["recorded"]) + 30
    agent.start(session="0123456789abcdef")
    agent.come_online()
    agent.part("cpu", json.dumps({"ts": agent.now(), "values": {"percent": 12.5}}))
    agent.state("session", locked=True)
    await hass.async_block_till_done()
    return agent


async def test_entities_keep_their_unique_ids_and_their_entity_ids(
    upgraded: FakeAgent, entity_registry: er.EntityRegistry
) -> None:
    """None is there twice, and none is lost but one that knew nothing."""
    found = {entity.unique_id: entity.entity_id for entity in entity_registry.entities.values()}
    # No release can be known of this host, of which the entity said that it is up to date.
    kept = {key: entity for key, entity in ENTITIES.items() if key != f"{HOST_ID}_agent"}

    assert {key: entity for key, entity in found.items() if key in ENTITIES} == kept
    assert found.keys() - kept.keys() == {f"{HOST_ID}_problem"}


async def test_what_users_changed_of_entities_stays(
    upgraded: FakeAgent, hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    """A name, and an entity id with its entity behind it."""
    assert entity_registry.async_get("button.office_pc_suspend").name == "Good night"
    assert hass.states.get("sensor.under_the_roof") is not None
    assert hass.states.get("sensor.office_pc_processor_use").state == "12.5"


async def test_the_sensor_still_stands_in_its_room(
    upgraded: FakeAgent, hass: HomeAssistant, device_registry: dr.DeviceRegistry
) -> None:
    """With the placement that began there."""
    device = device_registry.async_get_device_by_identifier(
        ("pilot", f"{HOST_ID}_aht20-1-38"), STORAGE["config_entry.json"]["entry_id"]
    )

    assert device.area_id == "attic"
    assert hass.states.get("sensor.aht20_room").state == "Attic"


async def test_the_pairing_stays(upgraded: FakeAgent, hass: HomeAssistant, bus: FakeBroker) -> None:
    """Commands are carried out, with numbers above those that were used."""
    await hass.services.async_call(
        "button", "press", {"entity_id": "button.office_pc_suspend"}, blocking=True
    )

    assert upgraded.done == ["power.suspend"]
    used = [json.loads(json.loads(payload)["body"]) for _, payload in INTEGRATION["commands"]]
    assert bus.commands()[0]["counter"] > max(command["counter"] for command in used)


async def test_what_was_heard_before_is_not_heard_again(
    upgraded: FakeAgent, hass: HomeAssistant, bus: FakeBroker
) -> None:
    """Messages that were recorded then are refused, as those of an earlier start."""
    upgraded.state("session", locked=False)
    await hass.async_block_till_done()
    assert hass.states.get("binary_sensor.office_pc_screen_lock").state == "on"

    for topic, payload in INTEGRATION["heard"]:
        if "/result/" not in topic:
            bus.fire(topic, payload)
    await hass.async_block_till_done()

    assert hass.states.get("binary_sensor.office_pc_screen_lock").state == "on"
    assert hass.states.get("event.office_pc_session_event").state == "unknown"


# --- The agent -------------------------------------------------------------------------------


@pytest.fixture
def paired_with_previous_agent(hass_storage: dict[str, Any]) -> Generator[None]:
    """Start with the pairing of the agent that was recorded, and with its time."""
    [controller] = json.loads((PREVIOUS / "state" / "trust.json").read_text())["controllers"]
    trust = copy.deepcopy(STORAGE["pilot.trust"])
    nothing = [0, 0]
    trust["data"] |= {
        "controller": controller["id"],
        "hosts": {
            HOST_ID: {
                "secret": controller["secret"],
                "announced": nothing,
                "event": nothing,
                "said": nothing,
                "states": {},
                "session": "",
            }
        },
    }
    hass_storage["pilot.trust"] = trust
    with frozen_at(AGENT["recorded"]):
        yield


@pytest.fixture
async def previous_agent(
    paired_with_previous_agent: None,
    registries: None,
    hass: HomeAssistant,
    bus: FakeBroker,
    quick: None,
) -> Callable[[str], dict[str, Any]]:
    """Play what the previous agent said; return how to find its results."""
    await set_up(hass)
    signed = [(topic, payload) for topic, payload in AGENT["messages"] if "signatures" in payload]
    for topic, payload in signed:
        base, _, collector = topic.partition("/state/")
        if collector:
            bus.fire(f"{base}/state", f'{{"collectors":{{"{collector}":{payload}}}}}')
        elif topic in (f"{BASE}/announce", f"{BASE}/availability"):
            bus.fire(topic, payload)
        await hass.async_block_till_done()
    cpu = [payload for topic, payload in AGENT["messages"] if topic == f"{BASE}/state/cpu"][-1]
    bus.fire(f"{BASE}/state", f'{{"collectors":{{"cpu":{cpu}}}}}')
    await hass.async_block_till_done()

    def result(key: str) -> dict[str, Any]:
        [payload] = [said for topic, said in AGENT["messages"] if topic == f"{BASE}/result/{key}"]
        return {"payload": payload, "id": json.loads(json.loads(payload)["body"])["id"]}

    return result


async def test_the_previous_agent_is_shown(
    previous_agent: Callable[[str], dict[str, Any]], hass: HomeAssistant
) -> None:
    """Its status, its readings and its commands."""
    shown = {state.entity_id: state.state for state in hass.states.async_all()}

    assert shown["sensor.office_pc_status"] == "online"
    assert shown["sensor.office_pc_processor"] == "13.5"
    assert shown["binary_sensor.office_pc_screen_lock"] == "off"
    assert {"button.office_pc_suspend", "switch.office_pc_power"} <= set(shown)


async def test_the_result_of_the_previous_agent_ends_a_command(
    previous_agent: Callable[[str], dict[str, Any]], hass: HomeAssistant, bus: FakeBroker
) -> None:
    """Turning off succeeds by what that agent answered."""
    result = previous_agent("power.shutdown")

    def answer(topic: str, _: bytes) -> None:
        bus.fire(f"{BASE}/result/power.shutdown", result["payload"])

    bus.listeners.append(answer)
    with patch("custom_components.pilot.commands.secrets.token_hex", return_value=result["id"]):
        await hass.services.async_call(
            "switch", "turn_off", {"entity_id": "switch.office_pc_power"}, blocking=True
        )

    [topic] = [topic for topic, _ in bus.published]
    assert topic == f"{BASE}/command/power.shutdown"
