"""What can end work is reached by name alone: not by rooms, labels of rooms or assistants."""

from dataclasses import is_dataclass
from http import HTTPStatus
from importlib import import_module
from typing import Any

from homeassistant.components.homeassistant.const import DATA_EXPOSED_ENTITIES
from homeassistant.components.homeassistant.exposed_entities import (
    async_expose_entity,
    async_get_entity_settings,
    async_should_expose,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import Context, Event, HomeAssistant, callback
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    issue_registry as ir,
    label_registry as lr,
)
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.pilot import button, number, switch
from custom_components.pilot.const import PLATFORMS
from custom_components.pilot.exposure import ends_work
from custom_components.pilot.services import SERVICE_SHUTDOWN
from support.integration_agent import FakeAgent
from support.integration_host import HOST_ID, make_entry

SWITCH = "switch.office_pc_power"
SUSPEND = "button.office_pc_suspend"
ENTITIES = (SWITCH, SUSPEND, "button.office_pc_restart", "button.office_pc_lock")
ISSUE = "exposed_01JPILOT"

KINDS = (
    *("power.reboot", "power.suspend", "power.hibernate", "power.hybrid_sleep", "power.cancel"),
    *("session.lock", "session.log_out"),
    *("services.start", "services.stop", "services.restart"),
)
SWITCHES = {"power": switch.POWER, "services.switch": switch.DESCRIPTIONS["services.switch"]}


# --- The category ----------------------------------------------------------------------------


def test_every_description_of_what_ends_work_has_the_category() -> None:
    """Those of today, and those of commands that come."""
    described = {**button.DESCRIPTIONS, **number.DESCRIPTIONS, **SWITCHES}
    ending = {
        kind: description
        for kind, description in described.items()
        if kind.partition(".")[0] in {"power", "session", "services"}
    }

    assert set(ending) == {*KINDS, *SWITCHES}
    for kind, description in ending.items():
        assert description.entity_category is EntityCategory.CONFIG, kind
    platforms = {
        Platform.BUTTON: button.DESCRIPTIONS.values(),
        Platform.SWITCH: [switch.POWER, *switch.DESCRIPTIONS.values()],
    }
    assert {
        description.translation_key
        for platform, descriptions in platforms.items()
        for description in descriptions
        if ends_work(platform, description.translation_key)
    } == {description.translation_key for description in ending.values()}
    assert not any(ends_work(Platform.NUMBER, key) for key in ("power", "power_reboot"))


SHOWING = {Platform.BINARY_SENSOR, Platform.EVENT, Platform.SENSOR, Platform.UPDATE}
"""The platforms whose entities do nothing to a host by themselves, or only to the agent."""
HARMLESS = {Platform.MEDIA_PLAYER}
"""What is meant to be reached by an area: to pause all that plays there ends no work."""


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - SHOWING - HARMLESS))
def test_whatever_acts_on_a_host_has_the_category(platform: str) -> None:
    """On every platform that there is, and that will be: a new one is found by itself."""
    module = import_module(f"custom_components.pilot.{platform}")
    described = [
        one
        for value in vars(module).values()
        for one in (value.values() if isinstance(value, dict) else [value])
        # Home Assistant makes the classes of descriptions anew, so that they have no common base.
        if is_dataclass(one) and not isinstance(one, type) and hasattr(one, "entity_category")
    ]

    assert described
    for description in described:
        assert description.entity_category is EntityCategory.CONFIG, description.key


