"""An attacker with the administrator's login of the broker tries to command a host.

Every test ends with the host's own Home Assistant, whose command is obeyed as if nothing were.
"""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from security.controller import FakeController, Said, sign, wrap
from security.victim import LOCK, SHUTDOWN

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from security.attacker import Attacker
    from security.conftest import MakeVictim
    from security.victim import Victim

# -- forging ---------------------------------------------------------------------------------


def test_own_home_assistant_is_obeyed(victim: Victim) -> None:
    """Else all that follows would prove nothing."""
    result = victim.hears(victim.command(SHUTDOWN))

    assert result == ("done", "")
    assert victim.machine.orders() == ["PowerOff"]


@pytest.mark.parametrize("payload", [b"", b"PRESS", b"ON", b"shutdown", b'{"delay": 0}', b"\xff"])
def test_what_other_agents_obey_is_malformed(victim: Victim, payload: bytes) -> None:
    result = victim.hears(Said(victim.topic(f"command/{SHUTDOWN}"), payload))

    assert result == ("rejected", "malformed")
    assert victim.did_nothing()
    assert victim.refusals()["malformed"] == 1


def test_forge_as_an_unpaired_controller(victim: Victim) -> None:
    stranger = FakeController(victim.id)

    result = victim.hears(victim.command(SHUTDOWN, by=stranger))

    assert result == ("rejected", "not_paired")
    assert victim.did_nothing()
    assert victim.refusals()["not_paired"] == 1


def test_forge_as_the_home_assistant_that_is_paired(victim: Victim) -> None:
    """Its id is no secret: every announce names it."""
    [known] = victim.announce["trust"]["controllers"]
    impostor = FakeController(victim.id, id=known)

    result = victim.hears(victim.command(SHUTDOWN, by=impostor))

    assert result == ("rejected", "bad_signature")
    assert victim.did_nothing()
    assert victim.refusals()["bad_signature"] == 1


def test_forge_with_the_fleet_key_of_another_house(victim: Victim) -> None:
    body = victim.home.body(victim.session)
    topic = victim.topic(f"command/{SHUTDOWN}")

    result = victim.hears(Said(topic, wrap(body, {"fleet": sign(b"fleet", topic, body)})))

    assert result == ("rejected", "not_paired")
    assert victim.did_nothing()


def test_forge_with_what_the_host_has_signed_itself(victim: Victim) -> None:
    """A host's own signatures are made with another key."""
    topic = victim.topic(f"command/{SHUTDOWN}")
    announce = victim.attacker.newest(victim.topic("announce"))
    body = victim.home.body(victim.session)
    reflected = {victim.home.id: sign(victim.home.report_key, topic, body)}

    results = [
        victim.hears(Said(topic, announce.payload)),
        victim.hears(Said(topic, wrap(body, reflected))),
    ]

    assert [result.reason for result in results] == ["malformed", "bad_signature"]
    assert victim.did_nothing()


# -- changing --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 20, 80, 200, -1])
def test_truncate(victim: Victim, length: int) -> None:
    held_back = victim.command(SHUTDOWN)

    result = victim.hears(held_back._replace(payload=held_back.payload[:length]))

    assert result == ("rejected", "malformed")
    assert victim.did_nothing()
    assert victim.refusals()["malformed"] == 1


def test_swap_the_command(victim: Victim) -> None:
    harmless = victim.command(LOCK)

    result = victim.hears(harmless._replace(topic=victim.topic(f"command/{SHUTDOWN}")))

    assert result == ("rejected", "bad_signature")
    assert victim.did_nothing()
    assert victim.refusals()["bad_signature"] == 1


