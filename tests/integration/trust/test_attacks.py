"""What a client with the broker's own login can make Home Assistant believe: nothing."""

from collections.abc import Callable
from datetime import timedelta
import json
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import derive
from custom_components.pilot import auth
from custom_components.pilot.coordinator import PilotCoordinator, Status
from custom_components.pilot.trust import TrustStore
from support.integration_agent import BASE, PREFIX, FakeAgent, FakeBroker
from support.integration_host import HOST_ID

from .conftest import SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import issue_registry as ir
    from pytest_homeassistant_custom_component.common import MockConfigEntry

ANNOUNCE_TOPIC = f"{BASE}/announce"
SCREEN_LOCK = "binary_sensor.office_pc_screen_lock"


def everything(hass: HomeAssistant) -> list[Any]:
    """Return all states, and how they came about."""
    return [(s.entity_id, s.state, s.attributes) for s in hass.states.async_all()]


def bare(payload: str) -> dict[str, Any]:
    """Return the body of an envelope."""
    body: dict[str, Any] = json.loads(json.loads(payload)["body"])
    return body


def as_host(secret: bytes, key_id: str, topic: str, body: dict[str, Any]) -> str:
    """Sign something as a host."""
    return seal(topic, dump(body), {key_id: derive(key_id, secret, PREFIX, HOST_ID).report})


type Forge = Callable[[FakeAgent, TrustStore, dict[str, Any]], str]

FORGED: dict[str, tuple[Forge, str]] = {
    "bare": (lambda _a, _t, body: dump(body), "unsigned"),
    "signed with an unknown key": (
        lambda _a, _t, body: as_host(SECRET, "0" * 16, ANNOUNCE_TOPIC, body),
        "not_signed_for_us",
    ),
    "signed by another secret": (
        lambda _a, trust, body: as_host(b"x" * 32, trust.controller, ANNOUNCE_TOPIC, body),
        "bad_signature",
    ),
    "signed for another topic": (
        lambda _a, trust, body: as_host(SECRET, trust.controller, f"{BASE}/event/announce", body),
        "bad_signature",
    ),
    "signed with the key of commands": (
        lambda _a, trust, body: seal(
            ANNOUNCE_TOPIC,
            dump(body),
            {trust.controller: derive(trust.controller, SECRET, PREFIX, HOST_ID).command},
        ),
        "bad_signature",
    ),
    "signature of another body": (
        lambda agent, _t, body: dump(json.loads(agent.announcement()) | {"body": dump(body)}),
        "bad_signature",
    ),
    "signature is not text": (
        lambda _a, trust, body: dump(
            {"protocol": 2, "body": dump(body), "signatures": {trust.controller: 1}}
        ),
        "bad_signature",
    ),
    "no signatures": (
        lambda _a, _t, body: dump({"protocol": 2, "body": dump(body), "signatures": {}}),
        "envelope",
    ),
    "body is not text": (
        lambda _a, _t, body: dump({"protocol": 2, "body": body, "signatures": {"a": "b"}}),
        "envelope",
    ),
    "oversize": (
        lambda _a, _t, body: dump(body | {"filler": "x" * 600_000}),
        "size",
    ),
    "oversize body": (
        lambda _a, trust, body: as_host(
            SECRET, trust.controller, ANNOUNCE_TOPIC, body | {"filler": "x" * 300_000}
        ),
        "size",
    ),
    "without a sequence": (
        lambda _a, trust, body: as_host(
            SECRET,
            trust.controller,
            ANNOUNCE_TOPIC,
            {key: value for key, value in body.items() if key != "sequence"},
        ),
        "sequence",
    ),
}


@pytest.mark.parametrize("attack", sorted(FORGED))
async def test_spoofed_announces(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    trust: TrustStore,
    caplog: pytest.LogCaptureFixture,
    attack: str,
) -> None:
    """Refused, counted, logged once, and without any effect."""
    forge, kind = FORGED[attack]
    before, announce = everything(hass), coordinator.data
    body = bare(agent.announcement()) | {
        "host": {"id": HOST_ID, "name": "evil", "macs": ["00:00:5e:00:53:66"]},
        "readings": [],
        "commands": [],
        "sequence": [2**40, 1],
    }
    for _ in range(2):
        bus.fire(ANNOUNCE_TOPIC, forge(agent, trust, body))
        await hass.async_block_till_done()

    assert everything(hass) == before
    assert coordinator.data is announce
    assert coordinator.refused[f"announce.{kind}"] == 2
    assert caplog.text.count("Refused a payload on the announce topic") == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_replayed_announce(
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: FakeAgent,
    bus: FakeBroker,
    restarted: bool,
) -> None:
    """Over restarts of Home Assistant too."""
    old = agent.announcement()
    agent.announce(host=agent.announced["host"] | {"name": "new-name"})
    await hass.async_block_till_done()
    if restarted:
        await hass.config_entries.async_reload(paired.entry_id)
    bus.fire(ANNOUNCE_TOPIC, old)
    await hass.async_block_till_done()

    assert paired.title == "new-name"
    assert paired.runtime_data.coordinator.refused["announce.replayed"] == 1


