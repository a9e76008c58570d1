"""The action that has hosts read their values now."""

from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized
from homeassistant.helpers import area_registry as ar, device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from companion_agent import platforms
from companion_agent.plugins.readings import REFRESH, ReadingsPlugin
from support.integration_agent import FakeAgent, FakeBroker
from support.integration_host import HOST_ID

from .test_access import by_entity, call, limited

PROCESSOR = "sensor.office_pc_processor"


@pytest.fixture
def refreshable(paired: MockConfigEntry, agent: FakeAgent) -> None:
    """Let the host have the command; its values are read by the real agent's scheduler."""
    plugin = ReadingsPlugin(platforms.current())
    agent.dispatcher.offer({plugin: plugin.commands()})
    agent.announce()


def asked(bus: FakeBroker) -> list[str]:
    """Return what hosts were asked to read, in order."""
    return [command["args"]["collectors"] for command in bus.commands(REFRESH)]


def device_of(registry: dr.DeviceRegistry, entry: MockConfigEntry, below: str = "") -> str:
    """Return the device of the host, or the one below it."""
    identifier = f"{HOST_ID}_{below}" if below else HOST_ID
    device = registry.async_get_device_by_identifier(("pilot", identifier), entry.entry_id)
    assert device is not None
    return device.id


@pytest.mark.usefixtures("refreshable")
@pytest.mark.parametrize(
    ("target", "collectors"),
    [
        ("host", ""),
        ("sensor", "i2c"),
        ("area", "i2c"),
        (PROCESSOR, "cpu"),
        ([PROCESSOR, "sensor.office_pc_system_disk"], "cpu,disk"),
        ([PROCESSOR, "sensor.office_pc_status"], ""),
    ],
)
async def test_what_is_targeted_is_read(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    bus: FakeBroker,
    device_registry: dr.DeviceRegistry,
    area_registry: ar.AreaRegistry,
    target: Any,
    collectors: str,
) -> None:
    """All of a host; of a device below it, an area or an entity only what these show."""
    await hass.async_block_till_done()
    sensor = device_of(device_registry, paired, "aht20-1-38")
    attic = area_registry.async_create("Attic").id
    device_registry.async_update_device(sensor, area_id=attic)
    named = {"host": "device_id", "sensor": "device_id", "area": "area_id"}
    data = {
        "host": {"device_id": device_of(device_registry, paired)},
        "sensor": {"device_id": sensor},
        "area": {"area_id": attic},
    }
    await call(
        hass,
        "pilot.refresh",
        data[target] if str(target) in named else {"entity_id": target},
        None,
    )

    assert asked(bus) == [collectors]


@pytest.mark.usefixtures("refreshable")
async def test_who_may_control_an_entity_may_have_it_read(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    bus: FakeBroker,
    device_registry: dr.DeviceRegistry,
) -> None:
    """But not the whole host."""
    await hass.async_block_till_done()
    user = limited(hass, **by_entity("control", PROCESSOR))
    with pytest.raises(Unauthorized):
        await call(
            hass, "pilot.refresh", {"device_id": device_of(device_registry, paired)}, user.id
        )
    assert asked(bus) == []

    await call(hass, "pilot.refresh", {"entity_id": PROCESSOR}, user.id)
    assert asked(bus) == ["cpu"]


async def test_an_older_agent_says_that_it_cannot(
    hass: HomeAssistant, paired: MockConfigEntry
) -> None:
    """In words."""
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "pilot.refresh", {"entity_id": PROCESSOR}, None)

    assert refused.value.translation_key == "command_unknown"


async def test_nothing_of_pilot_is_targeted(hass: HomeAssistant, paired: MockConfigEntry) -> None:
    """A lamp has no readings."""
    with pytest.raises(ServiceValidationError) as refused:
        await call(hass, "pilot.refresh", {"entity_id": "light.kitchen"}, None)

    assert refused.value.translation_key == "no_host_targeted"
