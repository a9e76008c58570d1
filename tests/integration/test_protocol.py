"""The reader's half of the protocol: any bytes give a value or the one documented error."""

import base64
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings, strategies as st
import orjson
import pytest

from custom_components.pilot import protocol
from custom_components.pilot.protocol import (
    Announce,
    Availability,
    ProtocolError,
    ReadingType,
    State,
    parse_announce,
    parse_availability,
    parse_state,
    split_announce_topic,
)

from .conftest import ANNOUNCE, CONTRACT, HOST_ID

if TYPE_CHECKING:
    from collections.abc import Callable

quick = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def vectors(folder: str) -> list[Any]:
    """Return the vectors of a folder, each with its name."""
    return [
        pytest.param(json.loads(path.read_text()), id=path.stem)
        for path in sorted((CONTRACT / folder).glob("*.json"))
    ]


def parse(topic: str, payload: bytes) -> object:
    """Read a payload as its topic says."""
    if topic.endswith("/announce"):
        return parse_announce(payload, split_announce_topic(topic)[1])
    if topic.endswith("/availability"):
        return parse_availability(payload)
    assert topic.endswith("/state")
    return parse_state(payload)


def payload_of(vector: dict[str, Any]) -> bytes:
    """Return the bytes of a vector: given as they are, as text or as JSON."""
    if "payload_base64" in vector:
        return base64.b64decode(vector["payload_base64"])
    payload = vector["payload"]
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


@pytest.mark.parametrize("vector", vectors("valid"))
def test_accepts_what_the_contract_allows(vector: dict[str, Any]) -> None:
    """Every valid vector is read."""
    parse(vector["topic"], payload_of(vector))


@pytest.mark.parametrize("vector", vectors("refused"))
def test_refuses_what_the_contract_forbids(vector: dict[str, Any]) -> None:
    """Every refused vector is refused, and the error says what is wrong in a few words."""
    with pytest.raises(ProtocolError) as caught:
        parse(vector["topic"], payload_of(vector))

    assert caught.value.kind.replace("_", "").isalpha()
    assert len(str(caught.value)) < 100


def test_reads_an_announce() -> None:
    """An announce becomes values."""
    announce = parse_announce(orjson.dumps(ANNOUNCE), HOST_ID)

    assert announce is not None
    assert announce.host.name == "office-pc"
    assert announce.host.macs == ("00:00:5e:00:53:01",)
    assert announce.agent.version == "0.1.0"
    assert dict(announce.collectors) == {"cpu": 10, "disk": 60, "i2c": 30}
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
    """An empty retained payload is not an error but a farewell."""
    assert parse_announce(b"", HOST_ID) is None


def test_an_empty_state_means_cleared() -> None:
    """Retained values are taken back with an empty payload."""
    assert parse_state(b"") == {}


def test_the_catalogue_decides_types_whatever_the_agent_says() -> None:
    """An announce cannot make a text of a number that both sides know."""
    announce = parse_announce(
        changed(readings=[{"key": "cpu.percent", "type": "enum", "options": ["a"]}]), HOST_ID
    )

    assert announce is not None
    reading = announce.readings["cpu.percent"]
    assert reading.type is ReadingType.NUMBER
    assert reading.options == ()


def test_empty_texts_are_no_texts() -> None:
    """A machine without a model name may say so with an empty text."""
    announce = parse_announce(changed(host=ANNOUNCE["host"] | {"model": ""}), HOST_ID)

    assert announce is not None
    assert announce.host.model is None


def test_doubled_options_are_one() -> None:
    """Home Assistant wants each option once."""
    reading = {"key": "cpu.mood", "type": "enum", "options": ["good", "bad", "good"]}

    announce = parse_announce(changed(readings=[reading]), HOST_ID)

    assert announce is not None
    assert announce.readings["cpu.mood"].options == ("good", "bad")


def changed(**changes: Any) -> bytes:
    """Return the usual announce with other fields."""
    return orjson.dumps(ANNOUNCE | changes)


