"""What the owner of a host has added: entities, and the action that returns what is printed."""

import json
from time import time
from typing import TYPE_CHECKING, Any

from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest

from companion_agent import platforms
from companion_agent.announcement import describe_reading
from companion_agent.config import load
from companion_agent.plugins.own.commands import OwnCommandsPlugin
from companion_agent.plugins.own.settings import OwnCommands
from support.integration_agent import FakeAgent, FakeBroker

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_homeassistant_custom_component.common import MockConfigEntry

CONFIG = """
broker: localhost
own_commands:
  lamp:
    show: switch
    command: [sh, -c, 'echo "$1" > lamp', sh, "{value}"]
    state: [cat, lamp]
    folder: FOLDER
  profile:
    name: Fan profile
    show: select
    command: [sh, -c, 'echo "$1" > profile', sh, "{value}"]
    state: [cat, profile]
    arguments: {value: {type: choice, options: [quiet, loud]}}
    folder: FOLDER
  volume:
    show: number
    command: [sh, -c, 'echo "$1" > volume', sh, "{value}"]
    state: [cat, volume]
    arguments: {value: {type: number, minimum: 0, maximum: 100, step: 5, unit: "%"}}
    folder: FOLDER
    harmless: true
  tidy:
    command: [sh, -c, 'echo tidy > tidied']
    folder: FOLDER
  backup:
    name: Back up
    command: [echo, level, "{level}", to, "{target}"]
    arguments:
      level: {type: number, minimum: 1, maximum: 9, default: 5}
      target: {type: choice, options: [disk, tape], default: disk}
    confirm: true
    time_limit: 600
"""


class Owner:
    """The host's owner, who has added commands."""

    def __init__(self, plugin: OwnCommandsPlugin, agent: FakeAgent) -> None:
        """Announce them."""
        self.plugin = plugin
        self.agent = agent
        agent.announced["collectors"]["own_commands"] = {"interval": 60}
        for reading in plugin.readings():
            said = describe_reading(plugin.name, reading)
            fields: dict[str, Any] = {"key": said.key, "name": said.name, "type": said.type.value}
            if said.unit:
                fields["unit"] = said.unit
            if said.options:
                fields["options"] = list(said.options)
            agent.announced["readings"].append(fields)
        agent.dispatcher.offer({agent.power: agent.power.commands(), plugin: plugin.commands()})
        agent.announce()

    def say(self) -> None:
        """Publish what the commands are set to."""
        part = {"ts": time(), "values": dict(self.plugin.collect())}
        self.agent.part("own_commands", json.dumps(part))


@pytest.fixture
async def owner(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, tmp_path: Path
) -> Owner:
    """Return the owner of the paired host."""
    path = tmp_path / "own.yaml"
    path.write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    for name, value in (("lamp", "off"), ("profile", "quiet"), ("volume", "20")):
        (tmp_path / name).write_text(value)
    config = OwnCommands(load(path, {}).own_commands)
    owner = Owner(OwnCommandsPlugin(platforms.current(), config=config), agent)
    owner.say()
    await hass.async_block_till_done()
    return owner


def state_of(hass: HomeAssistant, entity_id: str) -> str:
    state = hass.states.get(entity_id)
    assert state is not None, hass.states.async_entity_ids()
    return state.state


