"""Monitors of a paired host that can be dimmed: lights that show what the host reports."""

import json
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

from homeassistant.components.light import ATTR_BRIGHTNESS
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import State
from homeassistant.exceptions import HomeAssistantError
import pytest

from companion_agent.errors import CommandError
from companion_agent.models import Argument, Command
from companion_agent.plugins.base import CommandProvider
from support.integration_agent import BASE, FakeAgent, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

PANEL = "light.office_pc_screen_edp_1"
DIMMED = "light.office_pc_screen_hdmi_a_1"

READINGS = (
    {"key": "screen.on"},
    {"key": "screen.on.edp-1", "kind": "screen.on", "of": "eDP-1"},
    {"key": "screen.on.dp-1", "kind": "screen.on", "of": "DP-1"},
    {"key": "screen.brightness.edp-1", "kind": "screen.brightness", "of": "eDP-1"},
    {"key": "screen.brightness.hdmi-a-1", "kind": "screen.brightness", "of": "HDMI-A-1"},
)
SWITCH = {"value": Argument("boolean", 0, 1, step=1)}
LEVEL = {"value": Argument("percent", 0, 100, step=1)}


class Monitors(CommandProvider):
    """A panel that is dimmed and switched, a monitor that is dimmed, and one that is switched."""

    name: ClassVar[str] = "screen"

    def __init__(self, bus: FakeBroker) -> None:
        """Begin with everything on."""
        self.bus = bus
        self.values: dict[str, float | bool | None] = {
            "on": True, "on.edp-1": True, "on.dp-1": True,
            "brightness.edp-1": 40, "brightness.hdmi-a-1": 100,
        }  # fmt: skip
        self.failure = ""

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers."""
        return [
            Command(
                f"screen.{name}",
                LEVEL if name.startswith("brightness") else SWITCH,
                kind=f"screen.{name.partition('.')[0]}",
                state=f"screen.{name}",
            )
            for name in self.values
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Switch or dim something."""
        if self.failure:
            raise CommandError("failed", self.failure)
        name, value = key.removeprefix("screen."), args["value"]
        self.values[name] = value if name.startswith("brightness") else value == 1
        self.say()

    def say(self) -> None:
        """Publish what is read."""
        parts = {"screen": {"ts": time(), "values": self.values}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def monitors(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Monitors:
    """Return the monitors of the paired host."""
    monitors = Monitors(bus)
    agent.announced["readings"] = list(READINGS)
    agent.announced["collectors"] = {"screen": {"interval": 60}}
    agent.dispatcher.offer({agent.power: agent.power.commands(), monitors: monitors.commands()})
    agent.announce()
    monitors.say()
    await hass.async_block_till_done()
    return monitors


async def turn(hass: HomeAssistant, entity_id: str, how: str, **data: Any) -> None:
    target = {"entity_id": entity_id}
    await hass.services.async_call("light", f"turn_{how}", {**target, **data}, blocking=True)
    await hass.async_block_till_done()


def light(hass: HomeAssistant, entity_id: str) -> State:
    state = hass.states.get(entity_id)
    assert state is not None
    return state


async def test_what_can_be_dimmed_is_a_light(
    hass: HomeAssistant,
    monitors: Monitors,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """What only goes on and off is a switch; none is both."""
    assert {state.entity_id for state in hass.states.async_all(("light", "switch"))} == {
        PANEL, DIMMED, "switch.office_pc_power", "switch.office_pc_screen",
        "switch.office_pc_screen_dp_1",
    }  # fmt: skip
    for entity_id in (PANEL, DIMMED):
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


async def test_a_panel_is_dimmed_and_switched(
    hass: HomeAssistant, monitors: Monitors, bus: FakeBroker
) -> None:
    """Off keeps the brightness, which it has again when it is on."""
    await turn(hass, PANEL, "on", brightness_pct=70)
    assert monitors.values["brightness.edp-1"] == 70
    assert light(hass, PANEL).attributes[ATTR_BRIGHTNESS] == 178

    await turn(hass, PANEL, "off")
    assert light(hass, PANEL).state == STATE_OFF
    assert monitors.values["on.edp-1"] is False

    await turn(hass, PANEL, "on")
    assert light(hass, PANEL).state == STATE_ON
    assert light(hass, PANEL).attributes[ATTR_BRIGHTNESS] == 178
    assert [one["args"] for one in bus.commands("screen.brightness.edp-1")] == [{"value": 70}]


async def test_one_that_cannot_be_switched_is_as_dark_as_it_gets(
    hass: HomeAssistant, monitors: Monitors
) -> None:
    """It has no other way to be off."""
    await turn(hass, DIMMED, "off")
    assert light(hass, DIMMED).state == STATE_OFF
    assert monitors.values["brightness.hdmi-a-1"] == 0

    await turn(hass, DIMMED, "on")
    assert light(hass, DIMMED).attributes[ATTR_BRIGHTNESS] == 255


async def test_it_follows_what_is_done_by_hand(hass: HomeAssistant, monitors: Monitors) -> None:
    """Either of its two readings changes it."""
    monitors.values |= {"on.edp-1": False}
    monitors.say()
    await hass.async_block_till_done()
    assert light(hass, PANEL).state == STATE_OFF

    monitors.values |= {"on.edp-1": True, "brightness.edp-1": 1}
    monitors.say()
    await hass.async_block_till_done()
    assert light(hass, PANEL).attributes[ATTR_BRIGHTNESS] == 3


async def test_what_does_not_work_is_said_and_shown_as_it_is(
    hass: HomeAssistant, monitors: Monitors
) -> None:
    """What says yes and does nothing is a failure."""
    monitors.failure = "eDP-1 was set to 20 %, it is at 40 %"

    with pytest.raises(HomeAssistantError, match="it is at 40 %"):
        await turn(hass, PANEL, "on", brightness_pct=20)

    assert light(hass, PANEL).attributes[ATTR_BRIGHTNESS] == 102


async def test_without_its_session_helper_it_is_unavailable(
    hass: HomeAssistant, monitors: Monitors
) -> None:
    """As every other setting of a desktop."""
    monitors.values = dict.fromkeys(monitors.values)
    monitors.say()
    await hass.async_block_till_done()

    assert light(hass, PANEL).state == STATE_UNAVAILABLE
