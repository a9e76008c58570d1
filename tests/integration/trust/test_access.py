"""Who may do what: everything that there is, tried as each kind of user."""

from http import HTTPStatus
import re
from typing import Any

from homeassistant.auth.const import GROUP_ID_ADMIN, GROUP_ID_READ_ONLY, GROUP_ID_USER
from homeassistant.auth.models import User
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, Unauthorized, UnknownUser
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator, WebSocketGenerator

from custom_components.pilot import repairs
from custom_components.pilot.rooms.runtime import PLACEMENTS
from support.integration_agent import FakeAgent, FakeBroker
from support.integration_host import HOST_ID, make_entry

from ..conftest import ROOT  # noqa: TID252
from .test_settings import INTERVAL, Tuning

SWITCH = "switch.office_pc_power"
GROUPS = {
    "administrator": GROUP_ID_ADMIN,
    "user": GROUP_ID_USER,
    "read-only user": GROUP_ID_READ_ONLY,
}


def table() -> dict[str, dict[str, bool]]:
    """Return the table of the documentation: what is allowed to whom, row by row."""
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition("## Who may do what in Home Assistant")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["action or websocket command", *GROUPS]
    allowed = {"yes": True, "refused": False}
    return {
        what: dict(zip(GROUPS, (allowed[cell] for cell in cells), strict=True))
        for what, *cells in rows[2:]
    }


TABLE = table()
ACTIONS = {
    match[1]: row for what, row in TABLE.items() if (match := re.match(r"`(\w+\.\w+)`", what))
}
COMMANDS = {
    match[1]: row for what, row in TABLE.items() if (match := re.match(r"`(pilot/[\w/]+)`", what))
}
DIALOGS = TABLE["add, pair and reconfigure hosts, options, repairs, diagnostics"]


async def make_user(hass: HomeAssistant, kind: str) -> MockUser:
    """Return a user of a group."""
    group = await hass.auth.async_get_group(GROUPS[kind])
    assert group is not None
    return MockUser(groups=[group]).add_to_hass(hass)


async def token_of(hass: HomeAssistant, user: User) -> str:
    """Return what a user logs in with."""
    refresh_token = await hass.auth.async_create_refresh_token(user, "https://example.com/app")
    return hass.auth.async_create_access_token(refresh_token)


@pytest.fixture
async def house(
    hass: HomeAssistant,
    local_auth: Any,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    area_registry: ar.AreaRegistry,
    device_registry: dr.DeviceRegistry,
) -> dict[str, Any]:
    """Return what calls are about: a host with a room sensor, and a second host."""
    assert await async_setup_component(hass, "homeassistant", {})
    tuning = Tuning(bus)
    agent.dispatcher.offer({agent.power: agent.power.commands(), tuning: tuning.commands()})
    agent.announced["readings"].append({"key": "i2c.aht20-1-38.interval", "kind": "i2c.interval"})
    agent.announced["readings"][-1]["device"] = "aht20-1-38"
    agent.announce()
    await hass.async_block_till_done()
    other = make_entry(hass, unique_id="0" * 16, entry_id="01JOTHER", name="attic-pc")
    await hass.config_entries.async_setup(other.entry_id)
    office, attic = area_registry.async_create("Office"), area_registry.async_create("Attic")
    found = {}
    for name, identifier, entry in (
        ("host", HOST_ID, paired),
        ("sensor", f"{HOST_ID}_aht20-1-38", paired),
        ("other", "0" * 16, other),
    ):
        device = device_registry.async_get_device_by_identifier(
            ("pilot", identifier), entry.entry_id
        )
        assert device is not None
        found[name] = device.id
    device_registry.async_update_device(found["sensor"], area_id=office.id)
    await hass.async_block_till_done()
    return {**found, "area": office.id, "attic": attic.id}


