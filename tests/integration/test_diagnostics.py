"""What a bug report says, and what it does not."""

import json
from typing import TYPE_CHECKING

from homeassistant.setup import async_setup_component
import pytest

from custom_components.pilot.diagnostics import (
    async_get_config_entry_diagnostics,
    async_get_device_diagnostics,
)
from support.integration_host import HOST_ID, FakeHost

from .kinds import all_kinds, all_values

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
    from syrupy.assertion import SnapshotAssertion

pytestmark = pytest.mark.usefixtures("freezer")


@pytest.fixture
async def talkative(hass: HomeAssistant, configured: MockConfigEntry) -> FakeHost:
    """Return a host that reports everything, and some nonsense too."""
    host = FakeHost(hass, all_kinds())
    await host.connect()
    for collector, values in all_values().items():
        await host.send(f"state/{collector}", {"ts": 1793952000, "values": values})
    await host.send("state/cpu", "nonsense")
    await host.announce(conflict={"session": "b0b0b0b0", "name": "secret-clone"})
    return host


async def test_entry_diagnostics(
    hass: HomeAssistant,
    talkative: FakeHost,
    configured: MockConfigEntry,
    snapshot: SnapshotAssertion,
) -> None:
    """All that helps."""
    assert await async_get_config_entry_diagnostics(hass, configured) == snapshot


async def test_nothing_private_is_told(
    hass: HomeAssistant, talkative: FakeHost, configured: MockConfigEntry
) -> None:
    """Names, addresses, networks and ids are private."""
    told = json.dumps(await async_get_config_entry_diagnostics(hass, configured))

    for private in ("office-pc", HOST_ID, "00:00:5e:00:53:01", "secret-clone", "words-"):
        assert private not in told
    readings = (await async_get_config_entry_diagnostics(hass, configured))["readings"]
    for key in (
        "network.ipv4",
        "network.ipv6",
        "session.users",
        "wifi.ssid",
        "window.program",
        "window.title",
    ):
        assert readings[key]["value"] == "**REDACTED**"


async def test_device_diagnostics(
    hass: HomeAssistant,
    online: FakeHost,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Each device has its own readings."""
    [host] = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})
    [child] = device_registry.async_get_devices(identifiers={("pilot", f"{HOST_ID}_aht20-1-38")})

    assert await async_get_device_diagnostics(hass, configured, host) == snapshot(name="host")
    assert await async_get_device_diagnostics(hass, configured, child) == snapshot(name="child")


async def test_before_the_first_announce(
    hass: HomeAssistant,
    configured: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """There is little to tell."""
    [host] = device_registry.async_get_devices(identifiers={("pilot", HOST_ID)})

    assert await async_get_config_entry_diagnostics(hass, configured) == snapshot(name="entry")
    assert await async_get_device_diagnostics(hass, configured, host) == snapshot(name="device")


async def test_can_be_downloaded(
    hass: HomeAssistant,
    talkative: FakeHost,
    configured: MockConfigEntry,
    hass_client: ClientSessionGenerator,
) -> None:
    """Whatever is in it can be written as JSON."""
    assert await async_setup_component(hass, "diagnostics", {})
    client = await hass_client()

    response = await client.get(f"/api/diagnostics/config_entry/{configured.entry_id}")

    assert (await response.json())["data"]["status"] == "online"
