"""Fixtures: a Home Assistant with a broker, and hosts that speak on it."""

import asyncio
from datetime import timedelta
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import PropertyMock, patch

from freezegun import freeze_time
from homeassistant.config_entries import OptionsFlow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension

ROOT = Path(__file__).parents[2]

# The test plug-in has a `custom_components` of its own: ours is to be the one.
sys.path.insert(0, str(ROOT))
from custom_components.pilot import flow_base  # noqa: E402
from support.integration_host import NOW, FakeHost, make_entry  # noqa: E402

from .texts import assert_step_has_its_placeholders  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from freezegun.api import FrozenDateTimeFactory
    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.typing import MqttMockHAClient
    from syrupy.assertion import SnapshotAssertion

CONTRACT = ROOT / "tests" / "contract"

# Fixtures that bring a database server.
_REAL = {"dialect"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "real: more than this process takes part")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that may fail by what happens elsewhere: these alone are tried again."""
    for item in items:
        if isinstance(item, pytest.Function) and not _REAL.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.real)


@pytest.fixture(autouse=True)
async def enable_event_loop_debug() -> None:
    """Have the loop check from which thread and with what it is called, as the plug-in does.

    It does not note in which lines each future, task and callback was made: that took half of the
    processor time of all tests. Futures ask `get_debug()`, the loop's own checks do not.
    """
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.get_debug = lambda: False


@pytest.fixture(autouse=True, scope="session")
def patient_executors() -> Generator[None]:
    """Let threads of Home Assistant end by themselves, however busy this machine is.

    They wake each other to end, one after the other. Home Assistant interrupts the one that takes
    a tenth of this limit, shared among them; then the rest sleeps on, and the plug-in fails the
    test for the threads that it left.
    """
    with patch("homeassistant.util.executor.EXECUTOR_SHUTDOWN_TIMEOUT", 200):
        yield


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Give each test a folder of its own for what is no file of Home Assistant's storage."""
    return hass_tmp_config_dir


@pytest.fixture(autouse=True)
def placeholders_of_flows() -> Generator[None]:
    """Compare every form and menu that a test meets with the texts for it."""
    base = flow_base.MarkdownFlow

    def checked(show: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(flow: flow_base.MarkdownFlow, **shown: Any) -> Any:
            step = show(flow, **shown)
            category = "options" if isinstance(flow, OptionsFlow) else "config"
            assert_step_has_its_placeholders(category, step)
            return step

        return wrapped

    with (
        patch.object(base, "async_show_form", checked(base.async_show_form)),
        patch.object(base, "async_show_menu", checked(base.async_show_menu)),
        patch.object(base, "async_show_progress", checked(base.async_show_progress)),
    ):
        yield


@pytest.fixture
def expected_lingering_timers() -> bool:
    """Allow the timer that the MQTT mock leaves behind."""
    return True


@pytest.fixture
def freezer() -> Generator[FrozenDateTimeFactory]:
    """Let time stand still, for the event loop too: whatever waits for a timeout waits for ever."""
    with freeze_time(NOW) as frozen:
        yield frozen


@pytest.fixture
def host(hass: HomeAssistant, enable_custom_integrations: None) -> FakeHost:
    """Return a host that can speak."""
    return FakeHost(hass)


@pytest.fixture
def entry(hass: HomeAssistant, host: FakeHost) -> MockConfigEntry:
    """Return the entry of that host, which is not set up yet."""
    return make_entry(hass)


@pytest.fixture
async def configured(
    hass: HomeAssistant, entry: MockConfigEntry, mqtt_mock: MqttMockHAClient
) -> MockConfigEntry:
    """Return the entry of a host that is set up, but has not been heard of."""
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
async def online(configured: MockConfigEntry, host: FakeHost) -> FakeHost:
    """Return a host that is set up, online, and has sent its values."""
    await host.connect()
    await host.state("cpu", percent=12.5, load_1m=0.42)
    await host.state("disk", root__used_percent=61)
    await host.send("state/i2c", {"ts": 1793952000, "values": {"aht20-1-38.temperature": 21.4}})
    return host


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compare as Home Assistant's own tests do: without ids and times that differ each time."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
def all_enabled() -> Generator[None]:
    """Show what is hidden from users until they ask for it."""
    with patch(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
        PropertyMock(return_value=True),
    ):
        yield


@pytest.fixture
def quick_search() -> Generator[None]:
    """Do not wait for hosts longer than a test can bear."""
    with (
        patch("custom_components.pilot.discovery.SEARCH_TIME", timedelta(seconds=0.2)),
        patch("custom_components.pilot.discovery.SEARCH_QUIET", timedelta(seconds=0.05)),
    ):
        yield
