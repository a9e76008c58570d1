"""The controller's role against the signed vectors; the host's is in `tests/agent/security`."""

from __future__ import annotations

from contextlib import suppress
import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from companion_agent.protocol.announce import parse_announce
from companion_agent.protocol.backlog import acknowledgement_body, parse_chunk
from companion_agent.protocol.envelope import (
    open_envelope,
    parse_controller_envelope,
    seal,
    verified,
)
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import (
    Availability,
    parse_availability,
    parse_event,
    parse_request,
    parse_result,
    parse_state,
)
from companion_agent.protocol.pairing import ControllerPairing
from companion_agent.protocol.signing import derive, fleet_secret, sign
from companion_agent.protocol.validation import MAX_ANNOUNCE, MAX_CHUNK, MAX_RESULT

from .conftest import ANNOUNCE, HOST, json_like, signed as load


@pytest.mark.parametrize("case", load("keys"))
def test_keys(case: dict[str, str]) -> None:
    keys = derive("0" * 16, bytes.fromhex(case["secret"]), case["prefix"], case["host"])
    assert (keys.command.hex(), keys.report.hex()) == (case["command"], case["report"])


def test_fleet_keys() -> None:
    cases = load("fleet_keys")
    for case in cases["accepted"]:
        assert fleet_secret(case["text"]).hex() == case["secret"]
    for case in cases["refused"]:
        with pytest.raises(ValueError, match="openssl"):
            fleet_secret(case["text"])


COMMANDS = load("commands")


@pytest.mark.parametrize(
    "case", [case for case in COMMANDS["cases"] if case["reason"] == ""], ids=lambda c: c["name"]
)
def test_commands(case: dict[str, Any]) -> None:
    """What Home Assistant would sign is what the agent accepts."""
    envelope = json.loads(case["payload"])
    [(key_id, signature)] = envelope["signatures"].items()
    secret = bytes.fromhex(COMMANDS["secrets"][key_id])
    keys = derive(key_id, secret, COMMANDS["prefix"], COMMANDS["host"])
    assert sign(keys.command, case["topic"], envelope["body"].encode()) == signature
    request = parse_request(parse_controller_envelope(case["payload"].encode()))
    again = seal(case["topic"], request.body(), {key_id: keys.command})
    assert parse_request(parse_controller_envelope(again.encode())) == request


REPORTS = load("reports")


def report_keys(key_id: str) -> Any:
    secret = bytes.fromhex(REPORTS["secrets"][key_id])
    return derive(key_id, secret, REPORTS["prefix"], REPORTS["host"])


@pytest.mark.parametrize("key_id", REPORTS["secrets"])
@pytest.mark.parametrize("case", REPORTS["valid"], ids=lambda case: case["topic"])
def test_reports(case: dict[str, Any], key_id: str) -> None:
    body = verified(report_keys(key_id), case["topic"], case["payload"].encode(), MAX_ANNOUNCE)
    assert json.loads(body) == case["body"]
    if "/result/" in case["topic"]:
        # Written again, it is the same byte for byte: what is signed depends on it.
        assert parse_result(body).body().encode() == body
        assert parse_result(body).counter == case["body"].get("counter")
        assert parse_result(body).refused == case["body"].get("refused")
    elif case["topic"].endswith("/availability"):
        assert parse_availability(body) == (Availability.OFF, (7, 2_000_002))
    elif "/state/" in case["topic"]:
        part = b'{"collectors":{"session":%s}}' % body
        assert parse_state(part)["session"].values == {"locked": True}
    elif "/event/" in case["topic"]:
        assert parse_event(body).type == "locked"
        assert parse_event(body).body().encode() == body
    else:
        announce = parse_announce(case["payload"].encode(), REPORTS["host"])
        assert announce == parse_announce(body, REPORTS["host"])
        assert announce is not None
        assert announce.sequence == (7, 1)
        assert announce.trust is not None
        assert announce.trust.controllers == ("4f1d2c3b5a697887", "fleet")
        assert announce.commands["power.shutdown"].args == {"delay": "seconds"}
        assert announce.events == {"session": ("locked", "unlocked")}


