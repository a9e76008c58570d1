"""The entity factory: settings of any platform, and what is announced otherwise later."""

from typing import TYPE_CHECKING, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.components.text import TextEntity, TextEntityDescription
from homeassistant.const import Platform
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockEntityPlatform

from custom_components.pilot.entity import SettingEntity
from custom_components.pilot.factory import async_add_announced_entities, setting_source
from support.integration_agent import FakeAgent
from support.integration_host import HOST_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr, entity_registry as er
    from homeassistant.helpers.entity import Entity

    from custom_components.pilot.readings import NativeValue

KIND = "i2c.interval"
KEY = "i2c.aht20-1-38.interval"
READING = {"key": KEY, "kind": KIND, "device": "aht20-1-38"}
COMMAND = {"key": KEY, "kind": KIND, "args": {"value": ""}, "device": "aht20-1-38", "state": KEY}


class Choice(SettingEntity, SelectEntity):
    """A choice of intervals."""

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_current_option = str(value)


class Toggle(SettingEntity, SwitchEntity):
    """An interval that is on or off."""

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_is_on = value == 60


class Words(SettingEntity, TextEntity):
    """An interval as a text."""

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_native_value = str(value)


def announce_setting(
    agent: FakeAgent, *, commands: Iterable[dict[str, object]] = (COMMAND,)
) -> None:
    """Announce a setting, or its reading alone."""
    readings = [*agent.announced["readings"], READING]
    agent.announce(readings=readings, commands=list(commands))


@pytest.mark.parametrize(
    ("platform", "make", "description", "shown"),
    [
        (Platform.SELECT, Choice, SelectEntityDescription(key=KIND, options=["60"]), "60"),
        (Platform.SWITCH, Toggle, SwitchEntityDescription(key=KIND), "on"),
        (Platform.TEXT, Words, TextEntityDescription(key=KIND), "60"),
    ],
)
async def test_a_setting_is_shown_by_the_platform_that_describes_its_kind(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    entity_registry: er.EntityRegistry,
    platform: Platform,
    make: type[Choice | Toggle | Words],
    description: SelectEntityDescription | SwitchEntityDescription | TextEntityDescription,
    shown: str,
) -> None:
    """As long as it can be set."""
    coordinator = paired.runtime_data.coordinator
    mock_platform = MockEntityPlatform(hass, domain=platform, platform_name="pilot")
    mock_platform.config_entry = paired

    def add(entities: Iterable[Entity]) -> None:
        hass.async_create_task(mock_platform.async_add_entities(list(entities)))

    async_add_announced_entities(
        paired, platform, add, setting_source(coordinator, {KIND: description}, make)
    )
    announce_setting(agent)
    agent.part("i2c", '{"ts": 1, "values": {"aht20-1-38.interval": 60}}')
    await hass.async_block_till_done()

    entity_id = entity_registry.async_get_entity_id(platform, "pilot", f"{HOST_ID}_{KEY}")
    assert hass.states.get(entity_id).state == shown

    announce_setting(agent, commands=[])
    await hass.async_block_till_done()

    assert entity_registry.async_get(entity_id) is None
    assert hass.states.get(entity_id) is None


async def test_a_command_moves_to_another_device(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Its button keeps its id, and hangs on the other device."""
    reset = {"key": "i2c.reset", "kind": "i2c.reset_tuning", "args": {}}
    agent.announce(commands=[reset | {"device": "aht20-1-38"}])
    await hass.async_block_till_done()
    entity_id = entity_registry.async_get_entity_id("button", "pilot", f"{HOST_ID}_i2c_reset")

    agent.announce(commands=[reset])
    await hass.async_block_till_done()

    entity = entity_registry.async_get(entity_id)
    assert ("pilot", HOST_ID) in device_registry.async_get(entity.device_id).identifiers
    assert hass.states.get(entity_id).state == "unknown"
