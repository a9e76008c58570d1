"""An attacker with the broker's admin login: reads, changes, holds back, repeats anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import derive
from companion_agent.protocol.topics import Separator
from support.agent_security import BASE, NOW, PREFIX, FakeController, PairedHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def nothing_was_done(world: PairedHost, reason: str) -> None:
    assert world.power.done == []
    assert world.last["reason"] == reason


# --- Forging ---------------------------------------------------------------------------------


def test_forge_without_a_key(world: PairedHost) -> None:
    body = world.home.body()
    for signature in ("0" * 64, "f" * 64):
        forged = dump({"protocol": 2, "body": body, "signatures": {world.home.id: signature}})
        world.send("power.shutdown", forged.encode())
        nothing_was_done(world, "bad_signature")


def test_forge_with_an_empty_key(world: PairedHost) -> None:
    forged = seal(f"{BASE}/command/power.shutdown", world.home.body(), {world.home.id: b""})
    world.send("power.shutdown", forged.encode())
    nothing_was_done(world, "bad_signature")


def test_a_fleet_key_that_is_not_configured_is_no_key(world: PairedHost) -> None:
    fleet = FakeController(key_id="fleet")
    world.send("power.shutdown", fleet.command("power.shutdown"))
    nothing_was_done(world, "not_paired")


def test_one_controller_cannot_speak_as_another(tmp_path: Path) -> None:
    world = PairedHost(tmp_path)
    guest = FakeController(id="0123456789abcdef", secret=bytes(range(1, 33)))
    world.ring.add(guest.id, "Guest", guest.secret)
    topic = f"{BASE}/command/trust.revoke"
    body = world.home.body()  # says that it is home
    world.send("trust.revoke", seal(topic, body, {guest.id: guest.keys.command}).encode())
    assert world.last["reason"] == "malformed"
    assert world.ring.ids == [world.home.id, guest.id]


def test_a_revoked_key_is_worth_nothing(world: PairedHost) -> None:
    world.ring.add("0123456789abcdef", "Guest", bytes(range(1, 33)))
    recorded = world.home.command("power.shutdown")
    world.ring.revoke(world.home.id)
    world.send("power.shutdown", recorded)
    assert world.power.done == []
    assert json.loads(json.loads(world.published[-1][1])["body"])["reason"] == "not_paired"


def test_a_result_sent_back_is_no_command(world: PairedHost) -> None:
    """The host's own signatures are of another key, also where the topic could be chosen."""
    world.call("power.lock")
    world.power.done.clear()
    world.clock.now += 1
    world.send("power.shutdown", world.published[-1][1].encode())
    nothing_was_done(world, "malformed")
    reflected = seal(
        f"{BASE}/command/power.shutdown", world.home.body(), {world.home.id: world.home.keys.report}
    )
    world.send("power.shutdown", reflected.encode())
    nothing_was_done(world, "bad_signature")


# --- Changing --------------------------------------------------------------------------------


@given(st.data())
def test_no_changed_byte_goes_unnoticed(tmp_path_factory: Any, data: st.DataObject) -> None:
    world = PairedHost(tmp_path_factory.mktemp("state"))
    payload = bytearray(world.home.command("power.shutdown", {"delay": 60}))
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    world.send("power.shutdown", bytes(payload))
    genuine = json.loads(world.home.command("power.shutdown"))
    try:
        same = json.loads(bytes(payload).decode()).keys() >= genuine.keys()
    except ValueError:
        same = False
    # White space around the fields may change; what is signed may not.
    assert not world.power.done or (
        same and world.power.done == [("power.shutdown", {"delay": 60})]
    )


@given(st.integers(0, 400))
def test_truncated(tmp_path_factory: Any, length: int) -> None:
    world = PairedHost(tmp_path_factory.mktemp("state"))
    payload = world.home.command("power.shutdown")
    world.send("power.shutdown", payload[: min(length, len(payload) - 1)])
    nothing_was_done(world, "malformed")


