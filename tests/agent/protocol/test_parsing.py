"""Reading announces and states: any bytes give a value or the one documented error."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st
import pytest

from companion_agent.protocol import validation
from companion_agent.protocol.announce import Announce, parse_announce
from companion_agent.protocol.catalogue import ReadingType
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import (
    Availability,
    State,
    parse_availability_word,
    parse_state,
)
from companion_agent.protocol.topics import split_announce_topic

from .conftest import ANNOUNCE, HOST, json_like, vectors

if TYPE_CHECKING:
    from collections.abc import Callable


def parse(topic: str, payload: bytes) -> object:
    """Read a payload as its topic says."""
    if topic.endswith("/announce"):
        return parse_announce(payload, split_announce_topic(topic)[1])
    if topic.endswith("/availability"):
        return parse_availability_word(payload)
    assert topic.endswith("/state")
    return parse_state(payload)


@pytest.mark.parametrize(("name", "topic", "payload"), vectors("valid"))
def test_accepts_what_the_contract_allows(name: str, topic: str, payload: bytes) -> None:
    """That it is not refused is the point; other tests assert what is read."""
    parse(topic, payload)


@pytest.mark.parametrize(("name", "topic", "payload"), vectors("refused"))
def test_refuses_what_the_contract_forbids(name: str, topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(topic, payload)

    assert caught.value.kind.replace("_", "").isalpha()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


def test_the_words_of_the_contract() -> None:
    words = {payload.decode() for _, topic, payload in vectors("valid") if "/availab" in topic}

    assert words == set(Availability)


def test_reads_an_announce() -> None:
    announce = parse_announce(json.dumps(ANNOUNCE).encode(), HOST)

    assert announce is not None
    assert announce.host.name == "office-pc"
    assert announce.host.macs == ("00:00:5e:00:53:01",)
    assert announce.agent.version == "0.1.0"
    assert announce.collectors == {"cpu": 10, "disk": 60, "i2c": 300, "custom": 2.5}
    assert announce.devices["aht20-1-38"].manufacturer == "Aosong"
    reading = announce.readings["disk.root.used_percent"]
    assert (reading.collector, reading.value_name) == ("disk", "root.used_percent")
    assert (reading.kind, reading.of, reading.type) == (
        "disk.used_percent",
        "/",
        ReadingType.NUMBER,
    )
    assert announce.conflict is None


def test_an_empty_announce_means_removed() -> None:
    assert parse_announce(b"", HOST) is None


def test_an_empty_state_means_cleared() -> None:
    assert parse_state(b"") == {}


def test_the_catalogue_decides_types_whatever_the_agent_says() -> None:
    announce = parse_announce(
        changed(readings=[{"key": "cpu.percent", "type": "enum", "options": ["a"]}]), HOST
    )

    assert announce is not None
    reading = announce.readings["cpu.percent"]
    assert reading.type is ReadingType.NUMBER
    assert reading.options == ()


def test_empty_texts_are_no_texts() -> None:
    announce = parse_announce(changed(host=ANNOUNCE["host"] | {"model": ""}), HOST)

    assert announce is not None
    assert announce.host.model is None


def test_doubled_options_are_one() -> None:
    reading = {"key": "cpu.mood", "type": "enum", "options": ["good", "bad", "good"]}

    announce = parse_announce(changed(readings=[reading]), HOST)

    assert announce is not None
    assert announce.readings["cpu.mood"].options == ("good", "bad")


def changed(**changes: Any) -> bytes:
    return json.dumps(ANNOUNCE | changes).encode()


def reading(**fields: Any) -> dict[str, Any]:
    return {"readings": [{"key": "cpu.thing"} | fields]}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"protocol": 3}, "protocol_newer", id="newer agent"),
        pytest.param({"protocol": 1}, "protocol_older", id="older agent"),
        pytest.param({"protocol": 2.0}, "protocol", id="protocol is not whole"),
        pytest.param({"host": []}, "host", id="host is a list"),
        pytest.param({"host": {"id": "OTHER-ID", "name": "a"}}, "host_id", id="bad id"),
        pytest.param({"host": {"id": HOST, "name": "a\0b"}}, "name", id="NUL in the host's name"),
        pytest.param(
            {"host": {"id": HOST, "name": "a", "os": None}}, "os", id="null is not a text"
        ),
        pytest.param(
            {"host": {"id": HOST, "name": "a", "macs": ["00:00:5e:00:53:01"] * 201}},
            "macs",
            id="too many addresses",
        ),
        pytest.param({"devices": None}, "devices", id="devices is null"),
        pytest.param({"devices": {"": {}}}, "devices", id="device without a key"),
        pytest.param(
            {"devices": {f"d{i}": {} for i in range(501)}}, "devices", id="too many devices"
        ),
        pytest.param({"collectors": {"a b": {"interval": 1}}}, "collectors", id="collector name"),
        pytest.param({"collectors": {"cpu": 10}}, "collectors", id="collector is a number"),
        pytest.param(
            {"collectors": {f"c{i}": {"interval": 1} for i in range(201)}},
            "collectors",
            id="too many collectors",
        ),
        pytest.param(
            {"readings": [{"key": f"cpu.r{i}"} for i in range(2001)]},
            "readings",
            id="too many readings",
        ),
        pytest.param(reading(device=""), "device", id="device is empty"),
        pytest.param(reading(precision=True), "precision", id="precision is true"),
        pytest.param(reading(precision=-1), "precision", id="precision is negative"),
        pytest.param(reading(type=["number"]), "type", id="type is a list"),
        pytest.param(reading(type="enum"), "options", id="enum without options"),
        pytest.param(reading(options=[1]), "options", id="option is a number"),
        pytest.param(reading(options=["a"] * 201), "options", id="too many options"),
        pytest.param(reading(kind=""), "kind", id="kind is empty"),
        pytest.param(reading(unit="x" * 256), "unit", id="unit is too long"),
        pytest.param({"conflict": None}, "conflict", id="conflict is null"),
    ],
)
def test_refuses_announces(changes: dict[str, Any], kind: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_announce(changed(**changes), HOST)

    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("parser", "limit"),
    [
        pytest.param(
            lambda payload: parse_announce(payload, HOST),
            validation.MAX_ANNOUNCE,
            id="announce",
        ),
        pytest.param(parse_state, validation.MAX_STATE, id="state"),
        pytest.param(parse_availability_word, validation.MAX_AVAILABILITY, id="availability"),
    ],
)
def test_refuses_what_is_too_large(parser: Callable[[bytes], object], limit: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        parser(b" " * (limit + 1))

    assert caught.value.kind == "size"


@pytest.mark.parametrize(
    "topic", ["announce", "/9c3f6f0e3a5b4d21/announce", "pilot/v2/UPPER-CASE/announce", "a/b/c"]
)
def test_refuses_other_topics(topic: str) -> None:
    with pytest.raises(ProtocolError):
        split_announce_topic(topic)


def test_says_which_protocol_the_other_side_speaks() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_announce(changed(protocol=7), HOST)

    assert caught.value.other == 7


# --- Properties ------------------------------------------------------------------------------


def as_json(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@given(st.binary())
def test_any_bytes_give_a_value_or_the_error(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_announce(payload, HOST), (Announce, type(None)))
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(state, State) for state in parse_state(payload).values())
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_availability_word(payload), Availability)


@given(json_like)
def test_any_json_gives_a_value_or_the_error(value: object) -> None:
    for parser in (lambda data: parse_announce(data, HOST), parse_state, parse_availability_word):
        with contextlib.suppress(ProtocolError):
            parser(as_json(value))


@given(st.data())
def test_any_field_of_an_announce_may_be_anything(data: st.DataObject) -> None:
    announce = json.loads(json.dumps(ANNOUNCE))
    place: Any = announce
    while True:
        key = data.draw(
            st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
        )
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(json_like)
        break

    with contextlib.suppress(ProtocolError):
        parse_announce(as_json(announce), HOST)


@given(st.dictionaries(st.text(), json_like), json_like)
def test_accepted_values_are_harmless(values: dict[str, object], ts: object) -> None:
    try:
        state = parse_state(as_json({"collectors": {"x": {"ts": ts, "values": values}}}))["x"]
    except ProtocolError:
        return

    for value in (state.ts, *state.values.values()):
        assert value is None or isinstance(value, (bool, int, float, str))
        if isinstance(value, (int, float)):
            assert abs(value) < 1e15
        elif isinstance(value, str):
            assert len(value) <= 255
            value.encode()
