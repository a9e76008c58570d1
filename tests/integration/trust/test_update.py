"""The agent's version: what is shown, how it is installed, and what is said when it fails."""

import asyncio
from collections.abc import Mapping, Sequence
import hashlib
from http import HTTPStatus
import json
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.network import NoURLAvailableError
from homeassistant.setup import async_setup_component
import pytest

from companion_agent.errors import CommandError
from companion_agent.models import Command, TextArgument
from companion_agent.plugins.agent import AgentPlugin
from companion_agent.plugins.base import CommandProvider
from custom_components.pilot import bundled_release
from custom_components.pilot.protocol.announce import parse_announce
from custom_components.pilot.protocol.errors import ProtocolError
from support.integration_host import ANNOUNCE, HOST_ID, FakeHost

if TYPE_CHECKING:
    from pathlib import Path

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import (
        ClientSessionGenerator,
        WebSocketGenerator,
    )

    from support.integration_agent import FakeAgent

ENTITY = "update.office_pc_agent"
NEWER = "0.2.0"
FOLDER: dict[str, Any] = {"source": "folder"}


class Updates(CommandProvider):
    """Takes orders to update, and does nothing about them."""

    name: ClassVar[str] = AgentPlugin.name

    def __init__(self) -> None:
        """Start without an order."""
        self.asked = asyncio.Queue[Mapping[str, Any]]()
        self.error: CommandError | None = None

    def commands(self) -> Sequence[Command]:
        """Offer what an agent offers that can be updated."""
        text = TextArgument(longest=512, default="")
        return [Command("agent.update", {"version": text, "url": text})]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Take an order."""
        if self.error:
            raise self.error
        self.asked.put_nowait(args)


def release(folder: Path, version: str = NEWER, signed: dict[str, Any] | None = None) -> Path:
    """Write a release as `deploy/release.py` does, as far as Home Assistant looks at it."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"pilot_agent-{version}-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    digest = hashlib.sha256(b"a wheel").hexdigest()
    body = {"version": version, "sha256": digest, "notes": "It is *better*."} | (signed or {})
    wheel.with_name(f"{wheel.name}.json").write_text(json.dumps({"body": json.dumps(body)}))
    return wheel


@pytest.fixture
def shipping(tmp_path: Path) -> Path:
    """Have a release come with the integration."""
    return release(tmp_path / "shipped")


@pytest.fixture(autouse=True)
def shipped_folder(tmp_path: Path) -> Any:
    """Look for it there, whatever lies in the checkout."""
    with patch.object(bundled_release, "FOLDER", tmp_path / "shipped"):
        yield


@pytest.fixture
async def updates(hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent) -> Updates:
    """Return what a host has that can be updated."""
    await hass.config.async_update(internal_url="http://192.0.2.1:8123")
    updates = Updates()
    agent.dispatcher.offer({agent.power: agent.power.commands(), updates: updates.commands()})
    return updates


async def say(hass: HomeAssistant, agent: FakeAgent, version: str = "0.1.0", **update: Any) -> None:
    agent.announced["agent"]["version"] = version
    agent.announce(update={"source": "homeassistant", **update})
    await hass.async_block_till_done()


async def install(hass: HomeAssistant) -> None:
    await hass.services.async_call("update", "install", {"entity_id": ENTITY}, blocking=True)


def shown(hass: HomeAssistant) -> tuple[str, str, str]:
    state = hass.states.get(ENTITY)
    assert state is not None
    return state.state, state.attributes["installed_version"], state.attributes["latest_version"]


def progress(hass: HomeAssistant) -> tuple[bool, int | None]:
    state = hass.states.get(ENTITY)
    assert state is not None
    return state.attributes["in_progress"], state.attributes["update_percentage"]


def features(hass: HomeAssistant) -> int:
    state = hass.states.get(ENTITY)
    assert state is not None
    return int(state.attributes["supported_features"])


# --- What is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    [
        pytest.param({}, id="an agent that knows nothing of updates"),
        pytest.param({"update": {"source": "homeassistant"}}, id="no release came along"),
        pytest.param(
            {"update": {"source": "folder", "cannot": "it trusts no key"}}, id="it cannot"
        ),
    ],
)
async def test_a_host_of_which_no_release_can_be_known_has_no_entity(
    hass: HomeAssistant, online: FakeHost, update: dict[str, Any]
) -> None:
    """It would say that the agent is up to date."""
    await online.announce(**update)

    assert hass.states.get(ENTITY) is None


async def test_a_host_that_is_not_paired_shows_what_there_is(
    hass: HomeAssistant, shipping: Path, online: FakeHost
) -> None:
    """It cannot be told to install it."""
    await online.announce(update={"source": "homeassistant"})

    assert shown(hass) == ("on", "0.1.0", NEWER)
    assert features(hass) == 4 + 16  # progress, release notes