async def test_an_empty_announce_is_only_a_question(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    bus: FakeBroker,
    issue_registry: ir.IssueRegistry,
) -> None:
    """It cannot be signed: a host that is removed for good looks the same."""
    before = everything(hass)
    bus.fire(ANNOUNCE_TOPIC, b"")
    await hass.async_block_till_done()

    assert everything(hass) == before
    assert coordinator.refused["announce.unsigned"] == 1
    assert issue_registry.async_get_issue("pilot", f"host_removed_{HOST_ID}") is not None


# --- Whether it is there ---------------------------------------------------------------------


def as_host_said(trust: TrustStore, secret: bytes, topic: str, word: str, **changes: Any) -> str:
    """Return the availability that the holder of a secret would publish."""
    body = {"ts": 1.0, "sequence": [2**40, 1], "availability": word} | changes
    return as_host(secret, trust.controller, topic, body)


type Said = Callable[[FakeAgent, TrustStore], str]
AVAILABILITY: Final = f"{BASE}/availability"

SAID: dict[str, tuple[Said, str]] = {
    "bare": (lambda _a, _t: "off", "unsigned"),
    "unsigned": (
        lambda _a, _t: dump({"ts": 1.0, "sequence": [2**40, 1], "availability": "off"}),
        "unsigned",
    ),
    "another secret": (
        lambda _a, trust: as_host_said(trust, b"x" * 32, AVAILABILITY, "off"),
        "bad_signature",
    ),
    "another topic": (
        lambda _a, trust: as_host_said(trust, SECRET, f"{BASE}/announce", "off"),
        "bad_signature",
    ),
    "another controller": (
        lambda _a, _t: as_host(b"x" * 32, "0" * 16, AVAILABILITY, {"availability": "off"}),
        "not_signed_for_us",
    ),
    "no sequence": (
        lambda _a, trust: as_host_said(trust, SECRET, AVAILABILITY, "off", sequence=1),
        "sequence",
    ),
    "no word": (
        lambda _a, trust: as_host_said(trust, SECRET, AVAILABILITY, "gone"),
        "availability",
    ),
}