@pytest.mark.parametrize("case", REPORTS["refused"], ids=lambda case: case["name"])
def test_reports_that_are_not_believed(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        verified(
            report_keys("4f1d2c3b5a697887"), case["topic"], case["payload"].encode(), MAX_RESULT
        )


def test_pairing() -> None:
    pytest.importorskip("spake2")
    case = load("pairing")
    entropy = bytes.fromhex(case["controller_entropy"])
    pairing = ControllerPairing(
        case["code"],
        case["controller"],
        f"{case['prefix']}/{case['host']}",
        case["name"],
        attempt=case["attempt"],
        entropy=lambda size: entropy[:size],
    )
    request, answer, confirm, result = (message["payload"].encode() for message in case["messages"])
    assert json.loads(pairing.request()) == json.loads(request)
    said = pairing.read(answer)
    assert said is not None
    assert json.loads(pairing.confirm(said)) == json.loads(confirm)
    proof = pairing.read(result)
    assert proof is not None
    assert pairing.finish(proof).hex() == case["secret"]


# --- The announce ----------------------------------------------------------------------------


def setting(limits: object) -> dict[str, Any]:
    """Return a command with an argument that has limits."""
    return {"key": "a.b", "args": {"value": ""}, "limits": limits}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"sequence": [1]}, "sequence"),
        ({"sequence": [1, -1]}, "sequence"),
        ({"sequence": [True, 1]}, "sequence"),
        ({"sequence": [2**53, 1]}, "sequence"),
        ({"trust": []}, "trust"),
        ({"trust": {}}, "trust"),
        ({"trust": {"controllers": ["x"]}}, "trust"),
        ({"trust": {"controllers": ["0" * 16] * 65}}, "trust"),
        ({"commands": {}}, "commands"),
        ({"commands": [1]}, "commands"),
        ({"commands": [{"key": f"a.b{n}"} for n in range(201)]}, "commands"),
        ({"commands": [{"key": "lock"}]}, "key"),
        ({"commands": [{"key": "a/b.c"}]}, "key"),
        ({"commands": [{"key": "a.b"}, {"key": "a.b"}]}, "key"),
        ({"commands": [{"key": "a.b", "args": []}]}, "args"),
        ({"commands": [{"key": "a.b", "args": {"x": 1}}]}, "x"),
        ({"commands": [{"key": "a.b", "args": {f"x{n}": "" for n in range(33)}}]}, "args"),
        ({"commands": [{"key": "a.b", "kind": 1}]}, "kind"),
        ({"commands": [{"key": "a.b", "device": []}]}, "device"),
        ({"commands": [{"key": "a.b", "state": True}]}, "state"),
        ({"commands": [setting([])]}, "limits"),
        ({"commands": [setting({"value": 1})]}, "limits"),
        ({"commands": [setting({"value": {"minimum": 1}})]}, "limits"),
        ({"commands": [setting({"value": {"minimum": 1, "maximum": "2"}})]}, "limits"),
        ({"commands": [setting({"value": {"minimum": 2, "maximum": 1}})]}, "limits"),
        ({"commands": [setting({"value": {"minimum": 1, "maximum": 1e15}})]}, "limits"),
        ({"commands": [setting({"value": {"minimum": 1, "maximum": 2, "step": 0}})]}, "limits"),
        ({"commands": [{"key": "a.b", "missing": {}}]}, "reason"),
        ({"commands": [{"key": "a.b", "missing": {"reason": "x", "fix": "x" * 9000}}]}, "fix"),
        ({"events": {}}, "events"),
        ({"events": [{"key": "a b"}]}, "key"),
        ({"events": [{"key": "a", "types": "b"}]}, "options"),
    ],
)
def test_announces_that_break_a_rule(changes: dict[str, Any], kind: str) -> None:
    with pytest.raises(ProtocolError) as error:
        parse_announce(json.dumps(ANNOUNCE | changes).encode(), HOST)
    assert error.value.kind == kind


def test_a_bare_announce_may_speak_of_signatures() -> None:
    """What looks like an envelope is one only if it is built so."""
    payload = json.dumps(ANNOUNCE | {"mood": {"signatures": {}}}).encode()
    assert open_envelope(payload, MAX_ANNOUNCE).body == payload
    assert parse_announce(payload, HOST) is not None


