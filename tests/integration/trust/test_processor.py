"""The settings of a paired host's processor."""

import json
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

from homeassistant.exceptions import HomeAssistantError
import pytest

from companion_agent.errors import CommandError
from companion_agent.models import Argument, ChoiceArgument, Command
from companion_agent.plugins.base import CommandProvider
from support.integration_agent import BASE, FakeAgent, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

PROFILE = "select.office_pc_power_profile"
GOVERNOR = "select.office_pc_processor_governor"
HIGHEST = "number.office_pc_highest_processor_frequency"
BOOST = "switch.office_pc_processor_boost"
ENTITIES = (
    PROFILE,
    GOVERNOR,
    "select.office_pc_energy_preference",
    "number.office_pc_lowest_processor_frequency",
    HIGHEST,
    BOOST,
)


class Processor(CommandProvider):
    """The processor of a laptop, as a host offers it."""

    name: ClassVar[str] = "processor"

    def __init__(self, bus: FakeBroker) -> None:
        """Begin as the distribution has set it."""
        self.bus = bus
        self.values: dict[str, Any] = {
            "profile": "balanced",
            "profile_degraded": None,
            "governor": "powersave",
            "energy_preference": "balance_performance",
            "minimum_frequency": 400,
            "maximum_frequency": 4400,
            "boost": True,
        }
        self.failure = ""

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers of such a processor."""
        frequency = Argument("MHz", 400, 4400, step=100)
        arguments = {
            "profile": ChoiceArgument(("power-saver", "balanced", "performance")),
            "governor": ChoiceArgument(("performance", "powersave")),
            "energy_preference": ChoiceArgument(
                ("default", "performance", "balance_performance", "balance_power", "power")
            ),
            "minimum_frequency": frequency,
            "maximum_frequency": frequency,
            "boost": Argument("boolean", 0, 1, step=1),
        }
        return [
            Command(f"processor.{name}", {"value": argument}, state=f"processor.{name}")
            for name, argument in arguments.items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Set something."""
        if self.failure:
            raise CommandError("failed", self.failure)
        name = key.removeprefix("processor.")
        boolean = isinstance(self.values[name], bool)
        self.change(**{name: args["value"] == 1 if boolean else args["value"]})

    def change(self, **values: Any) -> None:
        """Publish what is read then."""
        self.values.update(values)
        parts = {"processor": {"ts": time(), "values": self.values}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def processor(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Processor:
    """Return the processor of the paired host."""
    processor = Processor(bus)
    agent.announced["readings"] = [{"key": f"processor.{name}"} for name in processor.values]
    agent.announced["collectors"] = {"processor": {"interval": 60}}
    agent.dispatcher.offer({agent.power: agent.power.commands(), processor: processor.commands()})
    agent.announce()
    processor.change()
    await hass.async_block_till_done()
    return processor


async def test_entities_of_a_processor(
    hass: HomeAssistant,
    processor: Processor,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Each has its name, icon and category, and shows what is read."""
    for entity_id in ENTITIES:
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


@pytest.mark.parametrize(
    ("entity_id", "service", "data", "shown"),
    [
        (PROFILE, "select.select_option", {"option": "power-saver"}, "power-saver"),
        (GOVERNOR, "select.select_option", {"option": "performance"}, "performance"),
        (HIGHEST, "number.set_value", {"value": 2400}, "2400.0"),
        (BOOST, "switch.turn_off", {}, "off"),
    ],
)
async def test_it_is_set_by_the_host(
    hass: HomeAssistant,
    processor: Processor,
    entity_id: str,
    service: str,
    data: dict[str, Any],
    shown: str,
) -> None:
    """The host is asked, and says by itself what is so."""
    await hass.services.async_call(
        *service.split("."), {"entity_id": entity_id, **data}, blocking=True
    )
    await hass.async_block_till_done()

    state = hass.states.get(entity_id)
    assert state is not None
    assert state.state == shown


async def test_what_the_driver_refuses_is_said(hass: HomeAssistant, processor: Processor) -> None:
    """The entity goes on showing what is so."""
    processor.failure = "choose another governor first"

    with pytest.raises(HomeAssistantError, match="choose another governor first"):
        await hass.services.async_call(
            "select", "select_option", {"entity_id": GOVERNOR, "option": "performance"}, True
        )

    state = hass.states.get(GOVERNOR)
    assert state is not None
    assert state.state == "powersave"


async def test_what_degrades_the_performance_is_an_attribute(
    hass: HomeAssistant, processor: Processor, entity_registry: er.EntityRegistry
) -> None:
    """It comes and goes by itself, and is no entity of its own."""
    processor.change(profile="performance", profile_degraded="lap-detected")
    await hass.async_block_till_done()

    state = hass.states.get(PROFILE)
    assert state is not None
    assert state.state == "performance"
    assert state.attributes["performance_degraded"] == "lap-detected"
    assert not [one for one in entity_registry.entities if "degraded" in one]

    processor.change(profile_degraded=None)
    await hass.async_block_till_done()

    state = hass.states.get(PROFILE)
    assert state is not None
    assert "performance_degraded" not in state.attributes
