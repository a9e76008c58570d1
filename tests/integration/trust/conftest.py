"""Fixtures: a host that can be paired, and one that is."""

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from companion_agent.config.policy import Policy
from custom_components.pilot import pair
from custom_components.pilot.trust import TrustStore, async_get_trust
from support.integration_agent import FakeAgent, FakeBroker
from support.integration_host import HOST_ID, make_entry

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient

    from custom_components.pilot.coordinator import PilotCoordinator

SECRET = bytes(range(32))


@pytest.fixture
def bus(
    hass: HomeAssistant, enable_custom_integrations: None, mqtt_mock: MqttMockHAClient
) -> Generator[FakeBroker]:
    """Return the broker."""
    bus = FakeBroker(hass)
    with (
        patch.object(pair.mqtt, "async_publish", bus.publish),
        patch.object(pair.mqtt, "async_on_subscribe_done", bus.confirm),
    ):
        yield bus


@pytest.fixture
def quick() -> Generator[None]:
    """Do not wait for hosts longer than a test can bear."""
    with (
        patch("custom_components.pilot.pair.PATIENCE", (0.05, 0.05)),
        patch("custom_components.pilot.pair.REVOKE_PATIENCE", 0.1),
        patch("custom_components.pilot.pair.SUBSCRIBE_PATIENCE", 0.05),
        patch("custom_components.pilot.commands.REPEATS", (0.02, 0.05)),
        patch("custom_components.pilot.commands.GIVE_UP", 0.2),
        patch("custom_components.pilot.auth.DOUBT_DELAY", 0.05),
        patch("custom_components.pilot.auth.DOUBT_PATIENCE", 0.1),
    ):
        yield


@pytest.fixture
async def trust(hass: HomeAssistant, enable_custom_integrations: None) -> TrustStore:
    """Return what Home Assistant shares with hosts."""
    return await async_get_trust(hass)


@pytest.fixture
def policy() -> Policy:
    """Return what the host's configuration allows."""
    return Policy()


@pytest.fixture
def agent(bus: FakeBroker, tmp_path: Path, policy: Policy, quick: None) -> FakeAgent:
    """Return a host that is not paired."""
    return FakeAgent(bus, tmp_path, policy=policy)


@pytest.fixture
async def paired(hass: HomeAssistant, agent: FakeAgent, trust: TrustStore) -> MockConfigEntry:
    """Return the entry of that host, paired, set up and online."""
    agent.ring.add(trust.controller, "Home", SECRET)
    await trust.async_pair(HOST_ID, SECRET)
    entry = make_entry(
        hass,
        data={
            "prefix": "pilot/v2",
            "host_name": "office-pc",
            "auto_title": "office-pc",
            "paired": True,
        },
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    agent.come_online()
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def coordinator(paired: MockConfigEntry) -> PilotCoordinator:
    """Return the coordinator of the paired host."""
    found: PilotCoordinator = paired.runtime_data.coordinator
    return found