def test_swap_the_host(world: PairedHost) -> None:
    """The same Home Assistant, even the same secret: a fleet's other host does not obey."""
    world.send("power.shutdown", world.home.command("power.shutdown", host="another-host"))
    nothing_was_done(world, "bad_signature")
    other = derive(world.home.id, world.home.secret, PREFIX, "another-host")
    topic = f"{BASE}/command/power.shutdown"
    world.send(
        "power.shutdown", seal(topic, world.home.body(), {world.home.id: other.command}).encode()
    )
    nothing_was_done(world, "bad_signature")


@pytest.mark.parametrize(
    ("signed", "played"), [(Separator.DOT, Separator.COLON), (Separator.COLON, Separator.DOT)]
)
def test_swap_the_form_of_the_topic(
    world: PairedHost, signed: Separator, played: Separator
) -> None:
    """A command is worth nothing on the other topic of its key: neither new nor recorded."""
    command = world.home.command("power.shutdown", separator=signed)

    world.send(f"power{played}shutdown", command)
    nothing_was_done(world, "bad_signature")

    world.send(f"power{signed}shutdown", command)
    world.send(f"power{played}shutdown", command)
    assert world.last["reason"] == "bad_signature"
    assert len(world.power.done) == 1


@pytest.mark.parametrize(
    ("first", "second"), [(Separator.DOT, Separator.COLON), (Separator.COLON, Separator.DOT)]
)
def test_both_forms_of_a_topic_share_their_counter(
    world: PairedHost, first: Separator, second: Separator
) -> None:
    held_back = world.home.command("power.shutdown", separator=first)
    world.send(f"power{second}lock", world.home.command("power.lock", separator=second))
    world.power.done.clear()

    world.send(f"power{first}shutdown", held_back)

    nothing_was_done(world, "replayed")


def test_swap_the_command(world: PairedHost) -> None:
    world.send("power.shutdown", world.home.command("power.lock"))
    nothing_was_done(world, "bad_signature")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace("3600", "0"),
        lambda body: body.replace('"delay":3600', '"delay":3600,"delay":0'),
        lambda body: body + " ",
    ],
)
def test_swap_the_arguments(world: PairedHost, change: Callable[[str], str]) -> None:
    envelope = json.loads(world.home.command("power.shutdown", {"delay": 3600}))
    envelope["body"] = change(envelope["body"])
    world.send("power.shutdown", dump(envelope).encode())
    nothing_was_done(world, "bad_signature")


# --- Repeating, reordering, delaying ---------------------------------------------------------


def test_replay_in_the_same_session(world: PairedHost) -> None:
    recorded = world.home.command("power.shutdown")
    for _ in range(10):
        world.send("power.shutdown", recorded)
    assert len(world.power.done) == 1


def test_a_new_wrapping_of_a_recorded_body_is_still_the_same_request(world: PairedHost) -> None:
    """Otherwise the controller could be told that what was done had been refused."""
    recorded = world.home.command("power.shutdown")
    world.send("power.shutdown", recorded)
    world.send("power.shutdown", json.dumps(json.loads(recorded), indent=4).encode())
    assert [world.home.read(*result)["status"] for result in world.published] == ["done", "done"]
    assert len(world.power.done) == 1


def test_replay_after_the_agent_started_again(world: PairedHost) -> None:
    recorded = world.home.command("power.shutdown")
    world.send("power.shutdown", recorded)
    again = PairedHost(world.folder, session="0000000000000001")
    again.send("power.shutdown", recorded)
    nothing_was_done(again, "wrong_session")


def test_replay_what_yesterdays_session_never_saw(world: PairedHost) -> None:
    held_back = world.home.command("power.shutdown")
    world.clock.now += 86400
    again = PairedHost(world.folder, session="0000000000000001")
    again.clock.now = world.clock.now
    again.send("power.shutdown", held_back)
    nothing_was_done(again, "wrong_session")


def test_replay_after_home_assistant_started_again(world: PairedHost) -> None:
    recorded = world.home.command("power.shutdown")
    world.send("power.shutdown", recorded)
    later = FakeController(counter=int((NOW + 20) * 1000))
    world.send("power.lock", later.command("power.lock"))
    for index in range(300):
        world.send("power.explode", later.command("power.explode", id=f"{index:016x}"))
    world.power.done.clear()
    world.send("power.shutdown", recorded)
    nothing_was_done(world, "replayed")


