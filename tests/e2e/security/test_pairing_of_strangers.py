"""An attacker with the administrator's login of the broker tries to be paired with a host."""

from __future__ import annotations

import base64
from contextlib import contextmanager
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from security.controller import FakePairingController, Said
from security.victim import LOCK, SHUTDOWN, Code

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from security.attacker import Attacker
    from security.conftest import MakeVictim
    from security.victim import Victim


@contextmanager
def code_on(victim: Victim) -> Iterator[Code]:
    """Call `pilot-agent pair` at a host."""
    code = Code.on(victim.agent)
    try:
        yield code
    finally:
        code.cancel()


def answer_to(victim: Victim, said: Said) -> dict[str, Any]:
    """Publish a `request` or `confirm`, and return what the host answers."""
    begin = time.monotonic()
    victim.attacker.say(said, qos=1)
    base, _, kind = said.topic.rpartition("/")
    answers = {"request": "answer", "confirm": "result"}
    return victim.attacker.wait_for(f"{base}/{answers[kind]}", since=begin).body


def try_to_pair(victim: Victim, pairing: FakePairingController) -> dict[str, Any]:
    """Go through a pairing, and return the host's last word."""
    answer = answer_to(victim, pairing.request())
    if "error" in answer:
        return answer
    return answer_to(victim, pairing.confirm(json.dumps(answer).encode()))


def only_trusts_its_own(victim: Victim) -> bool:
    """Tell whether no controller was added to those that a host trusts."""
    listed = victim.agent.run("pair", "list")
    return (
        victim.home.id in listed
        and len(listed.splitlines()) == 1
        and victim.announce["trust"]["controllers"] == [victim.home.id]
        and victim.did_nothing()
    )


def test_who_knows_the_code_is_paired(victim: Victim) -> None:
    """Else all that follows would prove nothing."""
    with code_on(victim) as code:
        pairing = FakePairingController(victim.id, code.digits, name="Guest")
        result = try_to_pair(victim, pairing)
        assert "Guest" in code.end()

    assert pairing.believes(json.dumps(result).encode())
    assert victim.hears(victim.command(LOCK, by=pairing.home())) == ("done", "")
    assert {line["event"] for line in victim.record()} >= {"paired"}


def test_pair_while_no_code_is_shown(victim: Victim) -> None:
    results = [
        try_to_pair(victim, FakePairingController(victim.id, f"{code:08d}")) for code in range(3)
    ]

    assert {result["error"] for result in results} == {"no_code"}
    assert only_trusts_its_own(victim)
    victim.agent.process.wait_for_output("asks to pair with this host")


def test_guess_codes(victim: Victim) -> None:
    with code_on(victim) as code:
        guesses = [
            try_to_pair(victim, FakePairingController(victim.id, code.wrong(n)))
            for n in range(1, 6)
        ]
        too_late = try_to_pair(victim, FakePairingController(victim.id, code.digits))

        assert [guess["error"] for guess in guesses] == ["wrong_code"] * 5
        assert [guess["left"] for guess in guesses] == [4, 3, 2, 1, 0]
        assert too_late["error"] == "burned"
        assert "Five wrong tries" in code.end()
    assert only_trusts_its_own(victim)


def test_guessed_codes_are_counted(victim: Victim) -> None:
    with code_on(victim) as code:
        for number in range(1, 4):
            try_to_pair(victim, FakePairingController(victim.id, code.wrong(number)))

    assert victim.refusals()["wrong_code"] == 3


def test_ask_and_ask_without_ever_guessing(victim: Victim) -> None:
    """An answer says nothing about the code, and each costs one of five all the same."""
    with code_on(victim) as code:
        stranger = FakePairingController(victim.id, code.wrong())
        answers = []
        for _ in range(6):
            again = FakePairingController(victim.id, code.wrong(), id=stranger.id)
            answers.append(answer_to(victim, again.request()))

        assert ["message" in answer for answer in answers] == [True] * 5 + [False]
        assert answers[-1]["error"] == "burned"
    assert only_trusts_its_own(victim)