def test_swap_the_host(make_victim: MakeVictim) -> None:
    """Even when both hosts were paired with one secret, as a fleet is."""
    one, other = make_victim(), make_victim(paired=False, start=False)
    other.home.id, other.home.secret = one.home.id, one.home.secret
    other.home.pair_long_ago(other.state)
    other.start()
    meant_for_one = one.command(SHUTDOWN, session=other.session)

    result = other.hears(meant_for_one._replace(topic=other.topic(f"command/{SHUTDOWN}")))

    assert result == ("rejected", "bad_signature")
    assert one.did_nothing()
    assert other.did_nothing()
    assert other.refusals()["bad_signature"] == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.replace("3600", "0"), id="another value"),
        pytest.param(lambda body: body.replace("3600", '3600, "delay": 0'), id="a second value"),
        pytest.param(lambda body: body.replace('"delay"', '"dela\\u0079"'), id="spelled anew"),
        pytest.param(lambda body: f"{body} ", id="a space"),
        pytest.param(lambda body: json.dumps(json.loads(body) | {"args": {}}), id="none"),
    ],
)
def test_swap_the_arguments(victim: Victim, change: Callable[[str], str]) -> None:
    held_back = victim.command(SHUTDOWN, {"delay": 3600})
    envelope = json.loads(held_back.payload)

    changed = json.dumps(envelope | {"body": change(envelope["body"])}).encode()
    result = victim.hears(held_back._replace(payload=changed))

    assert result == ("rejected", "bad_signature")
    assert victim.did_nothing()
    assert victim.refusals()["bad_signature"] == 1


# -- repeating -------------------------------------------------------------------------------


def test_replay_in_the_same_session(victim: Victim, attacker: Attacker) -> None:
    """A repeat gets the result that there was, and does nothing."""
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)

    for _ in range(20):
        attacker.say(recorded)
    assert victim.obeys()

    assert victim.machine.orders() == ["PowerOff", "LockSession"]
    results = {m.payload for m in attacker.heard(victim.topic(f"result/{SHUTDOWN}"))}
    assert len(results) == 1


def test_replay_in_a_new_wrapping(victim: Victim) -> None:
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)

    envelope = json.loads(recorded.payload)
    result = victim.hears(recorded._replace(payload=json.dumps(envelope, indent=4).encode()))

    assert result == ("done", "")
    assert victim.obeys()
    assert victim.machine.orders() == ["PowerOff", "LockSession"]


def test_replay_after_the_agent_has_forgotten_its_answer(victim: Victim) -> None:
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)
    victim.machine.forget()
    for _ in range(300):
        victim.attacker.say(victim.command("test.other"))

    result = victim.hears(recorded)

    assert result == ("rejected", "replayed")
    assert victim.did_nothing()
    assert victim.refusals()["replayed"] == 1


def test_replay_after_the_agent_has_started_again(victim: Victim) -> None:
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)
    victim.machine.forget()
    victim.restart()

    result = victim.hears(recorded)

    assert result == ("rejected", "wrong_session")
    assert victim.did_nothing()
    assert victim.refusals()["wrong_session"] == 1


def test_replay_after_the_agent_was_killed(victim: Victim) -> None:
    """Nothing that must survive is written only at an orderly end."""
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)
    victim.machine.forget()
    victim.agent.kill()
    victim.start()

    result = victim.hears(recorded)

    assert result == ("rejected", "wrong_session")
    assert victim.did_nothing()


def test_replay_after_home_assistant_has_started_again(victim: Victim) -> None:
    """Its counter begins with its clock, and the host remembers the last one."""
    recorded = victim.command(SHUTDOWN)
    victim.hears(recorded)
    victim.machine.forget()
    victim.home._counter = 0  # It keeps none; only its clock goes on.
    assert victim.obeys()
    victim.machine.forget()
    for _ in range(300):
        victim.attacker.say(victim.command("test.other"))

    result = victim.hears(recorded)

    assert result == ("rejected", "replayed")
    assert victim.did_nothing()


YESTERDAY = time.time() - 86_400