def data_for(house: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each action is called with."""
    now = "2026-11-05T12:00:00+00:00"
    host, sensor = {"device_id": house["host"]}, {"device_id": house["sensor"]}
    switch = {"entity_id": SWITCH}
    return {
        "pilot.shutdown": host,
        "pilot.reboot": host,
        "pilot.cancel_shutdown": host,
        "pilot.notify": {**host, "message": "Hello"},
        "pilot.clear_notification": {**host, "tag": "door"},
        "pilot.get_programs": host,
        "pilot.set_program_volume": {**host, "program": "Firefox", "volume": 30},
        "pilot.refresh": host,
        "pilot.run_command": {**host, "command": "beep"},
        "pilot.send_command": {**host, "command": "audio.beep"},
        "pilot.get_placements": {},
        "pilot.get_room_history": {"area_id": house["area"], "start": now},
        "pilot.add_placement": {**sensor, "area_id": house["attic"], "start": now},
        "pilot.move_placement": {**sensor, "at": now},
        "pilot.split_placement": {**sensor, "at": now},
        "pilot.delete_placement": {**sensor, "at": now},
        "pilot.merge_rooms": {"area_id": house["area"], "into": house["attic"]},
        "pilot.track_device": host,
        "pilot.untrack_device": sensor,
        "button.press": {"entity_id": "button.office_pc_suspend"},
        "switch.turn_on": switch,
        "switch.turn_off": switch,
        "switch.toggle": switch,
        "homeassistant.turn_off": switch,
        "number.set_value": {"entity_id": INTERVAL, "value": 30},
        "update.install": {"entity_id": "update.office_pc_agent"},
    }


async def call(
    hass: HomeAssistant, action: str, data: dict[str, Any], user_id: str | None
) -> dict[str, Any] | None:
    domain, _, service = action.partition(".")
    return await hass.services.async_call(  # type: ignore[return-value]
        domain,
        service,
        data,
        blocking=True,
        context=Context(user_id=user_id),
        return_response=service.startswith("get_"),
    )


def happened(hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker) -> Any:
    """Return everything that a call may have changed."""
    state = hass.data[PLACEMENTS].tracker.state
    return len(bus.published), list(agent.done), dict(state.devices), dict(state.rooms)


# --- Everything ------------------------------------------------------------------------------


async def test_the_table_has_a_row_for_everything(
    hass: HomeAssistant, house: dict[str, Any]
) -> None:
    """What is new needs a decision, and a row."""
    registered = {f"pilot.{name}" for name in hass.services.async_services_for_domain("pilot")}
    commands = {name for name in hass.data["websocket_api"] if name.startswith("pilot")}

    assert {name for name in ACTIONS if name.startswith("pilot.")} == registered
    assert set(COMMANDS) == commands
    assert set(data_for(house)) == set(ACTIONS)
    assert len(ACTIONS) + len(COMMANDS) + 1 == len(TABLE)


@pytest.mark.parametrize("kind", GROUPS)
async def test_actions(
    hass: HomeAssistant, house: dict[str, Any], agent: FakeAgent, bus: FakeBroker, kind: str
) -> None:
    """What is refused has done nothing; what is not may still be impossible just now."""
    user = await make_user(hass, kind)
    refused = set()
    for action, data in data_for(house).items():
        before = happened(hass, agent, bus)
        try:
            await call(hass, action, data, user.id)
        except Unauthorized:
            refused.add(action)
            assert happened(hass, agent, bus) == before, action
        except HomeAssistantError:
            continue  # Allowed, and impossible just now: there is no recorder, say.

    assert refused == {action for action, allowed in ACTIONS.items() if not allowed[kind]}


@pytest.mark.parametrize("kind", GROUPS)
async def test_websocket_commands(
    hass: HomeAssistant, house: dict[str, Any], hass_ws_client: WebSocketGenerator, kind: str
) -> None:
    """They only read."""
    client = await hass_ws_client(hass, await token_of(hass, await make_user(hass, kind)))
    answers = {}
    for command in COMMANDS:
        await client.send_json_auto_id({"type": command})
        answers[command] = await client.receive_json()
        if command.endswith("subscribe"):
            assert (await client.receive_json())["event"]["placements"]

    assert {command: answer["success"] for command, answer in answers.items()} == {
        command: allowed[kind] for command, allowed in COMMANDS.items()
    }


@pytest.mark.parametrize("kind", GROUPS)
async def test_dialogs(
    hass: HomeAssistant,
    house: dict[str, Any],
    paired: MockConfigEntry,
    hass_client: ClientSessionGenerator,
    kind: str,
) -> None:
    """Home Assistant's own, where Pilot's flows begin."""
    for domain in ("config", "diagnostics", "repairs"):
        assert await async_setup_component(hass, domain, {})
    repairs.async_report_exposed(hass, paired, [SWITCH])
    client = await hass_client(await token_of(hass, await make_user(hass, kind)))
    flow = "/api/config/config_entries/flow"
    entry_id = paired.entry_id
    issue = {"handler": "pilot", "issue_id": f"exposed_{entry_id}"}
    answers = [
        await client.post(flow, json={"handler": "pilot"}),
        await client.post(flow, json={"handler": "pilot", "entry_id": entry_id}),
        await client.post("/api/config/config_entries/options/flow", json={"handler": entry_id}),
        await client.post("/api/repairs/issues/fix", json=issue),
        await client.get(f"/api/diagnostics/config_entry/{entry_id}"),
    ]

    expected = HTTPStatus.OK if DIALOGS[kind] else HTTPStatus.UNAUTHORIZED
    assert [answer.status for answer in answers] == [expected] * len(answers)


# --- Single permissions ----------------------------------------------------------------------


def limited(hass: HomeAssistant, **entities: dict[str, bool]) -> MockUser:
    """Return a user who may do just this, by entity."""
    user = MockUser().add_to_hass(hass)
    user.mock_policy({"entities": {"entity_ids": entities}})
    return user


def by_entity(policy: str, *entity_ids: str) -> dict[str, dict[str, bool]]:
    return {entity_id: {policy: True} for entity_id in entity_ids}


def entities_of(hass: HomeAssistant, device_id: str) -> list[str]:
    registry = er.async_get(hass)
    found = er.async_entries_for_device(registry, device_id, include_disabled_entities=True)
    return [entity.entity_id for entity in found]


@pytest.mark.parametrize("named", ["device", "entity"])
async def test_who_may_control_the_switch_may_shut_down(
    hass: HomeAssistant, house: dict[str, Any], agent: FakeAgent, named: str
) -> None:
    """And nothing else."""
    user = limited(hass, **by_entity("control", SWITCH))
    data = {"device_id": house["host"]} if named == "device" else {"entity_id": SWITCH}

    with pytest.raises(Unauthorized) as refused:
        await call(hass, "pilot.reboot", data, user.id)
    await call(hass, "pilot.shutdown", data, user.id)

    assert agent.done == ["power.shutdown"]
    assert refused.value.entity_id == "button.office_pc_restart"


async def test_who_may_control_another_entity_may_not(
    hass: HomeAssistant, house: dict[str, Any], agent: FakeAgent
) -> None:
    """The entity that is named, and the one that does the same, both count."""
    status = "sensor.office_pc_processor"
    may = (limited(hass, **by_entity("control", entity)) for entity in (status, SWITCH))
    for user in may:
        with pytest.raises(Unauthorized):
            await call(hass, "pilot.shutdown", {"entity_id": status}, user.id)

    assert agent.done == []
    both = limited(hass, **by_entity("control", status, SWITCH))
    await call(hass, "pilot.shutdown", {"entity_id": status}, both.id)
    assert agent.done == ["power.shutdown"]


async def test_a_host_without_the_entity_is_controlled_by_who_may_control_all_of_it(
    hass: HomeAssistant, house: dict[str, Any], entity_registry: er.EntityRegistry, agent: FakeAgent
) -> None:
    """It may come back any time."""
    entity_registry.async_remove(SWITCH)
    rest = entities_of(hass, house["host"])
    data = {"device_id": house["host"]}
    with pytest.raises(Unauthorized):
        await call(
            hass, "pilot.shutdown", data, limited(hass, **by_entity("control", *rest[1:])).id
        )

    await call(hass, "pilot.shutdown", data, limited(hass, **by_entity("control", *rest)).id)

    assert agent.done == ["power.shutdown"]


@pytest.mark.parametrize("by", ["device", "area"])
async def test_all_or_nothing(
    hass: HomeAssistant,
    house: dict[str, Any],
    agent: FakeAgent,
    bus: FakeBroker,
    device_registry: dr.DeviceRegistry,
    by: str,
) -> None:
    """Who may not control one of the hosts has none shut down."""
    hosts = [house["host"], house["other"]]
    for device_id in hosts:
        device_registry.async_update_device(device_id, area_id=house["attic"])
    user = limited(hass, **by_entity("control", *entities_of(hass, house["host"])))
    data = {"device_id": hosts} if by == "device" else {"area_id": house["attic"]}

    with pytest.raises(Unauthorized):
        await call(hass, "pilot.shutdown", data, user.id)

    assert agent.done == []
    assert bus.commands() == []


async def test_without_a_user_everything_is_allowed(
    hass: HomeAssistant, house: dict[str, Any], agent: FakeAgent
) -> None:
    """As automations call."""
    await call(hass, "pilot.shutdown", {"device_id": house["host"]}, None)

    assert agent.done == ["power.shutdown"]


async def test_a_user_who_is_gone_may_do_nothing(
    hass: HomeAssistant, house: dict[str, Any], agent: FakeAgent
) -> None:
    """Not even read."""
    for action, data in data_for(house).items():
        with pytest.raises(UnknownUser):
            await call(hass, action, data, "unknown-user")

    assert agent.done == []


# --- Reading ---------------------------------------------------------------------------------


async def test_placements_of_what_may_be_read(
    hass: HomeAssistant, house: dict[str, Any], hass_ws_client: WebSocketGenerator
) -> None:
    """Others are left out where nothing is asked for by name, and refused where it is."""
    sensor = entities_of(hass, house["sensor"])
    users = {
        "all": limited(hass, **by_entity("read", *sensor)),
        "some": limited(hass, **by_entity("read", *sensor[1:])),
        "none": limited(hass),
    }
    for name, user in users.items():
        named = {"device_id": [house["sensor"]]}
        answer = await call(hass, "pilot.get_placements", {}, user.id)
        assert answer is not None
        assert bool(answer["placements"]) is (name == "all")
        client = await hass_ws_client(hass, await token_of(hass, user))
        await client.send_json_auto_id({"type": "pilot/placements/list"})
        assert (await client.receive_json())["result"] == answer
        await client.send_json_auto_id({"type": "pilot/placements/subscribe"})
        await client.receive_json()
        event = (await client.receive_json())["event"]
        assert event["placements"] == answer["placements"]
        assert bool(event["devices"]) is (name == "all")
        await client.send_json_auto_id(
            {"type": "pilot/placements/list", "device_ids": named["device_id"]}
        )
        answered = await client.receive_json()
        if name == "all":
            assert answered["success"]
            assert await call(hass, "pilot.get_placements", named, user.id) == answer
        else:
            assert answered["error"]["code"] == "unauthorized"
            with pytest.raises(Unauthorized):
                await call(hass, "pilot.get_placements", named, user.id)