def test_flood_of_requests(victim: Victim, attacker: Attacker) -> None:
    with code_on(victim) as code:
        began = time.monotonic()
        attacker.say(*(FakePairingController(victim.id, "00000000").request() for _ in range(3)))
        for number in range(500):
            attacker.say(Said(victim.topic(f"pair/{number:016x}/request"), b"{}"))

        assert victim.did_nothing()
        took = time.monotonic() - began
        answers = [m for m in attacker.heard(since=began) if m.topic.endswith("/answer")]
        assert len(answers) <= 10 + 5 * took + 1
        assert code.process.running
    assert only_trusts_its_own(victim)


def test_retained_request_is_not_answered(victim: Victim, attacker: Attacker) -> None:
    kept = FakePairingController(victim.id, "00000000").request()
    attacker.say(kept, retain=True)
    attacker.wait_for(kept.topic.replace("/request", "/answer"))
    try:
        victim.restart()
        begin = time.monotonic()

        assert victim.did_nothing()
        assert not attacker.heard(kept.topic.replace("/request", "/answer"), begin)
    finally:
        attacker.say(Said(kept.topic, b""), retain=True)


# -- between the two --------------------------------------------------------------------------


class Between:
    """A man in the middle: what the Home Assistant says reaches the host through him alone.

    Args:
        victim: The host.
        code: What its owner reads and types.
    """

    def __init__(self, victim: Victim, code: Code) -> None:
        self.victim = victim
        self.owner = FakePairingController(victim.id, code.digits)

    def passes_on(self, said: Said, **changes: Any) -> dict[str, Any]:
        """Hand on what the owner's Home Assistant says, changed, and return the answer."""
        changed = json.dumps(json.loads(said.payload) | changes).encode()
        return answer_to(self.victim, said._replace(payload=changed))


@pytest.fixture
def code(victim: Victim) -> Iterator[Code]:
    """Return a code that is shown on the host."""
    with code_on(victim) as code:
        yield code


def test_in_the_middle_with_another_name(victim: Victim, code: Code) -> None:
    """The name that people read in the host's list is that which the owner sent."""
    middle = Between(victim, code)

    answer = middle.passes_on(middle.owner.request(), name="Mallory")
    result = middle.passes_on(middle.owner.confirm(json.dumps(answer).encode()))

    assert result["error"] == "wrong_code"
    assert only_trusts_its_own(victim)


def test_in_the_middle_with_an_own_message_for_the_host(victim: Victim, code: Code) -> None:
    middle = Between(victim, code)
    own = FakePairingController(victim.id, code.wrong(), id=middle.owner.id)

    answer = middle.passes_on(
        middle.owner.request(),
        attempt=own.attempt,
        message=json.loads(own.request().payload)["message"],
    )
    confirmed = answer_to(victim, own.confirm(json.dumps(answer).encode()))

    assert confirmed["error"] == "wrong_code"
    assert only_trusts_its_own(victim)


def test_in_the_middle_with_an_own_message_for_the_owner(victim: Victim, code: Code) -> None:
    """The owner's proof, made for the man in the middle, is none to the host."""
    middle = Between(victim, code)
    answer = middle.passes_on(middle.owner.request())
    own = base64.b64decode(
        json.loads(FakePairingController(victim.id, "00000000").request().payload)["message"]
    )
    pretended = answer | {"message": base64.b64encode(b"B" + own[1:]).decode()}

    result = middle.passes_on(middle.owner.confirm(json.dumps(pretended).encode()))

    assert result["error"] == "wrong_code"
    assert only_trusts_its_own(victim)


def test_in_the_middle_under_another_id(victim: Victim, code: Code) -> None:
    """An attacker who takes over a pairing for another id needs a proof for that id."""
    middle = Between(victim, code)
    mallory = "00000000deadbeef"
    said = middle.owner.request()

    answer = middle.passes_on(said._replace(topic=said.topic.replace(middle.owner.id, mallory)))
    proof = middle.owner.confirm(json.dumps(answer).encode())
    result = middle.passes_on(proof._replace(topic=proof.topic.replace(middle.owner.id, mallory)))

    assert result["error"] == "wrong_code"
    assert only_trusts_its_own(victim)