@pytest.mark.parametrize("attack", sorted(SAID))
async def test_spoofed_availability(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    trust: TrustStore,
    attack: str,
) -> None:
    """The host is what it was, and its power switch still switches it off."""
    forge, kind = SAID[attack]
    before = everything(hass)
    bus.fire(AVAILABILITY, forge(agent, trust))
    await hass.async_block_till_done()

    assert everything(hass) == before
    assert coordinator.refused[f"availability.{kind}"] == 1
    target = {"entity_id": "switch.office_pc_power"}
    await hass.services.async_call("switch", "turn_off", target, blocking=True)
    assert agent.done == ["power.shutdown"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_old_word_played_again(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker, restarted: bool
) -> None:
    """A genuine `off` of yesterday, and a will that the broker sends late."""
    old = [agent.word("off"), agent.word("lost")]
    agent.say_that_it_is("online")
    await hass.async_block_till_done()
    if restarted:
        await hass.config_entries.async_reload(paired.entry_id)
        agent.say_that_it_is("online", retain=True)
    for payload in old:
        bus.fire(AVAILABILITY, payload)
        await hass.async_block_till_done()

    assert paired.runtime_data.coordinator.status is Status.ONLINE
    assert paired.runtime_data.coordinator.refused["availability.replayed"] == 2


async def test_the_same_word_again_is_no_sign_of_life(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Brokers repeat what they keep, and so may any client: a dead host stays silent."""
    said = agent.say_that_it_is("online")
    with patch.object(coordinator, "_restart_silence") as heard:
        bus.fire(AVAILABILITY, said)
        assert not heard.called
        agent.say_that_it_is("online")
        assert heard.called


async def test_spoofed_lock(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, trust: TrustStore
) -> None:
    """A client that may only write to the broker cannot make a locked host look open."""
    topic = f"{BASE}/state/session"
    unlocked = agent.state("session", locked=False)
    agent.state("session", locked=True)
    await hass.async_block_till_done()
    assert hass.states.get(SCREEN_LOCK).state == "off"

    body = {"ts": agent.now(), "sequence": [2**40, 1], "values": {"locked": False}}
    for payload in (
        dump(body),
        as_host(b"x" * 32, trust.controller, topic, body),
        as_host(SECRET, trust.controller, f"{BASE}/state", body),
        as_host(SECRET, trust.controller, topic, body | {"sequence": 1}),
        dump({"protocol": 2, "body": body, "signatures": {}}),
        unlocked,
    ):
        agent.part("session", payload)
        await hass.async_block_till_done()
        assert hass.states.get(SCREEN_LOCK).state == "off"

    # The others in the message are as good as ever.
    cpu = f'"cpu":{{"ts":{agent.now()},"values":{{"percent":12.5,"load_1m":1}}}}'
    agent.bus.fire(f"{BASE}/state", f'{{"collectors":{{"session":{dump(body)},{cpu}}}}}')
    await hass.async_block_till_done()
    assert hass.states.get("sensor.office_pc_processor").state == "12.5"

    coordinator = paired.runtime_data.coordinator
    assert {name: n for name, n in coordinator.refused.items() if name.startswith("state.")} == {
        "state.unsigned": 2,
        "state.bad_signature": 2,
        "state.sequence": 1,
        "state.envelope": 1,
        "state.replayed": 1,
    }

    await hass.config_entries.async_reload(paired.entry_id)
    agent.come_online()
    agent.part("session", unlocked)
    await hass.async_block_till_done()
    assert paired.runtime_data.coordinator.refused["state.replayed"] == 1
    agent.start("0000111122223333")
    agent.come_online()
    agent.part("session", unlocked)
    await hass.async_block_till_done()
    assert paired.runtime_data.coordinator.refused["state.replayed"] == 2


# --- Results ---------------------------------------------------------------------------------


def result(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what a host would answer to a request."""
    return {
        "id": body["id"],
        "session": body["session"],
        "controller": body["controller"],
        "status": "done",
        "reason": "",
        "detail": "",
        "time": body["time"],
        "dry_run": False,
    } | changes


type Answer = Callable[[str, str, dict[str, Any]], str]

RESULTS: dict[str, tuple[Answer, str | None]] = {
    "bare": (lambda _t, _c, body: dump(body), "unsigned"),
    "another secret": (lambda t, c, body: as_host(b"x" * 32, c, t, body), "bad_signature"),
    "another command": (
        lambda _t, c, body: as_host(SECRET, c, f"{BASE}/result/power.suspend", body),
        "bad_signature",
    ),
    "another host": (
        lambda t, c, body: seal(
            t, dump(body), {c: derive(c, SECRET, PREFIX, "another-host").report}
        ),
        "bad_signature",
    ),
    "another controller": (
        lambda t, c, body: as_host(SECRET, c, t, body | {"controller": "0" * 16}),
        None,
    ),
    "another request": (
        lambda t, c, body: as_host(SECRET, c, t, body | {"id": "0" * 16}),
        None,
    ),
    "no status": (lambda t, c, body: as_host(SECRET, c, t, body | {"status": "ok"}), "status"),
    "no time": (lambda t, c, body: as_host(SECRET, c, t, body | {"time": "now"}), "time"),
    "no text": (lambda t, c, body: as_host(SECRET, c, t, body | {"detail": 1}), "detail"),
    "no counter": (lambda t, c, body: as_host(SECRET, c, t, body | {"counter": -1}), "counter"),
    "not json": (lambda _t, _c, _b: "{", "unsigned"),
}


@pytest.mark.parametrize("attack", sorted(RESULTS))
async def test_spoofed_results(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    attack: str,
) -> None:
    """The user is not told that a host obeyed which did not."""
    forge, kind = RESULTS[attack]

    def answer(topic: str, payload: bytes) -> None:
        body = json.loads(json.loads(payload)["body"])
        said = topic.replace("/command/", "/result/")
        bus.fire(said, forge(said, body["controller"], result(body)))

    bus.listeners[:] = [answer]
    with pytest.raises(HomeAssistantError) as error:
        await coordinator.commands.async_do("session.lock")

    assert error.value.translation_key == "no_answer"
    refused = {name: n for name, n in coordinator.refused.items() if name.startswith("result.")}
    assert refused == ({} if kind is None else {f"result.{kind}": 3})


async def test_a_reflected_command_is_no_result(
    coordinator: PilotCoordinator, bus: FakeBroker
) -> None:
    """The keys of the two directions differ."""
    bus.listeners[:] = [
        lambda topic, payload: bus.fire(topic.replace("/command/", "/result/"), payload)
    ]
    with pytest.raises(HomeAssistantError, match="did not respond"):
        await coordinator.commands.async_do("session.lock")
    assert coordinator.refused["result.bad_signature"] == 3


async def test_a_retained_result_is_none(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Even a genuine one."""
    agent.bus = FakeBroker(bus.hass)
    agent.bus.fire = lambda topic, payload, **_: bus.fire(topic, payload, retain=True)  # type: ignore[method-assign]
    with pytest.raises(HomeAssistantError, match="did not respond"):
        await coordinator.commands.async_do("session.lock")
    # Home Assistant passes on what the broker has kept only once.
    assert coordinator.refused["result.retained"] == 1


async def test_a_spoofed_refusal_does_not_hide_the_answer(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """An attacker says `not_paired` in the host's name, and is quicker."""

    def answer(topic: str, payload: bytes) -> None:
        body = json.loads(json.loads(payload)["body"])
        said = topic.replace("/command/", "/result/")
        bus.fire(said, dump(result(body, status="rejected", reason="not_paired")))

    bus.listeners.insert(0, answer)
    await coordinator.commands.async_do("session.lock")
    await hass.async_block_till_done()

    assert agent.done == ["session.lock"]
    assert not hass.config_entries.flow.async_progress_by_handler("pilot")


async def test_an_old_result_played_again(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """It answers nothing that is asked now, and moves no clock."""
    recorded: list[tuple[str, str]] = []
    say = agent.dispatcher._publish
    agent.dispatcher._publish = lambda *said: (recorded.append(said), say(*said))  # type: ignore[func-returns-value]
    await coordinator.commands.async_do("session.lock")
    bus.listeners[:] = [lambda _t, _p: bus.fire(*recorded[0])]
    with pytest.raises(HomeAssistantError, match="did not respond"):
        await coordinator.commands.async_do("session.lock")
    assert coordinator.commands.clock_difference is None


# --- Events ----------------------------------------------------------------------------------


async def test_spoofed_events(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    bus: FakeBroker,
    trust: TrustStore,
) -> None:
    """No automation runs because of an unsigned event that a session was locked."""
    topic = f"{BASE}/event/session"
    genuine = agent.happens("session", "locked")
    await hass.async_block_till_done()
    before = everything(hass)
    body = bare(genuine) | {"sequence": [2**40, 1], "type": "unlocked"}
    for payload in (
        dump(body),
        as_host(b"x" * 32, trust.controller, topic, body),
        as_host(SECRET, trust.controller, f"{BASE}/event/power", body),
        genuine,
        as_host(SECRET, trust.controller, topic, body | {"data": []}),
        as_host(SECRET, trust.controller, topic, body | {"data": {"a": "x" * 300}}),
        as_host(SECRET, trust.controller, topic, body | {"data": {"a": {}}}),
        as_host(SECRET, trust.controller, topic, body | {"sequence": 1}),
        dump(body | {"filler": "x" * 20_000}),
        "x" * 600_000,
    ):
        bus.fire(topic, payload)
        await hass.async_block_till_done()
    bus.fire(topic, agent.happening("session", "unlocked"), retain=True)
    await hass.async_block_till_done()

    assert everything(hass) == before
    assert {name: n for name, n in coordinator.refused.items() if name.startswith("event.")} == {
        "event.unsigned": 2,
        "event.bad_signature": 2,
        "event.replayed": 1,
        "event.data": 3,
        "event.sequence": 1,
        "event.size": 1,
        "event.retained": 1,
    }


async def test_a_replayed_event_after_a_restart(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> None:
    """What was heard yesterday is old today."""
    payload = agent.happens("session", "locked")
    await hass.async_block_till_done()
    await hass.config_entries.async_reload(paired.entry_id)
    agent.announce(retain=True)
    await hass.async_block_till_done()
    bus.fire(f"{BASE}/event/session", payload)
    await hass.async_block_till_done()

    assert paired.runtime_data.coordinator.refused["event.replayed"] == 1


# --- Pairing again ---------------------------------------------------------------------------


async def reauths(hass: HomeAssistant) -> list[Any]:
    """Return the questions to pair again, once all doubts are settled."""
    await hass.async_block_till_done(wait_background_tasks=True)
    flows = hass.config_entries.flow.async_progress_by_handler("pilot")
    return [flow for flow in flows if flow["context"]["source"] == SOURCE_REAUTH]


async def wait_for_doubt(hass: HomeAssistant) -> None:
    """Let the delay of a suspicion pass, and wait for what is made of the host's answer."""
    await hass.async_block_till_done()
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=auth.DOUBT_DELAY))
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_a_host_that_answers_is_not_doubted(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """An announce came without a signature; the host is asked, and proves itself."""
    bus.fire(ANNOUNCE_TOPIC, dump(bare(agent.announcement())))
    await wait_for_doubt(hass)

    assert await reauths(hass) == []
    assert agent.audit[-1]["key"] == "trust.verify"
    assert agent.audit[-1]["status"] == "done"


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lambda agent, _: agent.reinstall(), "host_forgot"),
        (
            lambda agent, trust: (
                agent.ring.add("0" * 16, "Other", b"o" * 32),
                agent.ring.revoke(trust.controller),
            ),
            "host_revoked",
        ),
        (
            lambda agent, trust: agent.ring.add(trust.controller, "Home", b"o" * 32),
            "host_other_key",
        ),
    ],
)
async def test_a_host_that_lost_its_keys(
    hass: HomeAssistant,
    coordinator: PilotCoordinator,
    agent: FakeAgent,
    trust: TrustStore,
    lose: Callable[[FakeAgent, TrustStore], None],
    reason: str,
    tmp_path: Path,
) -> None:
    """The user is asked to pair again, and told why; until then nothing is believed."""
    lose(agent, trust)
    agent.announce()
    await wait_for_doubt(hass)

    [flow] = await reauths(hass)
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["step_id"] == "reauth_confirm"
    assert form["errors"] == {"base": reason}


async def test_a_host_that_comes_back_with_its_key(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """The question is taken back: it was another client that spoke."""
    agent.silent = True
    bus.fire(ANNOUNCE_TOPIC, dump(bare(agent.announcement())))
    await wait_for_doubt(hass)
    assert len(await reauths(hass)) == 1

    agent.silent = False
    agent.announce()
    await hass.async_block_till_done()
    assert await reauths(hass) == []


async def test_a_command_for_a_host_without_our_key(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent
) -> None:
    """The host was installed anew while it was silent."""
    agent.reinstall()
    with pytest.raises(HomeAssistantError) as error:
        await coordinator.commands.async_do("session.lock")
    assert error.value.translation_key == "command_not_paired"

    await wait_for_doubt(hass)
    assert len(await reauths(hass)) == 1


async def test_without_a_broker_no_host_is_doubted(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Silence means nothing then."""
    bus.fire(ANNOUNCE_TOPIC, dump(bare(agent.announcement())))
    await hass.async_block_till_done()
    bus.broken = HomeAssistantError("gone")
    await wait_for_doubt(hass)
    assert await reauths(hass) == []


async def test_home_assistant_that_lost_its_keys(
    hass: HomeAssistant, paired: MockConfigEntry, trust: TrustStore
) -> None:
    """It was restored without them."""
    await trust.async_forget(HOST_ID)
    await hass.config_entries.async_reload(paired.entry_id)
    await wait_for_doubt(hass)
    [flow] = await reauths(hass)
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert form["errors"] == {"base": "lost_here"}


async def test_a_host_that_proves_itself_while_it_is_asked(
    hass: HomeAssistant, coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Its next announce says all there is to say, although it does not answer."""
    agent.silent = True
    bus.fire(ANNOUNCE_TOPIC, dump(bare(agent.announcement())))
    await hass.async_block_till_done()
    bus.listeners[:] = [lambda _t, _p: agent.announce()]
    await wait_for_doubt(hass)
    assert await reauths(hass) == []


async def test_a_host_that_never_has_the_right_session(
    coordinator: PilotCoordinator, agent: FakeAgent, bus: FakeBroker
) -> None:
    """Home Assistant does not run after it for ever."""
    sessions = iter(f"session{n}" for n in range(10))

    def answer(topic: str, payload: bytes) -> None:
        body = json.loads(json.loads(payload)["body"])
        said = topic.replace("/command/", "/result/")
        refusal = result(body, status="rejected", reason="wrong_session", session=next(sessions))
        bus.fire(said, as_host(SECRET, body["controller"], said, refusal))

    bus.listeners[:] = [answer]
    with pytest.raises(HomeAssistantError, match="restarted"):
        await coordinator.commands.async_do("session.lock")
    assert len(bus.published) == 3