def test_reorder(world: PairedHost) -> None:
    first = world.home.command("power.shutdown")
    second = world.home.command("power.lock")
    world.send("power.lock", second)
    world.power.done.clear()
    world.send("power.shutdown", first)
    nothing_was_done(world, "replayed")


def test_delay(world: PairedHost) -> None:
    held_back = world.home.command("power.shutdown")
    world.clock.now += 31
    world.send("power.shutdown", held_back)
    nothing_was_done(world, "too_old")


def test_a_command_from_the_future_does_not_ripen(world: PairedHost) -> None:
    """A clock that is an hour ahead signs; an hour later the attacker sends it again."""
    recorded = world.home.command("power.shutdown", time=NOW + 3600)
    world.send("power.shutdown", recorded)
    nothing_was_done(world, "too_old")
    for index in range(300):  # until the answer is forgotten
        world.send("power.explode", world.home.command("power.explode", id=f"{index:016x}"))
    world.clock.now += 3600
    world.send("power.shutdown", recorded)
    nothing_was_done(world, "replayed")


def test_a_clock_that_was_set_back_is_told_where_to_go_on(world: PairedHost) -> None:
    world.call("power.lock", counter=9_000_000_000_000)
    refused = world.call("power.lock")
    assert (refused["reason"], refused["counter"]) == ("replayed", 9_000_000_000_000)
    assert world.call("power.lock", counter=refused["counter"] + 1)["status"] == "done"


def test_strangers_cannot_move_counter_or_session(world: PairedHost) -> None:
    impostor = FakeController(secret=bytes(32), counter=2**52)
    world.send("power.lock", impostor.command("power.lock"))
    world.send("power.lock", impostor.command("power.lock", session="0000000000000000"))
    assert world.call("power.lock")["status"] == "done"


def test_retained_commands_do_not_run_at_every_start(world: PairedHost) -> None:
    recorded = world.home.command("power.shutdown")
    for session in ("0000000000000001", world.session):
        again = PairedHost(world.folder, session=session)
        again.send("power.shutdown", recorded, retained=True)
        nothing_was_done(again, "retained")


# --- Flooding --------------------------------------------------------------------------------


def flood(world: PairedHost, payloads: list[bytes], seconds: int) -> None:
    """Send a thousand messages a second."""
    for number in range(seconds * 1000):
        world.clock.now += 0.001
        world.send("power.shutdown", payloads[number % len(payloads)])


def test_a_flood_of_garbage_is_answered_five_times_a_second_and_recorded_as_a_sum(
    world: PairedHost,
) -> None:
    flood(world, [b"garbage"], 10)
    assert len(world.published) <= 5 + 5 * 10
    assert len(world.lines) == 10
    assert world.dispatcher.refused == {"malformed": 10_000}
    world.audit.close()
    assert world.lines[-1]["event"] == "suppressed"
    assert world.lines[-1]["reasons"] == {"malformed": 9_990}


def test_a_flood_of_recorded_messages_is_no_better(world: PairedHost) -> None:
    world.call("power.lock", counter=10**15)
    recorded = [world.home.command("power.lock", counter=number) for number in range(1, 500)]
    recorded += [world.home.command("power.lock", session="0000000000000000")]
    before = len(world.lines)
    flood(world, recorded, 5)
    assert len(world.published) <= 1 + 5 + 5 * 5
    assert len(world.lines) == before + 10


def test_during_a_flood_home_assistant_is_heard(world: PairedHost) -> None:
    flood(world, [b"garbage"], 1)
    assert world.call("power.lock", time=world.clock.now)["status"] == "done"
    assert world.lines[-1]["status"] == "done"


@pytest.mark.parametrize(
    "key", ["", "power", "POWER.OFF", "power.off\n", "a." * 65 + "a", "power.ö"]
)
def test_nonsense_for_a_key_is_recorded_and_not_answered(world: PairedHost, key: str) -> None:
    world.send(key, world.home.command("power.lock"))
    assert world.published == []
    assert world.lines[-1]["reason"] == "malformed"


def test_names_and_arguments_cannot_forge_lines_of_the_record(world: PairedHost) -> None:
    world.call("power.shutdown", {"delay": '60"}\n{"time": "2026", "event": "paired"}'})
    assert [line["event"] for line in world.lines] == ["command"]