# --- Anything at all -------------------------------------------------------------------------

FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        [
            "protocol",
            "body",
            "signatures",
            "id",
            "session",
            "controller",
            "status",
            "reason",
            "detail",
            "time",
            "counter",
            "ts",
            "sequence",
            "type",
            "data",
            "trust",
            "commands",
            "events",
        ],
        json_like,
    ),
)


@settings(max_examples=300, deadline=None)
@given(data=FIELDS | json_like)
def test_nothing_breaks_the_readers(data: object) -> None:
    """Any JSON gives a value or the one documented error."""
    payload = json.dumps(data).encode()
    for read in (
        lambda: open_envelope(payload, MAX_ANNOUNCE),
        lambda: verified(report_keys("fleet"), "topic", payload, MAX_ANNOUNCE),
        lambda: parse_result(payload),
        lambda: parse_event(payload),
    ):
        with suppress(ProtocolError):
            read()


@settings(max_examples=300, deadline=None)
@given(data=FIELDS)
def test_nothing_breaks_the_reader_of_announces(data: dict[str, Any]) -> None:
    """Whatever stands where trust, commands and events should."""
    data.pop("protocol", None)
    with suppress(ProtocolError):
        parse_announce(json.dumps(ANNOUNCE | data).encode(), HOST)


BACKLOG = load("backlog")
ACKNOWLEDGEMENTS = load("acknowledgements")


def chunk_keys(key_id: str) -> Any:
    """Return the keys between the vectors' host and a controller."""
    secret = bytes.fromhex(BACKLOG["secrets"][key_id])
    return derive(key_id, secret, BACKLOG["prefix"], BACKLOG["host"])


@pytest.mark.parametrize("key_id", list(BACKLOG["secrets"]))
@pytest.mark.parametrize("case", BACKLOG["valid"], ids=lambda case: case["name"])
def test_chunks(case: dict[str, Any], key_id: str) -> None:
    """Each controller believes what the host signed for it."""
    payload = case["payload"].encode()
    body = verified(chunk_keys(key_id), BACKLOG["topic"], payload, MAX_CHUNK)

    chunk = parse_chunk(body)

    assert json.loads(body) == case["body"]
    assert (chunk.id, chunk.more) == (case["body"]["chunk"], case["body"]["more"])
    assert {key: [list(point) for point in points] for key, points in chunk.values.items()} == (
        case["body"]["values"]
    )


@pytest.mark.parametrize("case", BACKLOG["malformed"], ids=lambda case: case["name"])
def test_malformed_chunks(case: dict[str, Any]) -> None:
    """A signature makes nothing right; nor does its absence."""
    [key_id, _] = BACKLOG["secrets"]
    body = verified(chunk_keys(key_id), BACKLOG["topic"], case["payload"].encode(), MAX_CHUNK)

    for text in (body, json.dumps(case["body"]).encode()):
        with pytest.raises(ProtocolError):
            parse_chunk(text)


@pytest.mark.parametrize("case", BACKLOG["not_believed"], ids=lambda case: case["name"])
def test_chunks_that_are_not_believed(case: dict[str, Any]) -> None:
    """They are from another sender, or for another receiver."""
    [key_id, _] = BACKLOG["secrets"]

    with pytest.raises(ProtocolError):
        verified(chunk_keys(key_id), BACKLOG["topic"], case["payload"].encode(), MAX_CHUNK)


@pytest.mark.parametrize(
    "case",
    [case for case in ACKNOWLEDGEMENTS["cases"] if case["reason"] == ""],
    ids=lambda case: case["name"],
)
def test_acknowledgements(case: dict[str, Any]) -> None:
    """What Home Assistant would sign is what the agent accepts."""
    envelope = json.loads(case["payload"])
    [(key_id, signature)] = envelope["signatures"].items()

    key = chunk_keys(key_id).command
    assert sign(key, ACKNOWLEDGEMENTS["topic"], envelope["body"].encode()) == signature
    # Written by this package it is the same byte for byte, as far as it knows the fields.
    body = json.loads(envelope["body"])
    if body.keys() == {"chunk", "controller"}:
        assert acknowledgement_body(body["chunk"], body["controller"]) == envelope["body"]