async def test_a_release_that_came_with_the_integration(
    hass: HomeAssistant,
    shipping: Path,
    updates: Updates,
    agent: FakeAgent,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """It is offered, with what is new."""
    await say(hass, agent)
    assert shown(hass) == ("on", "0.1.0", NEWER)
    assert features(hass) == 1 + 4 + 16  # install, progress, release notes

    client = await hass_ws_client(hass)
    await client.send_json_auto_id({"type": "update/release_notes", "entity_id": ENTITY})
    assert (await client.receive_json())["result"] == "It is *better*."


async def test_an_agent_that_is_newer_than_the_integration(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """It is not offered an older one."""
    await say(hass, agent, version="0.3.0")
    assert shown(hass) == ("off", "0.3.0", "0.3.0")


async def test_a_host_with_a_source_of_its_own(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """What counts is what it found there."""
    await say(hass, agent, **FOLDER)
    assert shown(hass) == ("off", "0.1.0", "0.1.0")
    await say(hass, agent, **FOLDER, newest={"version": "0.9.0", "notes": ""})
    assert shown(hass) == ("on", "0.1.0", "0.9.0")


async def test_a_host_that_does_not_know_what_there_is_says_why(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent
) -> None:
    """Where the summary of a release stands; no version is called the newest."""
    await say(hass, agent, **FOLDER, trouble="the folder /srv/agent is not there")

    state = hass.states.get(ENTITY)
    assert state is not None
    assert state.state == "unknown"
    assert state.attributes["release_summary"] == (
        "The agent on office-pc cannot find out whether there is a new version: "
        "the folder /srv/agent is not there."
    )
    assert not features(hass) & 1


@pytest.mark.parametrize(
    "update",
    [
        [],
        {},
        {"source": "folder", "newest": {"version": 1}},
        {"source": "folder", "newest": {"version": NEWER, "notes": "x" * 5000}},
        {"source": "folder", "failed": {"version": NEWER}},
        {"source": "folder", "cannot": "x" * 256},
    ],
    ids=lambda update: str(update)[:40],
)
def test_what_breaks_a_rule_is_refused(update: Any) -> None:
    """As everything in an announce."""
    with pytest.raises(ProtocolError):
        parse_announce(json.dumps(ANNOUNCE | {"update": update}).encode(), HOST_ID)


# --- Installing ------------------------------------------------------------------------------


async def test_installing(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """From the press of the button to the new version, which is gone for a moment meanwhile."""
    await say(hass, agent)
    task = hass.async_create_task(install(hass))
    async with asyncio.timeout(5):
        asked = await updates.asked.get()
    assert asked == {
        "version": NEWER,
        "url": f"http://192.0.2.1:8123/api/pilot/agent/{shipping.name}",
    }
    assert progress(hass) == (True, None)

    agent.happens("update", "progress", version=NEWER, step="downloading", percent=40)
    await asyncio.sleep(0)
    assert progress(hass) == (True, 40)
    agent.happens("update", "progress", version=NEWER, step="restarting", percent=100, within=180)
    agent.bus.fire(f"pilot/v2/{HOST_ID}/availability", "off")
    await asyncio.sleep(0)
    assert progress(hass) == (True, None)

    agent.start("0123456789abcdef")
    agent.bus.fire(f"pilot/v2/{HOST_ID}/availability", "online")
    agent.announced["agent"]["version"] = NEWER
    agent.announce(update={"source": "homeassistant", "trial": True})
    await asyncio.sleep(0)
    assert not task.done()
    agent.announce(update={"source": "homeassistant"})
    async with asyncio.timeout(5):
        await task
    assert shown(hass) == ("off", NEWER, NEWER)
    assert progress(hass) == (False, None)


async def test_a_version_that_is_left_again(
    hass: HomeAssistant,
    shipping: Path,
    updates: Updates,
    agent: FakeAgent,
    issue_registry: ir.IssueRegistry,
) -> None:
    """It is told to the user who installed it, and in repairs until one works."""
    failed = {"version": NEWER, "reason": "it was not online within 120 s"}
    # One that failed the same way before does not count.
    await say(hass, agent, failed=failed)
    task = hass.async_create_task(install(hass))
    async with asyncio.timeout(5):
        await updates.asked.get()
    agent.announce(update={"source": "homeassistant", "failed": failed})
    await asyncio.sleep(0)
    assert not task.done()
    agent.start("0123456789abcdef")
    agent.announce(update={"source": "homeassistant", "failed": failed})
    with pytest.raises(HomeAssistantError) as caught:
        async with asyncio.timeout(5):
            await task
    assert caught.value.translation_key == "update_failed"
    assert shown(hass) == ("on", "0.1.0", NEWER)
    issue = issue_registry.async_get_issue("pilot", f"update_failed_{HOST_ID}")
    assert issue is not None
    assert issue.translation_placeholders == {
        "name": "office-pc",
        "version": NEWER,
        "reason": "it was not online within 120 s",
        "running": "0.1.0",
    }

    await say(hass, agent, version=NEWER)
    assert not issue_registry.async_get_issue("pilot", f"update_failed_{HOST_ID}")


async def test_a_host_that_comes_and_goes_meanwhile(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """A release that crashes again and again is one update, which fails once, with the reason."""
    await say(hass, agent)
    task = hass.async_create_task(install(hass))
    async with asyncio.timeout(5):
        await updates.asked.get()
    seen = set()
    for start in range(3):
        agent.bus.fire(f"pilot/v2/{HOST_ID}/availability", agent.word("lost"))
        await asyncio.sleep(0)
        seen.add((hass.states.get(ENTITY).state, *progress(hass)))
        agent.start(f"0123456789abcde{start}")
        agent.say_that_it_is("online")
        agent.announced["agent"]["version"] = NEWER
        agent.announce(update={"source": "homeassistant", "trial": True})
        await asyncio.sleep(0)
        seen.add((hass.states.get(ENTITY).state, *progress(hass)))
    assert not task.done()
    agent.start("0123456789abcdef")
    agent.announced["agent"]["version"] = "0.1.0"
    failed = {"version": NEWER, "reason": "it ended three times"}
    agent.announce(update={"source": "homeassistant", "failed": failed})

    with pytest.raises(HomeAssistantError, match="it ended three times"):
        async with asyncio.timeout(5):
            await task
    assert {(shown, under_way) for shown, under_way, _ in seen} <= {("on", True), ("off", True)}
    assert shown(hass) == ("on", "0.1.0", NEWER)


async def test_a_version_that_cannot_be_fetched(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """It is told at once."""
    await say(hass, agent)
    task = hass.async_create_task(install(hass))
    async with asyncio.timeout(5):
        await updates.asked.get()
    agent.happens("update", "failed", version=NEWER, reason="the disk is full")
    with pytest.raises(HomeAssistantError, match="the disk is full"):
        await task
    assert progress(hass) == (False, None)


async def test_a_host_that_refuses(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """Its words are shown."""
    updates.error = CommandError("failed", "an update is under way already")
    await say(hass, agent)
    with pytest.raises(HomeAssistantError, match="under way"):
        await install(hass)
    assert progress(hass) == (False, None)


async def test_a_host_that_says_nothing_any_more(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """It is waited for as long as it said, and not longer."""
    await say(hass, agent)
    task = hass.async_create_task(install(hass))
    async with asyncio.timeout(5):
        await updates.asked.get()
    agent.happens("update", "progress", version=NEWER, step="restarting", percent=100, within=0)
    with pytest.raises(HomeAssistantError, match="has stopped reporting"):
        async with asyncio.timeout(5):
            await task


async def test_without_an_address(
    hass: HomeAssistant, shipping: Path, updates: Updates, agent: FakeAgent
) -> None:
    """A host could not fetch anything."""
    await say(hass, agent)
    with (
        patch.object(bundled_release, "get_url", side_effect=NoURLAvailableError),
        pytest.raises(HomeAssistantError) as caught,
    ):
        await install(hass)
    assert caught.value.translation_key == "update_no_address"


async def test_an_update_that_was_begun_elsewhere(
    hass: HomeAssistant, updates: Updates, agent: FakeAgent
) -> None:
    """On the host itself, say: it is shown all the same."""
    await say(hass, agent, **FOLDER)
    agent.happens("update", "progress", version="", step="downloading", percent=7)
    await hass.async_block_till_done()
    assert progress(hass) == (True, 7)
    agent.happens("update", "progress", version=NEWER, step="restarting", percent=100)
    agent.start("0123456789abcdef")
    await say(hass, agent, version=NEWER, **FOLDER)
    assert progress(hass) == (False, None)


# --- The release that came along -------------------------------------------------------------


async def test_hosts_get_the_release(
    hass: HomeAssistant, shipping: Path, hass_client_no_auth: ClientSessionGenerator
) -> None:
    """Without a login, and nothing else."""
    await async_setup_component(hass, "http", {})
    await bundled_release.async_setup_shipped(hass)
    client = await hass_client_no_auth()
    for name, status in (
        (shipping.name, HTTPStatus.OK),
        (f"{shipping.name}.json", HTTPStatus.OK),
        ("manifest.json", HTTPStatus.NOT_FOUND),
        ("%2E%2Emanifest.json", HTTPStatus.NOT_FOUND),
    ):
        assert (await client.get(f"/api/pilot/agent/{name}")).status == status
    assert await (await client.get(f"/api/pilot/agent/{shipping.name}")).read() == b"a wheel"


@pytest.mark.parametrize(
    "signed", [{"version": "0.3.0"}, {"sha256": "0" * 64}, {"notes": 1}], ids=str
)
def test_a_broken_release_is_not_offered(
    tmp_path: Path, signed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says what is wrong with it."""
    release(tmp_path, signed=signed)
    assert bundled_release.find(tmp_path) is None
    assert "cannot be offered" in caplog.text


def test_half_a_release_is_not_offered(tmp_path: Path) -> None:
    """Nor are two of them, or something without a body."""
    wheel = release(tmp_path)
    other = release(tmp_path, "0.3.0")
    assert bundled_release.find(tmp_path) is None
    other.unlink()
    assert bundled_release.find(tmp_path) is not None
    wheel.with_name(f"{wheel.name}.json").write_text("{}")
    assert bundled_release.find(tmp_path) is None
    wheel.with_name(f"{wheel.name}.json").unlink()
    assert bundled_release.find(tmp_path) is None
