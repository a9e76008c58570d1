"""Chunks: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from companion_agent.protocol.backlog import Chunk, Point, parse_chunk
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.validation import MAX_CHUNK

KEY = "i2c.aht20-1-38.temperature"
CHUNK: dict[str, Any] = {
    "chunk": "00112233445566aa",
    "session": "5f1c0a9be3d24c77",
    "time": 1793952000.25,
    "more": True,
    "values": {KEY: [[1793948400.0, 21.5], [1793948460.5, None]]},
}


def test_reads_a_chunk() -> None:
    """What it says is there, in order."""
    chunk = parse_chunk(json.dumps(CHUNK).encode())

    assert chunk == Chunk(
        "00112233445566aa",
        True,
        {KEY: (Point(1793948400.0, 21.5), Point(1793948460.5, None))},
        CHUNK["time"],
    )
    assert chunk.newest == 1793948460.5


def test_a_chunk_may_be_empty() -> None:
    """It has no newest point then."""
    assert parse_chunk(json.dumps(CHUNK | {"values": {}}).encode()).newest is None
    assert parse_chunk(json.dumps(CHUNK | {"values": {KEY: []}}).encode()).newest is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"chunk": "short"}, "chunk", id="id too short"),
        pytest.param({"chunk": "00112233445566AA"}, "chunk", id="id in upper case"),
        pytest.param({"chunk": None}, "chunk", id="no id"),
        pytest.param({"more": 1}, "more", id="more is a number"),
        pytest.param({"session": "UPPER-CASE"}, "session", id="session in upper case"),
        pytest.param({"session": 12345678}, "session", id="session is a number"),
        pytest.param({"time": None}, "time", id="no time"),
        pytest.param({"values": []}, "values", id="values is a list"),
        pytest.param({"values": {"Bad Key": []}}, "key", id="not a key"),
        pytest.param({"values": {f"a.b{i}": [] for i in range(201)}}, "values", id="many keys"),
        pytest.param({"values": {KEY: [[1, 1]] * 2001}}, "points", id="many points of one"),
        pytest.param(
            {"values": {f"a.b{i}": [[1, 1]] * 700 for i in range(3)}}, "values", id="many points"
        ),
        pytest.param({"values": {KEY: {}}}, "points", id="points are an object"),
        pytest.param({"values": {KEY: [[1]]}}, "point", id="no value"),
        pytest.param({"values": {KEY: [[1, 2, 3]]}}, "point", id="too much"),
        pytest.param({"values": {KEY: [{"1": 2}]}}, "point", id="point is an object"),
        pytest.param({"values": {KEY: [["1", 2]]}}, "time", id="time is a text"),
        pytest.param({"values": {KEY: [[True, 2]]}}, "time", id="time is true"),
        pytest.param({"values": {KEY: [[-1, 2]]}}, "time", id="time before 1970"),
        pytest.param({"values": {KEY: [[2, 1], [1, 1]]}}, "time", id="times descend"),
        pytest.param({"values": {KEY: [[1, "2"]]}}, "value", id="value is a text"),
        pytest.param({"values": {KEY: [[1, True]]}}, "value", id="value is true"),
        pytest.param({"values": {KEY: [[1, 1e15]]}}, "value", id="value too large"),
    ],
)
def test_refuses(changes: dict[str, Any], kind: str) -> None:
    """Each with a word for what is wrong."""
    with pytest.raises(ProtocolError) as caught:
        parse_chunk(json.dumps(CHUNK | changes).encode())

    assert caught.value.kind == kind


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_refuses_what_is_no_number(value: str) -> None:
    """Python writes what JSON does not have."""
    body = json.dumps(CHUNK).replace("21.5", value).encode()

    with pytest.raises(ProtocolError):
        parse_chunk(body)


def test_refuses_what_is_too_large() -> None:
    """Before anything is read."""
    with pytest.raises(ProtocolError) as caught:
        parse_chunk(b" " * (MAX_CHUNK + 1))

    assert caught.value.kind == "size"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(list(CHUNK)), json_values), json_values)
def test_anything_is_read_or_refused(changes: dict[str, Any], points: object) -> None:
    """Nothing else comes out, and what is read is harmless."""
    for data in (CHUNK | changes, CHUNK | {"values": {KEY: points}}):
        try:
            chunk = parse_chunk(json.dumps(data).encode("utf-8", "surrogatepass"))
        except ProtocolError:
            continue
        for read in chunk.values.values():
            assert list(read) == sorted(read, key=lambda point: point.at)
            assert all(point.value is None or abs(point.value) < 1e15 for point in read)