def test_replay_what_was_recorded_yesterday(victim: Victim) -> None:
    """Before today's start of the agent, before today's first command, or after it."""
    old: dict[str, Any] = {"time": YESTERDAY, "counter": int(YESTERDAY * 1000)}
    of_yesterdays_start = victim.command(SHUTDOWN, session="0123456789abcdef", **old)
    heard_yesterday = victim.command(SHUTDOWN, **old)
    never_heard = victim.command(SHUTDOWN, time=YESTERDAY)

    results = [victim.hears(said) for said in (of_yesterdays_start, heard_yesterday, never_heard)]

    assert [result.reason for result in results] == ["wrong_session", "replayed", "too_old"]
    assert victim.did_nothing()
    assert all(victim.refusals()[result.reason] == 1 for result in results)


def test_reorder(victim: Victim) -> None:
    first, second = victim.command(SHUTDOWN), victim.command(LOCK)
    victim.hears(second)
    victim.machine.forget()

    result = victim.hears(first)

    assert result == ("rejected", "replayed")
    assert victim.did_nothing()
    assert victim.refusals()["replayed"] == 1


def test_hold_back_for_half_a_minute(victim: Victim) -> None:
    held_back = victim.command(SHUTDOWN, time=time.time() - 31)

    result = victim.hears(held_back)

    assert result == ("rejected", "too_old")
    assert victim.did_nothing()
    assert victim.refusals()["too_old"] == 1


def test_hold_back_what_a_fast_clock_has_signed_until_it_is_time(victim: Victim) -> None:
    in_an_hour = victim.command(SHUTDOWN, time=time.time() + 3600)
    first = victim.hears(in_an_hour)
    for _ in range(300):
        victim.attacker.say(victim.command("test.other"))

    again = victim.hears(in_an_hour)

    assert (first.reason, again.reason) == ("too_old", "replayed")
    assert victim.did_nothing()


# -- retaining -------------------------------------------------------------------------------


def test_retain_for_the_next_start(victim: Victim) -> None:
    """Elsewhere a machine shuts down at every boot because of one such message."""
    kept = victim.command(SHUTDOWN)
    victim.agent.stop()
    victim.attacker.say(kept, retain=True)

    victim.start()

    try:
        wait_for(lambda: victim.refusals()["retained"] == 1, "the refusal")
        assert victim.did_nothing()
    finally:
        victim.attacker.say(Said(kept.topic, b""), retain=True)


def test_retain_while_the_agent_listens(victim: Victim) -> None:
    """Who listens already gets it as any other message; it acts once, and never again."""
    kept = victim.command(SHUTDOWN)
    try:
        victim.attacker.say(kept, retain=True)
        wait_for(victim.machine.orders, "the order")
        victim.machine.forget()

        victim.restart()

        wait_for(lambda: victim.refusals()["retained"] == 1, "the refusal")
        assert victim.did_nothing()
    finally:
        victim.attacker.say(Said(kept.topic, b""), retain=True)


# -- flooding --------------------------------------------------------------------------------


def test_flood_with_garbage(victim: Victim, attacker: Attacker) -> None:
    began = time.monotonic()
    for number in range(5_000):
        attacker.say(Said(victim.topic(f"command/{SHUTDOWN}"), b"garbage %d" % number))

    assert victim.did_nothing()

    took = time.monotonic() - began
    answers = attacker.heard(victim.topic(f"result/{SHUTDOWN}"), began)
    assert len(answers) <= 5 + 5 * took + 1
    assert len(victim.record()) < 30, "a flood must not push commands out of the record"
    victim.agent.stop()
    assert victim.refusals()["malformed"] == 5_000


def test_flood_with_recorded_commands(victim: Victim, attacker: Attacker) -> None:
    recorded = [victim.command("test.other") for _ in range(300)]
    victim.attacker.say(*recorded)
    assert victim.obeys()
    victim.machine.forget()
    lines = len(victim.record())

    began = time.monotonic()
    for _ in range(10):
        attacker.say(*recorded[:40])

    assert victim.did_nothing()
    took = time.monotonic() - began
    answers = attacker.heard(victim.topic("result/test.other"), began)
    assert len(answers) <= 5 + 5 * took + 1
    assert len(victim.record()) <= lines + 12
    victim.agent.stop()
    assert victim.refusals()["replayed"] == 400