async def test_ids_are_those_of_earlier_versions(
    paired: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """Automations and dashboards name them."""
    found = {
        entity.entity_id: (entity.unique_id, entity.entity_category)
        for entity in er.async_entries_for_config_entry(entity_registry, paired.entry_id)
        if entity.domain in {Platform.BUTTON, Platform.SWITCH}
    }

    assert found == {
        entity_id: (f"{HOST_ID}_{key}", EntityCategory.CONFIG)
        for entity_id, key in {
            "switch.office_pc_power": "power",
            "button.office_pc_restart": "power_reboot",
            "button.office_pc_suspend": "power_suspend",
            "button.office_pc_cancel_shutdown": "power_cancel",
            "button.office_pc_lock": "session_lock",
        }.items()
    }


# --- Targets ---------------------------------------------------------------------------------


@pytest.fixture
async def targets(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    area_registry: ar.AreaRegistry,
    device_registry: dr.DeviceRegistry,
    floor_registry: fr.FloorRegistry,
    label_registry: lr.LabelRegistry,
) -> dict[str, str]:
    """Return what a host can be targeted by besides its name: all lead to the same one."""
    assert await async_setup_component(hass, "homeassistant", {})
    floor = floor_registry.async_create("Ground floor")
    room_label = label_registry.async_create("Rooms for work")
    device_label = label_registry.async_create("Computers")
    area = area_registry.async_create(
        "Office", floor_id=floor.floor_id, labels={room_label.label_id}
    )
    [device] = [
        device
        for device in dr.async_entries_for_config_entry(device_registry, paired.entry_id)
        if ("pilot", HOST_ID) in device.identifiers
    ]
    device_registry.async_update_device(device.id, area_id=area.id, labels={device_label.label_id})
    return {
        "area": area.id,
        "floor": floor.floor_id,
        "label of its area": room_label.label_id,
        "label of its device": device_label.label_id,
        "device": device.id,
    }


def target(targets: dict[str, str], kind: str) -> dict[str, str]:
    """Return the target of an action."""
    return {f"{kind.partition(' ')[0]}_id": targets[kind]}


BROAD = ("area", "floor", "label of its area", "label of its device", "device")


@pytest.mark.parametrize("kind", BROAD)
@pytest.mark.parametrize(
    "action", ["homeassistant.turn_off", "homeassistant.toggle", "switch.turn_off", "button.press"]
)
async def test_an_action_on_a_room_does_not_reach_it(
    hass: HomeAssistant, agent: FakeAgent, targets: dict[str, str], action: str, kind: str
) -> None:
    """Nor one on its floor, on labels, or on the device as a whole."""
    domain, _, service = action.partition(".")

    await hass.services.async_call(domain, service, target(targets, kind), blocking=True)

    assert agent.done == []


ALL: dict[str, str] = {"entity_id": "all"}


@pytest.mark.parametrize("action", ["switch.turn_off", "switch.toggle", "button.press"])
async def test_an_action_on_everything_does_not_reach_it(
    hass: HomeAssistant, agent: FakeAgent, targets: dict[str, str], action: str
) -> None:
    """Home Assistant leaves it out of rooms, and not out of `all`."""
    domain, _, service = action.partition(".")

    await hass.services.async_call(domain, service, ALL, blocking=True)

    assert agent.done == []


async def test_an_automation_that_turns_everything_off_does_not_reach_it(
    hass: HomeAssistant, agent: FakeAgent, targets: dict[str, str]
) -> None:
    """It starts while its trigger is dispatched: the event of its action comes late."""
    done = hass.loop.create_future()

    @callback
    def leave(event: Event) -> None:
        action = hass.services.async_call("switch", "turn_off", ALL, blocking=True)
        hass.async_create_task(action).add_done_callback(lambda _: done.set_result(None))

    hass.bus.async_listen("everyone_left", leave)
    hass.bus.async_fire("everyone_left")
    await done

    assert agent.done == []


async def test_a_script_that_names_it_after_everything_reaches_it(
    hass: HomeAssistant, agent: FakeAgent, targets: dict[str, str]
) -> None:
    """The steps of a script have one context in common."""
    context = Context()
    for data in (ALL, {"entity_id": SWITCH}):
        await hass.services.async_call("switch", "turn_off", data, blocking=True, context=context)

    assert agent.done == ["power.shutdown"]


@pytest.mark.parametrize(
    ("action", "data"),
    [
        ("switch.turn_on", {"entity_id": "switch.lamp"}),
        ("switch.turn_off", {"entity_id": ["switch.lamp"]}),
        ("switch.turn_off", {"label_id": "lamps"}),
        ("lock.lock", {"entity_id": "lock.front_door"}),
        ("test.something", {"entity_id": [{}], "label_id": 5}),
        ("test.something", {}),
    ],
)
async def test_a_script_that_does_something_else_meanwhile_does_not_reach_it(
    hass: HomeAssistant,
    agent: FakeAgent,
    targets: dict[str, str],
    action: str,
    data: dict[str, Any],
) -> None:
    """In parallel with an action on everything."""
    domain, _, service = action.partition(".")
    if not hass.services.has_service(domain, service):
        async_mock_service(hass, domain, service)
    steps = [
        {"action": "switch.turn_off", "data": ALL},
        {"action": action, "data": data},
    ]
    assert await async_setup_component(
        hass, "script", {"script": {"leave": {"sequence": [{"parallel": steps}]}}}
    )

    await hass.services.async_call("script", "leave", blocking=True)

    assert agent.done == []


@pytest.mark.parametrize("by", ["a list", "a group", "a label"])
async def test_however_a_script_names_it_after_everything(
    hass: HomeAssistant,
    agent: FakeAgent,
    targets: dict[str, str],
    entity_registry: er.EntityRegistry,
    label_registry: lr.LabelRegistry,
    by: str,
) -> None:
    """As one of several, as a member, by what was put on it."""
    label = label_registry.async_create("At night").label_id
    entity_registry.async_update_entity(SWITCH, labels={label})
    group = {"group": {"desk": {"entities": [SWITCH]}}}
    assert await async_setup_component(hass, "group", group)
    named = {
        "a list": {"entity_id": f"switch.lamp, {SWITCH.upper()}"},
        "a group": {"entity_id": "group.desk"},
        "a label": {"label_id": label},
    }
    context = Context()
    for data in (ALL, named[by]):
        await hass.services.async_call("switch", "turn_off", data, blocking=True, context=context)

    assert agent.done == ["power.shutdown"]


@pytest.mark.parametrize(
    ("action", "entity_id", "done"),
    [
        ("homeassistant.turn_off", SWITCH, "power.shutdown"),
        ("switch.turn_off", SWITCH, "power.shutdown"),
        ("button.press", SUSPEND, "power.suspend"),
        ("pilot.shutdown", SWITCH, "power.shutdown"),
    ],
)
async def test_an_action_that_names_it_does(
    hass: HomeAssistant,
    agent: FakeAgent,
    targets: dict[str, str],
    action: str,
    entity_id: str,
    done: str,
) -> None:
    """As ever."""
    domain, _, service = action.partition(".")

    await hass.services.async_call(domain, service, {"entity_id": entity_id}, blocking=True)

    assert agent.done == [done]


async def test_a_label_of_the_entity_itself_names_it(
    hass: HomeAssistant,
    agent: FakeAgent,
    targets: dict[str, str],
    entity_registry: er.EntityRegistry,
    label_registry: lr.LabelRegistry,
) -> None:
    """It was put on exactly this entity."""
    label = label_registry.async_create("At night")
    entity_registry.async_update_entity(SWITCH, labels={label.label_id})

    await hass.services.async_call(
        "switch", "turn_off", {"label_id": label.label_id}, blocking=True
    )

    assert agent.done == ["power.shutdown"]


@pytest.mark.parametrize("kind", BROAD)
async def test_the_action_that_is_named_after_it_reaches_all_computers_of_a_room(
    hass: HomeAssistant, agent: FakeAgent, targets: dict[str, str], kind: str
) -> None:
    """Shutting down is what it is for."""
    await hass.services.async_call("pilot", SERVICE_SHUTDOWN, target(targets, kind), blocking=True)

    assert agent.done == ["power.shutdown"]


# --- Voice assistants ------------------------------------------------------------------------


@pytest.mark.parametrize("assistant", ["conversation", "cloud.google_assistant", "cloud.alexa"])
async def test_it_is_not_exposed_by_default(
    hass: HomeAssistant, targets: dict[str, str], assistant: str
) -> None:
    """Not even where new entities are."""
    hass.data[DATA_EXPOSED_ENTITIES].async_set_expose_new_entities(assistant, True)

    assert [async_should_expose(hass, assistant, entity_id) for entity_id in ENTITIES] == [
        False
    ] * len(ENTITIES)


@pytest.fixture
async def upgraded(
    hass: HomeAssistant, enable_custom_integrations: None, entity_registry: er.EntityRegistry
) -> MockConfigEntry:
    """Return an entry of the version before, with what is exposed since then.

    The power switch by Home Assistant, a button by the user; another button is not, and one that
    ends no work is none of the matter.
    """
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(hass, "repairs", {})
    entry = make_entry(hass, minor_version=1)
    for domain, key, name in (
        ("switch", "power", "power"),
        ("button", "power_suspend", "suspend"),
        ("button", "session_lock", "lock"),
        ("button", "i2c_reset_tuning", "reset_settings"),
    ):
        entity_registry.async_get_or_create(
            domain,
            "pilot",
            f"{HOST_ID}_{key}",
            config_entry=entry,
            suggested_object_id=f"office_pc_{name}",
            translation_key=key,
        )
    assert async_should_expose(hass, "conversation", SWITCH)
    for assistant, entity_id in (
        ("cloud.alexa", SUSPEND),
        ("conversation", "button.office_pc_reset_settings"),
    ):
        async_expose_entity(hass, assistant, entity_id, should_expose=True)
    return entry


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()


def exposed(hass: HomeAssistant) -> dict[str, list[str]]:
    """Return to which assistants entities are exposed."""
    found = {
        entity_id: [
            assistant
            for assistant, options in async_get_entity_settings(hass, entity_id).items()
            if options.get("should_expose")
        ]
        for entity_id in (*ENTITIES, "button.office_pc_reset_settings")
        if er.async_get(hass).async_get(entity_id)
    }
    return {entity_id: assistants for entity_id, assistants in found.items() if assistants}


async def fix(client: Any, choice: str = "confirm") -> Any:
    """Choose from the repair's menu; return the menu, and what came of it."""
    response = await client.post(
        "/api/repairs/issues/fix", json={"handler": "pilot", "issue_id": ISSUE}
    )
    assert response.status == HTTPStatus.OK
    menu = await response.json()
    response = await client.post(
        f"/api/repairs/issues/fix/{menu['flow_id']}", json={"next_step_id": choice}
    )
    return menu, await response.json()


@pytest.mark.usefixtures("mqtt_mock")
async def test_what_was_exposed_before_is_withdrawn_on_request(
    hass: HomeAssistant,
    upgraded: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """From every assistant, and nothing else with it; the question is never asked again."""
    await set_up(hass, upgraded)
    issue = issue_registry.async_get_issue("pilot", ISSUE)
    assert issue is not None
    assert issue.is_fixable
    assert issue.is_persistent
    assert issue.translation_placeholders == {
        "name": "office-pc",
        "entities": f"- `{SWITCH}`\n- `{SUSPEND}`",
    }
    assert exposed(hass)[SWITCH] == ["conversation"]

    menu, result = await fix(await hass_client())

    assert menu["menu_options"] == ["confirm", "ignore"]
    assert result["type"] == "create_entry"
    assert exposed(hass) == {"button.office_pc_reset_settings": ["conversation"]}
    assert not issue_registry.issues
    async_expose_entity(hass, "conversation", SWITCH, should_expose=True)
    await hass.config_entries.async_reload(upgraded.entry_id)
    assert not issue_registry.issues


@pytest.mark.usefixtures("mqtt_mock")
async def test_what_was_exposed_before_may_stay(
    hass: HomeAssistant,
    upgraded: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """A repair that is ignored stays ignored, over restarts too."""
    await set_up(hass, upgraded)
    _, result = await fix(await hass_client(), "ignore")
    assert result["reason"] == "issue_ignored"

    await hass.config_entries.async_reload(upgraded.entry_id)

    issue = issue_registry.async_get_issue("pilot", ISSUE)
    assert issue is not None
    assert issue.dismissed_version is not None
    assert issue.to_json()["dismissed_version"] is not None
    assert issue.to_json()["is_persistent"]
    assert exposed(hass)[SWITCH] == ["conversation"]


@pytest.mark.usefixtures("mqtt_mock")
async def test_what_is_withdrawn_by_hand_needs_no_repair(
    hass: HomeAssistant, upgraded: MockConfigEntry, issue_registry: ir.IssueRegistry
) -> None:
    """From the next start on."""
    await set_up(hass, upgraded)
    async_expose_entity(hass, "conversation", SWITCH, should_expose=False)
    async_expose_entity(hass, "cloud.alexa", SUSPEND, should_expose=False)

    await hass.config_entries.async_reload(upgraded.entry_id)

    assert not issue_registry.issues


@pytest.mark.usefixtures("mqtt_mock")
async def test_the_category_does_not_wait_for_the_host(
    hass: HomeAssistant, upgraded: MockConfigEntry, entity_registry: er.EntityRegistry
) -> None:
    """It may be off for weeks, and an assistant may ask meanwhile."""
    await set_up(hass, upgraded)

    categories = {
        entity.entity_id: entity.entity_category for entity in entity_registry.entities.values()
    }
    assert categories[SWITCH] is categories[SUSPEND] is EntityCategory.CONFIG
    assert not async_should_expose(hass, "conversation", "button.office_pc_lock")
    assert upgraded.minor_version == 2


@pytest.mark.usefixtures("mqtt_mock")
@pytest.mark.parametrize("way", ["nothing was exposed", "new"])
async def test_there_is_no_repair_without_need(
    hass: HomeAssistant, upgraded: MockConfigEntry, issue_registry: ir.IssueRegistry, way: str
) -> None:
    """Who exposes it from now on has decided so."""
    if way == "new":
        hass.config_entries.async_update_entry(upgraded, minor_version=2)
    else:
        async_expose_entity(hass, "conversation", SWITCH, should_expose=False)
        async_expose_entity(hass, "cloud.alexa", SUSPEND, should_expose=False)

    await set_up(hass, upgraded)

    assert not issue_registry.issues


@pytest.mark.usefixtures("mqtt_mock")
async def test_the_repair_goes_with_the_host(
    hass: HomeAssistant, upgraded: MockConfigEntry, issue_registry: ir.IssueRegistry
) -> None:
    """What is not there ends nothing."""
    await set_up(hass, upgraded)

    await hass.config_entries.async_remove(upgraded.entry_id)

    assert not issue_registry.issues


@pytest.mark.usefixtures("mqtt_mock")
async def test_an_entry_of_a_later_version_is_left_alone(
    hass: HomeAssistant, enable_custom_integrations: None
) -> None:
    """It is not known what is in it."""
    entry = make_entry(hass, version=2)

    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.version == 2
