"""What can be set on a paired host: numbers, and the button that takes it back."""

import json
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

from homeassistant.const import UnitOfTemperature
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from companion_agent.models import Argument, Command
from companion_agent.plugins.base import CommandProvider
from support.integration_agent import BASE, FakeAgent, FakeBroker
from support.integration_host import HOST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr, entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from syrupy.assertion import SnapshotAssertion

    from custom_components.pilot.trust import TrustStore

SENSOR = "aht20-1-38"
INTERVAL = "number.aht20_measurement_interval"
OFFSET = "number.aht20_temperature_offset"
RESET = "button.aht20_reset_sensor_settings"


class Tuning(CommandProvider):
    """Settings of a sensor, kept in a dictionary."""

    name: ClassVar[str] = "i2c"

    def __init__(self, bus: FakeBroker) -> None:
        """Start with what is configured."""
        self.bus = bus
        self.values: dict[str, float] = {"interval": 60, "temperature_offset": 0}
        self.maximum = 86_400
        self.measured: float | None = 21.4

    def commands(self) -> Sequence[Command]:
        """Offer what the agent offers of a sensor."""
        limits = {
            "interval": Argument("seconds", 1, self.maximum, step=1),
            "temperature_offset": Argument("°C", -20, 20, step=0.1),
        }
        key = f"i2c.{SENSOR}"
        return [
            *(
                Command(
                    f"{key}.{name}",
                    {"value": argument},
                    kind=f"i2c.{name}",
                    device=SENSOR,
                    state=f"{key}.{name}",
                )
                for name, argument in limits.items()
            ),
            Command(
                f"{key}.reset_tuning",
                kind="i2c.reset_tuning",
                device=SENSOR,
                state=f"{key}.interval",
            ),
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Take a value, or all back."""
        setting = key.rpartition(".")[2]
        if setting == "reset_tuning":
            self.values = {"interval": 60, "temperature_offset": 0}
        else:
            self.values[setting] = args["value"]

    def readings(self) -> list[dict[str, Any]]:
        """Describe what is read."""
        kinds = {"temperature": "temperature"} | {name: f"i2c.{name}" for name in self.values}
        return [
            {"key": f"i2c.{SENSOR}.{name}", "kind": kind, "device": SENSOR}
            for name, kind in kinds.items()
        ]

    def say(self) -> None:
        """Publish the values."""
        values = {"temperature": self.measured, **self.values}
        said = {f"{SENSOR}.{name}": value for name, value in values.items()}
        parts = {"i2c": {"ts": time(), "values": said}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def tuning(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Tuning:
    """Return the settings of the paired host's sensor."""
    tuning = Tuning(bus)
    agent.announced["readings"] = tuning.readings()
    agent.dispatcher.offer({agent.power: agent.power.commands(), tuning: tuning.commands()})
    agent.announce()
    tuning.say()
    await hass.async_block_till_done()
    return tuning


async def set_value(hass: HomeAssistant, entity_id: str, value: float) -> None:
    await hass.services.async_call(
        "number", "set_value", {"entity_id": entity_id, "value": value}, blocking=True
    )


def state_of(hass: HomeAssistant, entity_id: str) -> str:
    state = hass.states.get(entity_id)
    assert state is not None, entity_id
    return state.state


async def test_settings_are_numbers_of_the_sensor_s_device(
    hass: HomeAssistant,
    tuning: Tuning,
    paired: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """As the host describes them, among its configuration."""
    device = device_registry.async_get_device_by_identifier(
        ("pilot", f"{HOST_ID}_{SENSOR}"), paired.entry_id
    )
    for entity_id in (INTERVAL, OFFSET, RESET):
        entry = entity_registry.async_get(entity_id)
        assert entry is not None
        assert entry.device_id == device.id
        assert entry == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


async def test_what_is_set_is_shown_when_the_host_says_it(
    hass: HomeAssistant, tuning: Tuning, bus: FakeBroker
) -> None:
    """Not before, whatever was asked of it."""
    await set_value(hass, INTERVAL, 300)

    [command] = bus.commands(f"i2c.{SENSOR}.interval")
    assert command["args"] == {"value": 300}
    assert tuning.values["interval"] == 300
    assert state_of(hass, INTERVAL) == "60"

    tuning.say()
    await hass.async_block_till_done()
    assert float(state_of(hass, INTERVAL)) == 300


async def test_the_button_takes_it_back(
    hass: HomeAssistant, tuning: Tuning, bus: FakeBroker
) -> None:
    """All of one sensor."""
    await set_value(hass, OFFSET, -0.5)
    await hass.services.async_call("button", "press", {"entity_id": RESET}, blocking=True)

    assert tuning.values["temperature_offset"] == 0


async def test_a_value_out_of_range(hass: HomeAssistant, tuning: Tuning, agent: FakeAgent) -> None:
    """Home Assistant knows the range; where it has changed meanwhile, the host says so."""
    with pytest.raises(ServiceValidationError, match="outside valid range 1 - 86400"):
        await set_value(hass, INTERVAL, 86_401)

    tuning.maximum = 100
    agent.dispatcher.offer({tuning: tuning.commands()})
    with pytest.raises(ServiceValidationError, match="value is not 1 to 100 seconds"):
        await set_value(hass, INTERVAL, 300)
    assert state_of(hass, INTERVAL) == "60"


async def test_other_limits_are_followed(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent
) -> None:
    """The entity stays the same."""
    tuning.maximum = 100
    agent.dispatcher.offer({tuning: tuning.commands()})
    agent.announce()
    await hass.async_block_till_done()

    assert hass.states.get(INTERVAL).attributes["max"] == 100
    assert state_of(hass, INTERVAL) == "60"


async def test_a_host_that_does_not_answer(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent
) -> None:
    """It is an error, and the old value stays."""
    agent.silent = True
    with pytest.raises(HomeAssistantError, match="did not respond"):
        await set_value(hass, INTERVAL, 300)
    assert state_of(hass, INTERVAL) == "60"


async def test_they_are_available_as_long_as_the_host_is(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent
) -> None:
    """Like everything that it reports."""
    agent.say_that_it_is("off")
    await hass.async_block_till_done()
    assert {state_of(hass, entity_id) for entity_id in (INTERVAL, OFFSET, RESET)} == {"unavailable"}


async def test_what_the_configuration_does_not_allow_is_gone(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent
) -> None:
    """And comes back with its entity id."""
    everything = agent.commands
    agent.announce(commands=[one for one in everything if not one["key"].endswith("interval")])
    await hass.async_block_till_done()
    assert hass.states.get(INTERVAL) is None
    assert hass.states.get(OFFSET) is not None

    agent.announce()
    await hass.async_block_till_done()
    assert state_of(hass, INTERVAL) == "60"


async def test_without_pairing_there_is_nothing_to_set(
    hass: HomeAssistant,
    tuning: Tuning,
    agent: FakeAgent,
    paired: MockConfigEntry,
    trust: TrustStore,
) -> None:
    """The readings of the sensor stay."""
    await trust.async_forget(HOST_ID)
    agent.ring.revoke(trust.controller)
    await hass.config_entries.async_reload(paired.entry_id)
    agent.come_online()
    await hass.async_block_till_done()
    tuning.say()
    await hass.async_block_till_done()

    assert hass.states.async_all(("number", "button")) == []
    assert state_of(hass, "sensor.aht20_temperature") == "21.4"


async def test_a_sensor_that_has_gone_takes_its_settings_along(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent
) -> None:
    """Commands for a device that is not announced are not drawn."""
    agent.announce(devices={}, readings=[])
    await hass.async_block_till_done()

    assert hass.states.async_all("number") == []
    assert hass.states.get(RESET) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kind": "i2c.colour"}, id="kind"),
        pytest.param({"state": "i2c.nothing.interval"}, id="reading"),
        pytest.param({"limits": {}}, id="limits"),
        pytest.param({"state": ""}, id="state"),
    ],
)
async def test_settings_that_are_not_understood_are_left_out(
    hass: HomeAssistant, tuning: Tuning, agent: FakeAgent, changes: dict[str, Any]
) -> None:
    """A newer agent may have others."""
    commands = [one | changes if one["key"].endswith("interval") else one for one in agent.commands]
    agent.announce(commands=commands)
    await hass.async_block_till_done()

    assert hass.states.get(INTERVAL) is None
    assert hass.states.get(OFFSET) is not None


async def test_an_offset_is_a_difference(
    hass: HomeAssistant, tuning: Tuning, entity_registry: er.EntityRegistry
) -> None:
    """One degree Celsius more is 1.8 degrees Fahrenheit more, and not 33.8."""
    entity_registry.async_update_entity_options(
        OFFSET, "number", {"unit_of_measurement": UnitOfTemperature.FAHRENHEIT}
    )
    await hass.async_block_till_done()

    await set_value(hass, OFFSET, 1.8)
    tuning.say()
    await hass.async_block_till_done()

    assert tuning.values["temperature_offset"] == pytest.approx(1)
    assert float(state_of(hass, OFFSET)) == pytest.approx(1.8)


async def test_settings_are_no_readings_of_a_room(
    hass: HomeAssistant, tuning: Tuning, entity_registry: er.EntityRegistry
) -> None:
    """An offset is neither shown as a temperature, nor does it become one of the room's."""
    sensors = {state.entity_id for state in hass.states.async_all("sensor")}

    assert not {entity_id for entity_id in sensors if "offset" in entity_id}
    assert not {entity_id for entity_id in sensors if "interval" in entity_id}