async def run_command(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Call the action on the host, and return its answer."""
    response = await hass.services.async_call(
        "pilot",
        "run_command",
        {"entity_id": "sensor.office_pc_status", **data},
        blocking=True,
        return_response=True,
    )
    assert response is not None
    answer: dict[str, Any] = response["office-pc"]  # type: ignore[assignment]
    return answer


@pytest.mark.parametrize(
    ("entity", "service", "data", "shown"),
    [
        ("switch.office_pc_lamp", "turn_on", {}, "on"),
        ("switch.office_pc_lamp", "turn_off", {}, "off"),
        ("select.office_pc_fan_profile", "select_option", {"option": "loud"}, "loud"),
        ("number.office_pc_volume", "set_value", {"value": 35}, "35.0"),
    ],
)
async def test_what_is_set_is_what_the_host_reads(
    hass: HomeAssistant, owner: Owner, entity: str, service: str, data: dict[str, Any], shown: str
) -> None:
    await hass.services.async_call(
        entity.partition(".")[0], service, {"entity_id": entity, **data}, blocking=True
    )
    owner.say()
    await hass.async_block_till_done()

    assert state_of(hass, entity) == shown


async def test_each_is_drawn_once(
    hass: HomeAssistant, owner: Owner, entity_registry: er.EntityRegistry
) -> None:
    drawn = {
        entity.entity_id: entity.entity_category
        for entity in entity_registry.entities.values()
        if "own_commands" in entity.unique_id
    }

    assert drawn == {
        "switch.office_pc_lamp": EntityCategory.CONFIG,
        "select.office_pc_fan_profile": EntityCategory.CONFIG,
        # Its owner says that it ends no work.
        "number.office_pc_volume": None,
        "button.office_pc_tidy": EntityCategory.CONFIG,
        "button.office_pc_back_up": EntityCategory.CONFIG,
    }
    volume = hass.states.get("number.office_pc_volume")
    assert volume is not None
    attributes = ("min", "max", "step", "unit_of_measurement")
    assert [volume.attributes[name] for name in attributes] == [0, 100, 5, "%"]


async def test_what_is_to_be_confirmed_says_so(hass: HomeAssistant, owner: Owner) -> None:
    backup, tidy = (hass.states.get(f"button.office_pc_{name}") for name in ("back_up", "tidy"))

    assert backup is not None
    assert tidy is not None
    assert backup.attributes["confirm"] is True
    assert "confirm" not in tidy.attributes


async def test_a_button_starts_it(hass: HomeAssistant, owner: Owner, tmp_path: Path) -> None:
    await hass.services.async_call(
        "button", "press", {"entity_id": "button.office_pc_tidy"}, blocking=True
    )

    assert (tmp_path / "tidied").read_text() == "tidy\n"


@pytest.mark.parametrize(("domain", "service"), [("button", "press"), ("switch", "turn_on")])
async def test_an_action_on_all_entities_leaves_them_alone(
    hass: HomeAssistant, owner: Owner, bus: FakeBroker, domain: str, service: str
) -> None:
    await hass.services.async_call(domain, service, {"entity_id": "all"}, blocking=True)

    assert [body for topic, body in bus.published if "own_commands" in topic] == []


@pytest.mark.parametrize("name", ["backup", "own_commands.backup"])
async def test_the_action_returns_what_is_printed(
    hass: HomeAssistant, owner: Owner, name: str
) -> None:
    answer = await run_command(
        hass, command=name, arguments={"level": 3, "target": "tape"}, confirm=True
    )

    assert answer["output"] == "level 3 to tape\n"
    assert answer["truncated"] is False


async def test_one_to_be_confirmed_is_not_started_without(
    hass: HomeAssistant, owner: Owner, bus: FakeBroker
) -> None:
    with pytest.raises(ServiceValidationError, match=r"Back up.*is to be confirmed"):
        await run_command(hass, command="backup")

    assert not bus.commands("own_commands.backup")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"command": "backup", "arguments": {"level": 12}, "confirm": True}, "level is not 1 to 9"),
        ({"command": "backup", "arguments": {"target": "-x"}, "confirm": True}, "not one of disk"),
        ({"command": "backups"}, "own_commands.backups"),
    ],
)
async def test_what_is_wrong_is_said(
    hass: HomeAssistant,
    owner: Owner,
    data: dict[str, Any],
    error: str,
) -> None:
    with pytest.raises(HomeAssistantError, match=error):
        await run_command(hass, **data)


async def test_a_long_command_is_waited_for(
    hass: HomeAssistant, owner: Owner, agent: FakeAgent
) -> None:
    jobs: list[Any] = []
    agent.dispatcher._start = jobs.append
    # Longer than an answer is waited for otherwise.
    hass.loop.call_later(0.5, lambda: agent.work(jobs[0]))

    answer = await run_command(hass, command="backup", confirm=True)

    assert answer["output"] == "level 5 to disk\n"
