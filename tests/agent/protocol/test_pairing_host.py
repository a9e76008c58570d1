"""From a code to a secret; and everything that must not lead there."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.pairing import (
    LIFETIME,
    PATIENCE,
    TRIES,
    HostPairing,
    Status,
    draw_code,
    parse_pair_confirm,
    parse_pair_request,
)
from support.agent_security import BASE, NOW, FakePairingController
from support.clock import ManualClock

CODE = "12345678"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def host(clock: ManualClock) -> HostPairing:
    return HostPairing(CODE, BASE, clock)


def guess(host: HostPairing, code: str, controller: str = "4f1d2c3b5a697887") -> dict[str, Any]:
    """Try a code; returns what the host says in the end."""
    peer = FakePairingController(code, id=controller)
    answer = host.request(peer.id, peer.request())
    if "error" in answer:
        return answer
    result, _ = host.confirm(peer.id, peer.confirm(answer))
    assert result is not None
    return result


def test_who_knows_the_code_pairs(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    answer = host.request(home.id, home.request())
    result, paired = host.confirm(home.id, home.confirm(answer))
    assert paired is not None
    assert (paired.controller, paired.name) == (home.id, "Home")
    assert paired.secret == home.secret
    assert len(paired.secret) == 32
    assert result is not None
    assert home.believes(result)
    assert host.status is Status.PAIRED


def test_a_code_has_eight_digits_also_when_it_begins_with_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda limit: 7 if limit == 10**8 else -1)
    assert draw_code() == "00000007"


def test_a_wrong_code_does_not_pair_and_costs_a_try(host: HostPairing) -> None:
    answer = guess(host, "00000000")
    assert (answer["error"], answer["left"]) == ("wrong_code", TRIES - 1)
    assert host.status is Status.WAITING


def test_five_wrong_codes_burn_it(host: HostPairing) -> None:
    left = [guess(host, f"0000000{number}")["left"] for number in range(TRIES)]
    assert left == [4, 3, 2, 1, 0]
    assert host.status is Status.BURNED
    assert guess(host, CODE)["error"] == "burned"


def test_the_fifth_try_may_be_the_right_one(host: HostPairing) -> None:
    for number in range(TRIES - 1):
        guess(host, f"0000000{number}")
    assert "confirm" in guess(host, CODE)


def test_requests_without_confirmation_cost_tries_too(
    host: HostPairing, clock: ManualClock
) -> None:
    for number in range(TRIES):
        assert "message" in host.request(f"{number:016x}", FakePairingController(CODE).request())
        clock.now += PATIENCE
    assert host.status is Status.BURNED
    assert guess(host, CODE)["error"] == "burned"


def test_a_code_expires_after_ten_minutes(host: HostPairing, clock: ManualClock) -> None:
    late = FakePairingController(CODE)
    answer = host.request(late.id, late.request())
    clock.now += LIFETIME
    assert host.status is Status.EXPIRED
    assert host.confirm(late.id, late.confirm(answer))[0] == {
        "attempt": late.attempt,
        "error": "expired",
    }
    assert guess(host, CODE)["error"] == "expired"


def test_a_code_pairs_once(host: HostPairing) -> None:
    guess(host, CODE)
    assert guess(host, CODE, controller="0123456789abcdef")["error"] == "no_code"


def test_one_controller_at_a_time(host: HostPairing, clock: ManualClock) -> None:
    home, guest = FakePairingController(CODE), FakePairingController(CODE, id="0123456789abcdef")
    answer = host.request(home.id, home.request())
    assert host.request(guest.id, guest.request())["error"] == "busy"
    assert host.left == TRIES - 1
    clock.now += PATIENCE
    assert "message" in host.request(guest.id, guest.request())
    _, paired = host.confirm(home.id, home.confirm(answer))
    assert paired is not None
    assert paired.controller == home.id


def test_one_controller_s_proof_is_not_another_s(host: HostPairing, clock: ManualClock) -> None:
    home, guest = FakePairingController(CODE), FakePairingController(CODE, id="0123456789abcdef")
    guest.attempt = home.attempt
    answer = host.request(home.id, home.request())
    clock.now += PATIENCE
    host.request(guest.id, guest.request())
    result, paired = host.confirm(guest.id, home.confirm(answer))
    assert paired is None
    assert result is not None
    assert result["error"] == "wrong_code"


def test_what_the_broker_delivers_twice_counts_once(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    answer = host.request(home.id, home.request())
    assert host.request(home.id, home.request()) == answer
    assert host.left == TRIES - 1
    proof = home.confirm(answer)
    first = host.confirm(home.id, proof)
    assert host.confirm(home.id, proof) == (first[0], None)


def test_a_changed_request_is_no_repeat(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    host.request(home.id, home.request())
    assert host.request(home.id, home.request(name="Elsewhere"))["error"] == "malformed"


def test_an_answer_tells_a_stranger_nothing_about_the_code(clock: ManualClock) -> None:
    """A mere request is answered with a point of the curve; it is another one each time."""
    request = FakePairingController("00000000").request()
    answers = {
        HostPairing(CODE, BASE, clock).request("a" * 16, request)["message"] for _ in range(5)
    }
    assert len(answers) == 5


# --- In the middle ---------------------------------------------------------------------------


def test_a_man_in_the_middle_who_swaps_messages_is_noticed(host: HostPairing) -> None:
    home, mallory = FakePairingController(CODE), FakePairingController("00000000")
    answer = host.request(home.id, home.request(message=base64.b64encode(mallory.message).decode()))
    result, paired = host.confirm(home.id, home.confirm(answer))
    assert paired is None
    assert result is not None
    assert result["error"] == "wrong_code"


@pytest.mark.parametrize("changed", [{"name": "Elsewhere"}, {"attempt": "ffffffffffffffff"}])
def test_name_and_attempt_are_part_of_the_proof(host: HostPairing, changed: dict[str, str]) -> None:
    home = FakePairingController(CODE)
    answer = host.request(home.id, home.request(**changed))
    proof = json.loads(home.confirm(answer)) | {"attempt": answer["attempt"]}
    result, paired = host.confirm(home.id, json.dumps(proof).encode())
    assert paired is None
    assert result is not None
    assert result["error"] == "wrong_code"


def test_a_request_under_another_controller_s_topic_does_not_pair(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    answer = host.request("ffffffffffffffff", home.request())
    _, paired = host.confirm("ffffffffffffffff", home.confirm(answer))
    assert paired is None


def test_the_host_s_message_sent_back_is_refused(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    answer = host.request(home.id, home.request())
    reflected = home.request(attempt="ffffffffffffffff", message=answer["message"])
    assert host.request(home.id, reflected)["error"] == "malformed"


def test_the_host_s_proof_is_not_that_of_the_controller(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    answer = host.request(home.id, home.request())
    proof = home.confirm(answer)
    result, _ = host.confirm(home.id, proof)
    assert result is not None
    assert result["confirm"] != json.loads(proof)["confirm"]


@pytest.mark.parametrize(
    "element",
    [
        bytes(32),  # of order 4
        b"\x01" + bytes(31),  # the neutral element
        b"\xff" * 32,
        b"\xec" + b"\xff" * 30 + b"\x7f",  # of order 2
        bytes(31) + b"\x01",  # not on the curve
        b"x" * 32,  # on the curve, not in the group
    ],
)
def test_points_that_would_fix_the_key_are_refused_and_cost_nothing(
    host: HostPairing, element: bytes
) -> None:
    home = FakePairingController(CODE)
    message = base64.b64encode(b"A" + element).decode()
    assert host.request(home.id, home.request(message=message))["error"] == "malformed"
    assert host.left == TRIES


# --- Anything ---------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_as_malformed(payload: bytes) -> None:
    host = HostPairing(CODE, BASE, ManualClock(NOW))
    assert host.request("a" * 16, payload) == {"attempt": "", "error": "malformed"}
    assert host.confirm("a" * 16, payload) == (None, None)


@given(st.binary(min_size=33, max_size=33))
def test_any_message_is_answered_or_malformed(message: bytes) -> None:
    host = HostPairing(CODE, BASE, ManualClock(NOW))
    home = FakePairingController.__new__(FakePairingController)
    home.attempt, home.name, home.message = "0" * 16, "Home", message
    answer = host.request("a" * 16, home.request())
    assert answer.get("error") == "malformed" or "message" in answer


@given(st.text(max_size=70))
def test_a_name_is_short_and_harmless_or_refused(name: str) -> None:
    home = FakePairingController.__new__(FakePairingController)
    home.attempt, home.name, home.message = "0" * 16, name, bytes(33)
    try:
        asked = parse_pair_request(home.request())
    except (ProtocolError, UnicodeEncodeError):
        return
    assert asked.name == name
    assert 0 < len(name) <= 64
    assert name == name.strip()
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in name)


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol": 1},
        {"protocol": True},
        {"attempt": "short"},
        {"attempt": 7},
        {"name": ""},
        {"name": " Home"},
        {"name": "x" * 65},
        {"name": "Home\x1b[2J"},
        {"name": "emoH\u202e"},
        {"message": "!"},
        {"message": "é" * 44},
        {"message": None},
        {"message": base64.b64encode(bytes(32)).decode()},
    ],
)
def test_rules_of_the_request(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_pair_request(FakePairingController(CODE).request(**fields))


def test_names_may_be_of_any_language() -> None:
    for name in ("Maison d'été", "我的家", "🏠 Home", "👩‍👧 Home"):
        assert parse_pair_request(FakePairingController(CODE, name=name).request()).name == name


@pytest.mark.parametrize("confirm", ["", "0" * 63, "G" * 64, None, 0])
def test_rules_of_the_confirmation(confirm: object) -> None:
    with pytest.raises(ProtocolError):
        parse_pair_confirm(json.dumps({"attempt": "0" * 16, "confirm": confirm}).encode())


def test_secrets_do_not_show_in_logs(host: HostPairing) -> None:
    home = FakePairingController(CODE)
    _, paired = host.confirm(home.id, home.confirm(host.request(home.id, home.request())))
    assert paired is not None
    assert repr(paired) == "Paired(controller='4f1d2c3b5a697887', name='Home')"