def test_in_the_middle_with_another_host(make_victim: MakeVictim) -> None:
    """The owner types the code of one host and would be paired with another."""
    one, other = make_victim(), make_victim()
    with code_on(other) as code:
        owner = FakePairingController(one.id, code.digits)
        said = owner.request()
        answer = answer_to(other, said._replace(topic=said.topic.replace(one.id, other.id)))
        proof = owner.confirm(json.dumps(answer).encode())
        result = answer_to(other, proof._replace(topic=proof.topic.replace(one.id, other.id)))

        assert result["error"] == "wrong_code"
    assert only_trusts_its_own(other)


def test_reflect_what_the_host_has_said(victim: Victim, code: Code) -> None:
    pairing = FakePairingController(victim.id, code.wrong())
    message = answer_to(victim, pairing.request())["message"]

    again = FakePairingController(victim.id, "00000000", id=pairing.id)
    answer = answer_to(victim, again.request(message=message))

    assert answer["error"] == "malformed"
    assert only_trusts_its_own(victim)


@pytest.mark.parametrize("point", [b"\x00" * 32, b"\x01" + b"\x00" * 31, b"\xff" * 32])
def test_points_that_would_make_the_key_known(victim: Victim, code: Code, point: bytes) -> None:
    message = base64.b64encode(b"A" + point).decode()

    answer = answer_to(
        victim, FakePairingController(victim.id, "00000000").request(message=message)
    )

    assert answer["error"] == "malformed"
    assert only_trusts_its_own(victim)


def test_replay_a_pairing_that_was_recorded(victim: Victim, attacker: Attacker) -> None:
    """The next code is another one, and so is the host's message."""
    with code_on(victim) as code:
        recorded = FakePairingController(victim.id, code.digits, name="Guest")
        answer = answer_to(victim, recorded.request())
        confirm = recorded.confirm(json.dumps(answer).encode())
        answer_to(victim, confirm)
        code.end()
    victim.agent.run("pair", "revoke", recorded.id)

    with code_on(victim):
        answer_to(victim, recorded.request())
        result = answer_to(victim, confirm)

    assert result["error"] == "wrong_code"
    assert only_trusts_its_own(victim)


def test_an_eavesdropper_cannot_command(victim: Victim, attacker: Attacker) -> None:
    """All that was said during a pairing does not bring forth its key."""
    with code_on(victim) as code:
        pairing = FakePairingController(victim.id, code.digits, name="Guest")
        try_to_pair(victim, pairing)
        code.end()

    told = b"".join(heard.payload for heard in attacker.heard())
    for secret in (pairing.secret, code.digits.encode(), pairing.home().command_key):
        assert secret not in told
        assert secret.hex().encode() not in told
        assert base64.b64encode(secret) not in told


# -- the end of trust -------------------------------------------------------------------------


def test_revoked_on_the_host(victim: Victim, attacker: Attacker) -> None:
    recorded = victim.command(SHUTDOWN)
    begin = time.monotonic()

    assert victim.home.id in victim.agent.run("pair", "revoke", victim.home.id)

    assert victim.hears(recorded) == ("rejected", "not_paired")
    assert victim.machine.orders() == []
    attacker.wait_for(
        victim.topic("announce"), lambda m: m.body["trust"]["controllers"] == [], since=begin
    )
    victim.agent.stop()
    assert "Not paired" in victim.agent.run("pair", "list")


def test_revoked_by_itself_and_by_no_other_client(make_victim: MakeVictim) -> None:
    victim = make_victim()
    with code_on(victim) as code:
        guest = FakePairingController(victim.id, code.digits, name="Guest")
        try_to_pair(victim, guest)
        code.end()
    by_a_stranger = victim.command(
        "trust.revoke", by=FakePairingController(victim.id, "00000000").home()
    )

    refused = victim.hears(by_a_stranger)
    done = victim.hears(victim.command("trust.revoke", by=guest.home()))

    assert refused == ("rejected", "not_paired")
    assert done == ("done", "")
    wait_for(
        lambda: victim.announce["trust"]["controllers"] == [victim.home.id], "the new announce"
    )
    assert only_trusts_its_own(victim)
