"""Whatever arrives is a command, or is refused with one error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, strategies as st
import pytest

from companion_agent.protocol.encoding import dump, load_object
from companion_agent.protocol.envelope import parse_controller_envelope, seal
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import parse_request
from companion_agent.protocol.validation import MAX_COMMAND, MAX_PAIRING
from support.agent_security import HOST, PREFIX, FakeController

TOPIC = f"{PREFIX}/{HOST}/command/power.lock"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(payload: bytes) -> object:
    return parse_request(parse_controller_envelope(payload))


def test_what_a_controller_writes_is_read() -> None:
    home = FakeController()
    request = parse_request(parse_controller_envelope(home.command("power.lock", {"delay": 60})))
    assert (request.controller, request.args) == (home.id, {"delay": 60})
    assert request.counter == home.counter


@given(st.binary())
@example(b"[" * MAX_COMMAND)
@example(b'{"a":' * (MAX_COMMAND // 5))
@example(b'{"protocol":2,"body":"\\ud800","signatures":{"fleet":"' + b"0" * 64 + b'"}}')
@example(b"\xef\xbb\xbf{}")
@example(b"1" * 5000)
def test_any_bytes_are_a_command_or_malformed(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(payload)


@given(
    st.fixed_dictionaries(
        {
            "protocol": st.just(2) | json_values,
            "body": st.text() | json_values,
            "signatures": json_values
            | st.dictionaries(st.just("fleet"), st.just("0" * 64) | json_values),
        }
    )
)
def test_any_envelope_is_read_or_malformed(content: dict[str, Any]) -> None:
    try:
        envelope = parse_controller_envelope(json.dumps(content).encode())
    except ProtocolError:
        return
    assert content["body"] == envelope.body
    assert content["signatures"] == {envelope.key_id: envelope.signature}
    envelope.body.encode()


fields = ["id", "controller", "session", "counter", "time", "args"]


@given(st.sampled_from(fields), json_values)
def test_any_field_of_a_body_is_read_or_malformed(field: str, value: object) -> None:
    home = FakeController()
    body = json.dumps(json.loads(home.body()) | {field: value})
    try:
        request = parse_request(
            parse_controller_envelope(seal(TOPIC, body, {home.id: bytes(32)}).encode())
        )
    except ProtocolError:
        return
    assert getattr(request, field) == value


@pytest.mark.parametrize("field", fields[:-1])
def test_a_body_lacks_nothing(field: str) -> None:
    content = json.loads(FakeController().body())
    del content[field]
    with pytest.raises(ProtocolError, match=field):
        read(seal(TOPIC, dump(content), {"fleet": bytes(32)}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "short"),
        ("id", "UPPERCASE"),
        ("id", "new\nline0"),
        ("controller", "4f1d2c3b5a69788"),
        ("controller", "4F1D2C3B5A697887"),
        ("controller", "0000000000000000"),
        ("session", 12345678),
        ("counter", 0),
        ("counter", -1),
        ("counter", 1.5),
        ("counter", True),
        ("counter", 2**53),
        ("time", "now"),
        ("time", True),
        ("time", 1e16),
        ("args", []),
        ("args", None),
        ("args", {"no such name": 1}),
        ("args", {f"a{number}": 1 for number in range(33)}),
    ],
)
def test_rules_of_the_body(field: str, value: object) -> None:
    body = dump(json.loads(FakeController().body()) | {field: value})
    with pytest.raises(ProtocolError):
        read(seal(TOPIC, body, {FakeController().id: bytes(32)}).encode())


def test_numbers_are_finite() -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        with pytest.raises(ProtocolError):
            load_object(f'{{"delay": {number}}}'.encode(), 100)


def test_a_command_carries_exactly_one_signature() -> None:
    home = FakeController()
    for keys in ({home.id: bytes(32), "fleet": bytes(32)}, {"another": bytes(32)}):
        with pytest.raises(ProtocolError):
            read(seal(TOPIC, home.body(), keys).encode())


def test_sizes_are_limited() -> None:
    assert load_object(b"{}".ljust(MAX_PAIRING), MAX_PAIRING) == {}
    with pytest.raises(ProtocolError):
        load_object(b"{}".ljust(MAX_PAIRING + 1), MAX_PAIRING)


def test_unknown_fields_are_ignored() -> None:
    content = json.loads(FakeController().command("power.lock", mood="good")) | {"colour": "blue"}
    assert read(dump(content).encode())


def test_without_keys_a_body_stays_bare() -> None:
    assert seal(TOPIC, '{"a":"é"}', {}) == '{"a":"é"}'
