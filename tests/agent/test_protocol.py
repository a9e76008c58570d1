"""The agent's half of the protocol, held against the vectors that both halves share."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st
import pytest

from companion_agent import protocol
from companion_agent.models import Device, Reading
from companion_agent.platforms.base import HostInfo
from companion_agent.protocol import (
    Availability,
    Conflict,
    Host,
    ProtocolError,
    Report,
    Topics,
)
from companion_agent.units import UNITS

CONTRACT = Path(__file__).parents[1] / "contract"
HOST = "9c3f6f0e3a5b4d21"
SESSION = "5f1c0a9be3d24c77"


def vectors(kind: str, *topics: str) -> list[Any]:
    found = []
    for path in sorted((CONTRACT / kind).glob("*.json")):
        vector = json.loads(path.read_text("utf-8"))
        # The agent writes states and does not read them.
        if vector["topic"].endswith(topics):
            found.append(pytest.param(vector["topic"], payload_of(vector), id=path.stem))
    assert found
    return found


def payload_of(vector: dict[str, Any]) -> bytes:
    if "payload_base64" in vector:
        return base64.b64decode(vector["payload_base64"])
    payload = vector["payload"]
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def read(topic: str, payload: bytes) -> object:
    return protocol.parse_announce(payload, topic.split("/")[-2])


def test_says_the_words_of_the_contract() -> None:
    words = {param.values[1].decode() for param in vectors("valid", "/availability")}  # type: ignore[union-attr]
    assert words == set(Availability)


def office_pc(**changes: Any) -> Host:
    info = HostInfo(
        name="office-pc",
        os="Debian GNU/Linux 12 (bookworm)",
        arch="x86_64",
        manufacturer="LENOVO",
        model="ThinkPad X1",
        macs=("00:00:5e:00:53:01",),
    )
    return Host(
        **(
            {"id": HOST, "name": "office-pc", "info": info, "version": "0.1.0", "python": "3.11.7"}
            | changes
        )
    )


@pytest.mark.parametrize(("topic", "payload"), vectors("valid", "/announce"))
def test_accepts_what_the_contract_allows(topic: str, payload: bytes) -> None:
    read(topic, payload)


@pytest.mark.parametrize(("topic", "payload"), vectors("refused", "/announce"))
def test_refuses_what_the_contract_forbids(topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(topic, payload)


def test_topics_of_a_host() -> None:
    topics = Topics("pilot/v2", HOST)

    assert topics.announce == f"pilot/v2/{HOST}/announce"
    assert topics.availability == f"pilot/v2/{HOST}/availability"
    assert topics.state == f"pilot/v2/{HOST}/state"
    assert topics.backlog == f"pilot/v2/{HOST}/backlog"
    assert topics.acknowledge == f"pilot/v2/{HOST}/acknowledge"


def test_announces_what_the_documentation_shows() -> None:
    reports = {
        "cpu": Report(10.0, (Reading("percent"),)),
        "disk": Report(60, (Reading("root.used_percent", kind="disk.used_percent", of="/"),)),
        "custom": Report(2.5, (Reading("load", kind="custom", name="UPS load", unit="%"),)),
    }

    announce = json.loads(protocol.announce_payload(SESSION, office_pc(), reports))

    assert announce == {
        "protocol": 2,
        "session": SESSION,
        "host": {
            "id": HOST,
            "name": "office-pc",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "arch": "x86_64",
            "manufacturer": "LENOVO",
            "model": "ThinkPad X1",
            "macs": ["00:00:5e:00:53:01"],
        },
        "agent": {"version": "0.1.0", "python": "3.11.7"},
        "collectors": {
            "cpu": {"interval": 10},
            "disk": {"interval": 60},
            "custom": {"interval": 2.5},
        },
        "readings": [
            {"key": "cpu.percent"},
            {"key": "disk.root.used_percent", "kind": "disk.used_percent", "of": "/"},
            {"key": "custom.load", "kind": "custom", "name": "UPS load", "unit": "%"},
        ],
    }


def test_announces_the_other_agent_of_a_conflict() -> None:
    other = Conflict("b0b0b0b0b0b0b0b0", "clone")

    payload = protocol.announce_payload(SESSION, office_pc(), {}, other)

    announce = protocol.parse_announce(payload, HOST)
    assert announce == protocol.Announce(SESSION, "office-pc", other)


def test_describes_the_devices_that_readings_hang_on() -> None:
    device = Device("aht20-1-38", "Dining room", "Aosong", "AHT20")
    quantities = ("temperature", "humidity")
    readings = tuple(Reading(f"a.{one}", kind=one, device=device) for one in quantities)
    reports = {"i2c": Report(300, readings)}

    announce = json.loads(protocol.announce_payload(SESSION, office_pc(), reports))

    assert announce["devices"] == {
        "aht20-1-38": {"name": "Dining room", "manufacturer": "Aosong", "model": "AHT20"}
    }
    assert [reading["device"] for reading in announce["readings"]] == ["aht20-1-38"] * 2


def test_a_device_of_which_nothing_is_known_is_called_by_its_id() -> None:
    reports = {"custom": Report(60, (Reading("a", device=Device("shed")),))}

    announce = json.loads(protocol.announce_payload(SESSION, office_pc(), reports))

    assert announce["devices"] == {"shed": {"name": "shed"}}


def test_more_devices_than_a_reader_takes_are_refused() -> None:
    many = tuple(Reading(f"r{number}", device=Device(f"d{number}")) for number in range(501))

    with pytest.raises(ProtocolError, match="501 devices"):
        protocol.announce_payload(SESSION, office_pc(), {"custom": Report(10, many)})


def test_a_file_name_that_is_not_unicode_does_not_break_the_announce() -> None:
    reports = {"disk": Report(60, (Reading("x.free", kind="disk.free", of="/media/\udcff"),))}

    payload = protocol.announce_payload(SESSION, office_pc(), reports)

    assert protocol.parse_announce(payload, HOST)
    assert json.loads(payload)["readings"][0]["of"] == "/media/?"


@pytest.mark.parametrize("key", ["", "Percent", "a b", "a..b", ".a", "a/b", "ä", "k" * 125])
def test_a_reading_with_an_impossible_key_cannot_be_announced(key: str) -> None:
    with pytest.raises(ProtocolError, match="key"):
        protocol.reading_fields("cpu", Reading(key))


def test_more_readings_than_a_reader_takes_cannot_be_announced() -> None:
    many = Report(10, tuple(Reading(f"r{number}") for number in range(2001)))

    with pytest.raises(ProtocolError, match="2001 readings"):
        protocol.announce_payload(SESSION, office_pc(), {"cpu": many})


def test_writes_states_as_the_documentation_shows() -> None:
    cpu = protocol.collector_state(1793952000.25, {"percent": 12.5, "temperature": None})
    disk = protocol.collector_state(1793951970.5, {"root.used_percent": 61})

    payload, _ = protocol.state_payload({"cpu": cpu, "disk": disk})

    assert payload == (
        b'{"collectors":{'
        b'"cpu":{"ts":1793952000.25,"values":{"percent":12.5,"temperature":null}},'
        b'"disk":{"ts":1793951970.5,"values":{"root.used_percent":61}}}}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e15, -1e300, 10**400])
def test_numbers_that_no_reader_takes_become_null(value: float) -> None:
    assert protocol.collector_state(0, {"x": value}) == b'{"ts":0,"values":{"x":null}}'


def test_longer_texts_than_a_reader_takes_are_cut() -> None:
    payload = json.loads(protocol.collector_state(0, {"x": "é" * 300}))

    assert payload["values"]["x"] == "é" * 255


def test_collectors_that_a_reader_has_no_room_for_are_left_out() -> None:
    much = protocol.collector_state(0, {f"k{number}": "x" * 255 for number in range(500)})
    little = protocol.collector_state(0, {"x": 1})

    payload, left = protocol.state_payload({"a": much, "b": much, "c": little})

    assert left == ["b"]
    assert json.loads(payload)["collectors"].keys() == {"a", "c"}
    assert len(payload) <= protocol.MAX_STATE_BYTES


def test_a_chunk_that_no_reader_takes_is_refused() -> None:
    points = [(1793952000.0 + step, 0.1 + step) for step in range(2000)]

    with pytest.raises(ProtocolError, match="65536"):
        protocol.backlog_payload("0" * 16, SESSION, 0, {"a.b": points, "a.c": points}, more=False)


def test_says_which_side_is_older() -> None:
    with pytest.raises(ProtocolError, match="this agent is older"):
        protocol.parse_announce(b'{"protocol": 3}', HOST)


# --- Any bytes, any values -------------------------------------------------------------------

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary() | json_like.map(lambda value: json.dumps(value).encode("utf-8", "replace")))
def test_any_bytes_are_an_announce_or_refused(payload: bytes) -> None:
    try:
        protocol.parse_announce(payload, HOST)
    except ProtocolError as error:
        assert str(error).isprintable()  # noqa: PT017  (both ends are right)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "protocol",
                "session",
                "host",
                "agent",
                "collectors",
                "devices",
                "readings",
                "conflict",
            ]
        ),
        json_like,
    ),
    st.sampled_from([None, "host", "agent", "collectors", "readings"]),
)
def test_an_announce_with_anything_in_it_is_read_or_refused(
    changes: dict[str, Any], nested: str | None
) -> None:
    announce: dict[str, Any] = {
        "protocol": 2,
        "session": SESSION,
        "host": {"id": HOST, "name": "a"},
        "agent": {"version": "1"},
        "collectors": {"cpu": {"interval": 1}},
        "readings": [{"key": "cpu.percent"}],
    }
    if nested and isinstance(announce[nested], dict):
        announce[nested] |= changes
    elif nested:
        announce[nested] = [{"key": "cpu.percent"} | changes]
    else:
        announce |= changes
    try:
        protocol.parse_announce(json.dumps(announce).encode("utf-8", "replace"), HOST)
    except ProtocolError as error:
        assert str(error).isprintable()  # noqa: PT017  (both ends are right)


texts = st.text(alphabet=st.characters(codec=None), max_size=300)
readings = st.builds(
    Reading,
    key=st.from_regex(r"[a-z0-9_-]{1,9}(\.[a-z0-9_-]{1,9}){0,3}", fullmatch=True),
    kind=texts,
    of=texts,
    device=st.none() | st.builds(Device, st.text(min_size=1), texts, texts, texts),
    name=texts,
    unit=texts,
    type=st.sampled_from(["number", "text", "boolean", "timestamp", "enum"]),
    options=st.lists(texts, max_size=3).map(tuple),
)


@given(texts, texts, st.lists(readings, max_size=5, unique_by=lambda reading: reading.key))
def test_what_is_announced_can_be_read(name: str, system: str, some: list[Reading]) -> None:
    host = office_pc(name=name, info=HostInfo("x", system, "x86_64"))

    payload = protocol.announce_payload(SESSION, host, {"cpu": Report(10, tuple(some))})

    announce = protocol.parse_announce(payload, HOST)
    assert announce
    assert announce.session == SESSION


def test_units_are_those_of_the_catalogue() -> None:
    catalogue = json.loads((CONTRACT / "kinds.json").read_text("utf-8"))

    assert {kind: about["unit"] for kind, about in catalogue.items() if about["unit"]} == UNITS