def test_flood_with_giants(victim: Victim, attacker: Attacker) -> None:
    deep = b'{"body":' * 20_000 + b"1" + b"}" * 20_000
    for payload in (b"[" * 1_000_000, deep, b"\0" * 5_000_000, b'{"a":1e999}'):
        for below in (f"command/{SHUTDOWN}", "announce", "availability"):
            attacker.say(Said(victim.topic(below), payload))

    assert victim.did_nothing()
    assert victim.agent.process.running


def test_flood_of_topics(victim: Victim, attacker: Attacker) -> None:
    for number in range(2_000):
        attacker.say(Said(victim.topic(f"command/{'x' * (number % 300)}.{number}"), b"{}"))

    assert victim.did_nothing()


# -- what the agent listens to besides commands -----------------------------------------------


def test_no_client_sends_a_host_away_by_a_conflict(victim: Victim, attacker: Attacker) -> None:
    """A clone of a host makes way for it; a client that only claims to be one has no key."""
    pretended = {
        **victim.announce,
        "session": "0000000000000001",
        "conflict": {"session": victim.session, "name": "office-pc"},
    }
    attacker.say(Said(victim.topic("announce"), json.dumps(pretended).encode()))

    assert victim.did_nothing()
    assert victim.says(attacker.newest(victim.topic("availability"))) == "online"


def test_spoofed_good_bye_is_contradicted(victim: Victim, attacker: Attacker) -> None:
    begin = time.monotonic()
    attacker.say(Said(victim.topic("availability"), b"off"), retain=True)

    attacker.wait_for(
        victim.topic("availability"), lambda heard: victim.says(heard) == "online", since=begin
    )
    assert victim.did_nothing()
    told = victim.ask("trust.verify")["refused"]
    assert told["availability.foreign"] == 1


# -- what is heard ----------------------------------------------------------------------------


def test_no_secret_crosses_the_broker(victim: Victim, attacker: Attacker) -> None:
    victim.hears(victim.command(SHUTDOWN))
    victim.restart()

    secret = victim.home.secret
    keys = (secret, victim.home.command_key, victim.home.report_key)
    told = b"".join(heard.payload for heard in attacker.heard())
    for key in keys:
        for written in (key, key.hex().encode(), base64.b64encode(key)):
            assert written not in told
    assert secret.hex() not in victim.agent.process.log.read_text()
    assert base64.b64encode(secret).decode() not in victim.agent.process.log.read_text()


def test_allowlist_is_local(make_victim: MakeVictim) -> None:
    """Not even the Home Assistant that is paired can widen what the configuration allows."""
    victim = make_victim(commands={"allow": ["session.*"], "deny": ["session.log_out"]})

    results = [victim.hears(victim.command(key)) for key in (SHUTDOWN, "session.log_out")]

    assert results == [("rejected", "not_allowed")] * 2
    assert victim.did_nothing()
    offered = [command["key"] for command in victim.announce["commands"]]
    assert offered == [LOCK]


def test_dry_run_does_nothing(make_victim: MakeVictim) -> None:
    victim = make_victim(commands={"dry_run": True})

    result: Any = victim.hears(victim.command(SHUTDOWN))

    assert result == ("done", "")
    assert victim.machine.orders() == []
    assert [line["dry_run"] for line in victim.record() if line["key"] == SHUTDOWN] == [True]


def test_host_that_is_not_paired_obeys_no_client(make_victim: MakeVictim) -> None:
    victim = make_victim(start=False, paired=False)
    victim.agent.start()
    victim.attacker.wait_for(victim.topic("announce"))
    topic = victim.topic(f"command/{SHUTDOWN}")
    begin = time.monotonic()

    def refused() -> bool:
        victim.attacker.say(victim.home.command(SHUTDOWN, victim.session), Said(topic, b"{}"))
        return bool(victim.attacker.heard(victim.topic(f"result/{SHUTDOWN}"), begin))

    wait_for(refused, "the refusal")

    assert victim.machine.orders() == []
    assert victim.refusals()["not_paired"] >= 1
