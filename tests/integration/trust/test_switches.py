"""What can be set of the screen of a paired host's desktop: it shows what the host reports."""

import json
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

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

SCREEN = "switch.office_pc_screen"
MONITOR = "switch.office_pc_screen_dp_1"
KEEP_AWAKE = "switch.office_pc_keep_awake"
TIME_OUT = "number.office_pc_screen_off_after"

READINGS = (
    {"key": "screen.on"},
    {"key": "screen.on.dp-1", "kind": "screen.on", "of": "DP-1"},
    {"key": "screen.keep_awake"},
    {"key": "screen.time_out"},
)


class Desktop(CommandProvider):
    """A desktop with two monitors."""

    name: ClassVar[str] = "screen"

    def __init__(self, bus: FakeBroker) -> None:
        """Begin with a screen that is on."""
        self.bus = bus
        self.values: dict[str, float | None] = {
            "on": True,
            "on.dp-1": True,
            "keep_awake": False,
            "time_out": 600,
        }
        self.failure = ""

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers of a desktop."""
        switch = {"value": Argument("boolean", 0, 1, step=1)}
        time_out = {"value": Argument("seconds", 0, 14_400, step=1)}
        return [
            Command(f"screen.{name}", time_out if name == "time_out" else switch,
                    kind=f"screen.{name.partition('.')[0]}", state=f"screen.{name}")
            for name in self.values
        ]  # fmt: skip

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Switch something."""
        if self.failure:
            raise CommandError("failed", self.failure)
        name, value = key.removeprefix("screen."), args["value"]
        self.values[name] = value if name == "time_out" else value == 1
        self.say()

    def say(self) -> None:
        """Publish what is read."""
        parts = {"screen": {"ts": time(), "values": self.values}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def desktop(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Desktop:
    """Return the desktop of the paired host."""
    desktop = Desktop(bus)
    agent.announced["readings"] = list(READINGS)
    agent.announced["collectors"] = {"screen": {"interval": 60}}
    agent.dispatcher.offer({agent.power: agent.power.commands(), desktop: desktop.commands()})
    agent.announce()
    desktop.say()
    await hass.async_block_till_done()
    return desktop


async def switch(hass: HomeAssistant, entity_id: str, what: str) -> None:
    await hass.services.async_call("switch", what, {"entity_id": entity_id}, blocking=True)
    await hass.async_block_till_done()


def states(hass: HomeAssistant) -> dict[str, str]:
    """Return the states of the desktop's switches."""
    found = {entity_id: hass.states.get(entity_id) for entity_id in (SCREEN, MONITOR, KEEP_AWAKE)}
    return {entity_id: state.state for entity_id, state in found.items() if state is not None}


async def test_switches_of_a_desktop(
    hass: HomeAssistant,
    desktop: Desktop,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Each has its name, icon and category, and shows what is read."""
    assert states(hass) == {SCREEN: "on", MONITOR: "on", KEEP_AWAKE: "off"}
    for entity_id in states(hass):
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


async def test_it_is_switched_off_and_on(
    hass: HomeAssistant, desktop: Desktop, bus: FakeBroker
) -> None:
    """The host is asked for 0 and 1, and says by itself what is so."""
    await switch(hass, SCREEN, "turn_off")
    assert states(hass)[SCREEN] == "off"

    await switch(hass, SCREEN, "turn_on")
    assert states(hass)[SCREEN] == "on"
    assert [one["args"] for one in bus.commands("screen.on")] == [{"value": 0}, {"value": 1}]


async def test_what_does_not_work_is_said_and_shown_as_it_is(
    hass: HomeAssistant, desktop: Desktop
) -> None:
    """What says yes and does nothing is a failure."""
    desktop.failure = "the compositor says that DP-1 is still on"

    with pytest.raises(HomeAssistantError, match="DP-1 is still on"):
        await switch(hass, MONITOR, "turn_off")

    assert states(hass)[MONITOR] == "on"


async def test_a_session_helper_that_has_gone_makes_them_unavailable(
    hass: HomeAssistant, desktop: Desktop
) -> None:
    """Nothing else changes; with the helper they are back."""
    desktop.values = dict.fromkeys(desktop.values)
    desktop.say()
    await hass.async_block_till_done()
    assert set(states(hass).values()) == {"unavailable"}

    desktop.values["on"] = False
    desktop.say()
    await hass.async_block_till_done()
    assert states(hass)[SCREEN] == "off"


async def test_the_time_out_is_a_number(hass: HomeAssistant, desktop: Desktop) -> None:
    """In seconds, and 0 for never."""
    state = hass.states.get(TIME_OUT)
    assert state is not None
    assert (state.state, state.attributes["unit_of_measurement"]) == ("600", "s")
    assert (state.attributes["min"], state.attributes["max"]) == (0, 14_400)

    data = {"entity_id": TIME_OUT, "value": 0}
    await hass.services.async_call("number", "set_value", data, blocking=True)
    await hass.async_block_till_done()

    assert desktop.values["time_out"] == 0
    state = hass.states.get(TIME_OUT)
    assert state is not None
    assert float(state.state) == 0