def reading(**fields: Any) -> dict[str, Any]:
    """Return the fields of an announce with one reading."""
    return {"readings": [{"key": "cpu.thing"} | fields]}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({"protocol": 3}, "protocol_newer", id="newer agent"),
        pytest.param({"protocol": 1}, "protocol_older", id="older agent"),
        pytest.param({"protocol": 2.0}, "protocol", id="protocol is not whole"),
        pytest.param({"host": []}, "host", id="host is a list"),
        pytest.param({"host": {"id": "OTHER-ID", "name": "a"}}, "host_id", id="bad id"),
        pytest.param(
            {"host": {"id": HOST_ID, "name": "a\0b"}}, "name", id="NUL in the host's name"
        ),
        pytest.param(
            {"host": {"id": HOST_ID, "name": "a", "os": None}}, "os", id="null is not a text"
        ),
        pytest.param(
            {"host": {"id": HOST_ID, "name": "a", "macs": ["00:00:5e:00:53:01"] * 201}},
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
    """What the vectors do not cover is refused too, with a stable kind of error."""
    with pytest.raises(ProtocolError) as caught:
        parse_announce(changed(**changes), HOST_ID)

    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("parser", "limit"),
    [
        pytest.param(
            lambda payload: parse_announce(payload, HOST_ID),
            protocol.MAX_ANNOUNCE,
            id="announce",
        ),
        pytest.param(parse_state, protocol.MAX_STATE, id="state"),
        pytest.param(parse_availability, protocol.MAX_AVAILABILITY, id="availability"),
    ],
)
def test_refuses_what_is_too_large(parser: Callable[[bytes], object], limit: int) -> None:
    """Size is checked before anything is read."""
    with pytest.raises(ProtocolError) as caught:
        parser(b" " * (limit + 1))

    assert caught.value.kind == "size"


@pytest.mark.parametrize(
    "topic", ["announce", "/9c3f6f0e3a5b4d21/announce", "pilot/v2/UPPER-CASE/announce", "a/b/c"]
)
def test_refuses_other_topics(topic: str) -> None:
    """Only an announce topic says whose announce it is."""
    with pytest.raises(ProtocolError):
        split_announce_topic(topic)


def test_says_which_protocol_the_other_side_speaks() -> None:
    """The number is kept for the message to the user."""
    with pytest.raises(ProtocolError) as caught:
        parse_announce(changed(protocol=7), HOST_ID)

    assert caught.value.other == 7


# --- Properties ------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def as_json(value: object) -> bytes:
    """Write JSON the way Python does: with NaN, huge integers and lone surrogates."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@quick
@given(st.binary())
def test_any_bytes_give_a_value_or_the_error(payload: bytes) -> None:
    """Nothing else comes out."""
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_announce(payload, HOST_ID), (Announce, type(None)))
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(state, State) for state in parse_state(payload).values())
    with contextlib.suppress(ProtocolError):
        assert isinstance(parse_availability(payload), Availability)


@quick
@given(json_values)
def test_any_json_gives_a_value_or_the_error(value: object) -> None:
    """Well-formed nonsense is refused as calmly as noise."""
    for parser in (lambda data: parse_announce(data, HOST_ID), parse_state, parse_availability):
        with contextlib.suppress(ProtocolError):
            parser(as_json(value))


@quick
@given(st.data())
def test_any_field_of_an_announce_may_be_anything(data: st.DataObject) -> None:
    """An announce in which one thing is replaced is read or refused."""
    announce = json.loads(json.dumps(ANNOUNCE))
    place: Any = announce
    while True:
        key = data.draw(
            st.sampled_from(list(place) if isinstance(place, dict) else range(len(place)))
        )
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(json_values)
        break

    with contextlib.suppress(ProtocolError):
        parse_announce(as_json(announce), HOST_ID)


@quick
@given(st.dictionaries(st.text(), json_values), json_values)
def test_accepted_values_are_harmless(values: dict[str, object], ts: object) -> None:
    """Whatever is accepted is a finite number, a boolean, a short text or null."""
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


def test_nothing_of_home_assistant_is_needed() -> None:
    """The protocol can be read, tested and reused on its own."""
    source = Path(protocol.__file__).read_text()

    assert "import homeassistant" not in source
    assert "from homeassistant" not in source
