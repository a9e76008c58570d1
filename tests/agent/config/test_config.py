"""The configuration: what is accepted, and how every mistake is reported."""

# ruff: noqa: E501 - a mistake and the words for it stand on one line

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import sys

from hypothesis import given, strategies as st
import pytest

from companion_agent.config import (
    Broker,
    Config,
    ConfigError,
    LogConfig,
    Tls,
    load,
    loader,
)
from companion_agent.config.broker_address import parse_broker
from companion_agent.config.buffer import BacklogConfig
from companion_agent.config.environment import ENV_PREFIX
from companion_agent.config.settings import CollectorConfig
from companion_agent.models import Selection
from companion_agent.plugins.base import Collector
from companion_agent.secret import Secret
from support.system_words import NO_SUCH_FILE


class Cpu(Collector):
    """Reads one thing."""

    name = "cpu"
    interval = 10


class Disk(Collector):
    """Reads several."""

    name = "disk"
    interval = 60
    selects = "mount point"


COLLECTORS: dict[str, type[Collector]] = {"cpu": Cpu, "disk": Disk}

Load = Callable[..., Config]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def load_text(file: Path) -> Load:
    def load_it(text: str | bytes, **environment: str) -> Config:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, {"STATE_DIRECTORY": "/state", **environment}, COLLECTORS)

    return load_it


@pytest.fixture
def mistakes(load_text: Load, file: Path) -> Mistakes:
    def find(text: str | bytes, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, **environment)
        lines = [str(mistake) for mistake in caught.value.mistakes]
        return [line.replace(f"{file}: ", "").replace(f"{file}:", "line ") for line in lines]

    return find


# --- What is accepted ------------------------------------------------------------------------


def test_a_file_that_only_names_the_broker_is_complete(load_text: Load, file: Path) -> None:
    assert load_text("broker: mqtt.local") == Config(
        brokers=(Broker("mqtt.local"),), state_dir=Path("/state"), path=file
    )


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        ("mqtt.local", Broker("mqtt.local")),
        ("mqtt.local:1884", Broker("mqtt.local", 1884)),
        ("192.0.2.7", Broker("192.0.2.7")),
        ('"[2001:db8::7]:1884"', Broker("2001:db8::7", 1884)),
        ("2001:db8::7", Broker("2001:db8::7")),
        ("mqtt://mqtt.local", Broker("mqtt.local")),
        ("mqtts://mqtt.local", Broker("mqtt.local", 8883, tls=Tls())),
        ("mqtts://a:p%40ss@mqtt.local:1", Broker("mqtt.local", 1, "a", Secret("p@ss"), tls=Tls())),
        ("ws://mqtt.local", Broker("mqtt.local", 80, transport="websockets")),
        ("ws://mqtt.local/", Broker("mqtt.local", 80, transport="websockets", websocket_path="/")),
        (
            "wss://a:b@mqtt.local/broker/mqtt",
            Broker(
                "mqtt.local",
                443,
                "a",
                Secret("b"),
                transport="websockets",
                websocket_path="/broker/mqtt",
                tls=Tls(),
            ),
        ),
        (
            "{host: mqtt.local, transport: websockets, tls: true}",
            Broker("mqtt.local", 443, transport="websockets", tls=Tls()),
        ),
    ],
)
def test_a_broker_can_be_one_text(load_text: Load, text: str, broker: Broker) -> None:
    assert load_text(f"broker: {text}").brokers == (broker,)


def test_several_brokers_in_order_of_preference(load_text: Load) -> None:
    config = load_text("broker: [mqtt.local, mqtts://mqtt.example, {host: c, port: 3}]")

    assert [str(broker) for broker in config.brokers] == [
        "mqtt.local:1883",
        "mqtt.example:8883",
        "c:3",
    ]


def test_every_key(load_text: Load, tmp_path: Path) -> None:
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).touch()
    (tmp_path / "password").write_text("s3cret\n")

    config = load_text(
        """
name: Upstairs
topic_prefix: house/pilot
state_dir: state
broker:
  host: mqtt.local
  port: 8884
  username: pilot
  password_file: password
  protocol: 3.1.1
  keepalive: 60
  client_id: upstairs
  tls:
    ca_cert: ca.pem
    client_cert: client.pem
    client_key: client.key
    key_password: "123"
home_assistant:
  birth_topic: ha/status
log:
  level: Debug
  format: json
  parts: {transport: warning}
backlog:
  enabled: yes
  max_age: 0.5
  max_size: 64
  write_interval: 300
collectors:
  cpu: {interval: 2.5}
  disk:
    enabled: no
    include: [/, /mnt/*]
    exclude: /mnt/tmp, /boot
"""
    )

    assert config == Config(
        brokers=(
            Broker(
                "mqtt.local",
                8884,
                "pilot",
                Secret("s3cret"),
                "3.1.1",
                60,
                "upstairs",
                tls=Tls(
                    tmp_path / "ca.pem",
                    tmp_path / "client.pem",
                    tmp_path / "client.key",
                    Secret("123"),
                ),
            ),
        ),
        state_dir=tmp_path / "state",
        topic_prefix="house/pilot",
        name="Upstairs",
        birth_topic="ha/status",
        log=LogConfig("debug", "json", {"transport": "warning"}),
        backlog=BacklogConfig(max_age=43_200, max_size=64 * 1024 * 1024, write_interval=300),
        collectors={
            "cpu": CollectorConfig(interval=2.5),
            "disk": CollectorConfig(
                enabled=False, selection=Selection(("/", "/mnt/*"), ("/mnt/tmp", "/boot"))
            ),
        },
        path=tmp_path / "config.yaml",
    )


@pytest.mark.parametrize("password", ["0123", "no", "1e5", "2026-11-06", "12:30:45"])
def test_texts_are_what_was_typed(load_text: Load, password: str) -> None:
    config = load_text(f"broker: {{host: a, username: u, password: {password}}}")

    assert config.brokers[0].password == password


def test_keys_without_a_value_are_as_if_not_there(load_text: Load) -> None:
    config = load_text("broker: a\nname:\nlog:\ncollectors:\n  cpu:\n")

    assert config == load_text("broker: a")


def test_brokers_can_share_settings(load_text: Load) -> None:
    config = load_text(
        "broker:\n- &first {host: a, username: u, password: p}\n- {<<: *first, host: b}\n"
    )

    assert [(b.host, b.username) for b in config.brokers] == [("a", "u"), ("b", "u")]


def test_secrets_are_not_in_what_is_printed(load_text: Load) -> None:
    config = load_text("broker: {host: a, username: u, password: s3cret}")

    assert "s3cret" not in repr(config)


# --- The environment -------------------------------------------------------------------------


def test_variables_go_over_the_file(load_text: Load) -> None:
    config = load_text(
        "broker: mqtt.local:1884\nname: x\n",
        PILOT_BROKER__USERNAME="u",
        PILOT_BROKER__PASSWORD="0123",
        PILOT_NAME="y",
        PILOT_COLLECTORS__CPU__INTERVAL="5",
        PILOT_COLLECTORS__DISK__INCLUDE="/, /home",
        PILOT_LOG__PARTS__TRANSPORT="debug",
    )

    assert config.brokers == (Broker("mqtt.local", 1884, "u", Secret("0123")),)
    assert config.name == "y"
    assert config.collector("cpu").interval == 5
    assert config.collector("disk").selection == Selection(("/", "/home"))
    assert config.log.parts == {"transport": "debug"}


def test_variables_alone_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion_agent.config.find_file", lambda *_: None)

    config = load(None, {"PILOT_BROKER": "a, mqtts://b", "STATE_DIRECTORY": "/s"}, COLLECTORS)

    assert [str(broker) for broker in config.brokers] == ["a:1883", "b:8883"]
    assert config.path is None


def test_a_login_in_the_environment_is_for_all_brokers(load_text: Load) -> None:
    config = load_text(
        "broker: [a, {host: b, username: x}]",
        PILOT_BROKER__USERNAME="u",
        PILOT_BROKER__PASSWORD="p",
    )

    assert [(b.username, b.password) for b in config.brokers] == [("u", "p"), ("u", "p")]


def test_a_password_variable_replaces_the_files_password_file(load_text: Load) -> None:
    config = load_text(
        "broker: {host: a, username: u, password_file: /nowhere}", PILOT_BROKER__PASSWORD="p"
    )

    assert config.brokers[0].password == "p"


def test_systemds_credentials(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "broker.password").write_text("s3cret\n")

    config = load_text("broker: {host: a, username: u}", CREDENTIALS_DIRECTORY=str(tmp_path))

    assert config.brokers[0].password == "s3cret"


def test_variables_of_other_programs_are_left_alone(load_text: Load) -> None:
    assert load_text("broker: a", PILOT_EDITOR="vi", PILOT_CONFIG="x", EDITOR="vi")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PILOT_BROKR__HOST", "PILOT_BROKER__HOST"),
        ("PILOT_BROKER_PASSWORD", "PILOT_BROKER__PASSWORD"),
        ("PILOT_COLLECTORS__CPUU__INTERVAL", "PILOT_COLLECTORS__CPU__INTERVAL"),
        ("PILOT_LOG_LEVEL", "PILOT_LOG__LEVEL"),
    ],
)
def test_a_mistyped_variable_is_named(mistakes: Mistakes, variable: str, meant: str) -> None:
    assert mistakes("broker: a", **{variable: "x"}) == [
        f"environment variable {variable}: is not known; did you mean {meant}?"
    ]


def test_a_wrong_value_in_the_environment_is_named_as_such(mistakes: Mistakes) -> None:
    assert mistakes("broker: a", PILOT_BROKER__PORT="many") == [
        (
            "environment variable PILOT_BROKER__PORT: broker.port: "
            'expected a whole number from 1 to 65535, not "many"'
        )
    ]


def test_one_host_for_several_brokers_is_refused(mistakes: Mistakes) -> None:
    assert mistakes("broker: [a, b]", PILOT_BROKER__HOST="c") == [
        (
            "environment variable PILOT_BROKER__HOST: "
            "is about one broker, but the file lists several; set PILOT_BROKER"
        )
    ]


# --- Mistakes --------------------------------------------------------------------------------


def test_all_mistakes_at_once(mistakes: Mistakes) -> None:
    text = """broker:
  host: mqtt.local
  prt: 1883
  password: x
  keepalive: often
  tls:
    ca_cert: nowhere.pem
    verify: false
topic_prefix: pilot/#
nam: x
log:
  level: inf
  parts: {transprt: debug}
collectors:
  cpuu: {}
  cpu:
    interval: 5m
    include: [a]
  disk: {exclude: [{a: b}]}
name: a
name: b
"""

    assert mistakes(text) == [
        "line 1: broker.username: is missing: there is a password",
        "line 3: broker.prt: is not known here; did you mean port?",
        'line 5: broker.keepalive: expected a whole number from 5 to 3600 (seconds), not "often"',
        (
            "line 7: broker.tls.ca_cert: expected the path of a file that can be read, "
            f'not "nowhere.pem" ({NO_SUCH_FILE})'
        ),
        (
            "line 8: broker.tls.verify: is not known here; known are "
            "ca_cert, client_cert, client_key, key_password, key_password_file"
        ),
        'line 9: topic_prefix: expected an MQTT topic without + and #, not "pilot/#"',
        "line 10: nam: is not known here; did you mean name?",
        (
            "line 12: log.level: expected debug, info, warning or error, "
            'not "inf" (did you mean info?)'
        ),
        "line 13: log.parts.transprt: is not a part; did you mean transport?",
        "line 15: collectors.cpuu: is not a collector; did you mean cpu?",
        'line 17: collectors.cpu.interval: expected seconds, a number from 1 to 86400, not "5m"',
        (
            "line 18: collectors.cpu.include: this collector reads one thing; "
            "there is nothing to choose from"
        ),
        "line 19: collectors.disk.exclude[1]: expected a name, not keys or a list",
        "line 21: name: is already set in line 20",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("name: x", "broker: is missing"),
        ("", "broker: is missing"),
        ("broker: []", "line 1: broker: expected a broker or a list of them; the list is empty"),
        ("broker:\n- a\n- {port: 3}", "line 3: broker[2].host: is missing"),
        ("broker: {host: [a]}", "line 1: broker.host: expected a host name or an address, not a list"),
        ("broker: a\nlog: loud", 'line 2: log: expected keys below it (level, format, parts, file, max_size, keep), not "loud"'),
        ("broker: a\ncollectors: [cpu]", "line 2: collectors: expected keys below it (cpu, disk)"),
        ("broker: a\nname: {a: b}", "line 2: name: expected a text of 1 to 255 characters, not keys"),
        ("- broker", "line 1: is not a mapping of keys to values; a file that works has one line: `broker: mqtt.local`"),
        ("broker: a\n\tname: b", "line 2: is indented with a tab; YAML wants spaces"),
        ("broker: a: b", "line 1: is not valid YAML: a colon where none is expected; indent the line, or put the value in quotes"),
        ("broker: 'a\n", "line 2: is not valid YAML: found unexpected end of stream"),
        ("broker: a\n---\nname: b", "line 2: is not valid YAML: a second document begins here; one is expected"),
        (b"broker: a\nname: B\xfcro", "line 2: is not UTF-8; save the file in that encoding"),
        ("broker: a\nname: \x07", "line 2: holds a character that YAML does not allow"),
        ("broker: &a [*a]", "line 1: broker[1]: contains itself"),
        ("broker: [a, ]\nname: !!python/object:os.system x", ""),
        ("? [a]\n: b\nbroker: a", "line 1: has a key that is not a text"),
        ("broker: http://a", 'line 1: broker: expected a host, host:port, mqtt(s)://… or ws(s)://…, but "http://a" begins with http://, but mqtt://, mqtts://, ws:// or wss:// is expected'),
        ("broker: mqtt://a/b", 'line 1: broker: expected a host, host:port, mqtt(s)://… or ws(s)://…, but "mqtt://a/b" goes on after the host and port'),
        ("broker: ws://a/b?c", 'line 1: broker: expected a host, host:port, mqtt(s)://… or ws(s)://…, but "ws://a/b?***" goes on after the path'),
        ("broker: {host: a, websocket_path: /b}", "line 1: broker.websocket_path: only with transport: websockets"),
        ("broker: {host: a, transport: websocket}", 'line 1: broker.transport: expected tcp or websockets, not "websocket" (did you mean websockets?)'),
        ("broker: {host: a, transport: websockets, websocket_path: b}", 'line 1: broker.websocket_path: expected a path that begins with /, not "b"'),
        ("broker: {host: a, transport: websockets, websocket_path: /é}", 'line 1: broker.websocket_path: expected a path that begins with /, not "/é" (what is no ASCII, and spaces, ? and #, are written in percent-encoding)'),
        ("broker: a:99999", 'line 1: broker: expected a host, host:port, mqtt(s)://… or ws(s)://…, but "a:99999" has a port that is not a number from 1 to 65535'),
        ("broker: a\nbroker.port: 1", "line 2: broker.port: is not known here; did you mean broker?"),
        ("broker: {host: a, tls: maybe}", 'line 1: broker.tls: expected true or false, not "maybe"'),
        ("broker: {host: a, tls: {client_key: config.yaml}}", "line 1: broker.tls.client_cert: is missing: there is a client_key"),
        ("broker: {host: a, username: u, password: p, password_file: config.yaml}", "line 1: broker.password_file: give either this or password"),
        ("broker: {host: a, username: u, password_file: nowhere}", f'line 1: broker.password_file: expected the path of a file that holds the password, not "nowhere" ({NO_SUCH_FILE})'),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_its_words(
    mistakes: Mistakes, load_text: Load, text: str | bytes, mistake: str
) -> None:
    if not mistake:
        assert load_text(text)
        return

    found = mistakes(text)

    assert found == [mistake]


def test_an_empty_secret_file(mistakes: Mistakes, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    (found,) = mistakes("broker: {host: a, username: u, password_file: empty}")

    assert found.endswith("(it is empty)")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize(
    "text",
    [
        "broker: {host: a, username: u, password_file: pipe}",
        "broker: {host: a, tls: {ca_cert: pipe}}",
        "{broker: a, security: {fleet_key_file: pipe}}",
    ],
)
def test_a_pipe_is_not_waited_for(text: str, mistakes: Mistakes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    (found,) = mistakes(text)

    assert found.endswith("(it is not a plain file)")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_a_configuration_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")

    with pytest.raises(ConfigError, match="cannot be read: it is not a plain file"):
        load(tmp_path / "config.yaml", {}, COLLECTORS)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "nowhere.yaml", {}, COLLECTORS)


@pytest.fixture
def unreadable(file: Path) -> Iterator[Path]:
    """Make a file that may not be read, by a user who does not read everything like root."""
    file.touch(0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield file
    os.seteuid(user)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are not Windows'")
def test_a_file_that_may_not_be_read(unreadable: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(unreadable, {}, COLLECTORS)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are not Windows'")
def test_what_lies_in_a_closed_folder_is_found_out_when_it_is_used(closed: Path) -> None:
    environment = {
        "PILOT_BROKER": "localhost",
        "PILOT_STATE_DIR": str(closed / "state"),
        "PILOT_LOG__FILE": str(closed / "agent.log"),
        "CREDENTIALS_DIRECTORY": str(closed),
    }

    config = load(None, environment, COLLECTORS)

    assert (config.state_dir, config.log.file) == (closed / "state", closed / "agent.log")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are not Windows'")
def test_a_file_that_may_not_be_looked_for_is_not_there(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "search_path", lambda _: [closed / "config.yaml"])

    assert loader.find_file(None, {}) is None


def test_a_folder_whose_name_is_too_long_is_found_out_when_it_is_used() -> None:
    folder = Path("/", "x" * 300).absolute()

    config = load(None, {"PILOT_BROKER": "a", "PILOT_STATE_DIR": str(folder)}, COLLECTORS)

    assert config.state_dir == folder


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no folder that is in use")
def test_a_command_runs_in_a_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    config = load(None, {"PILOT_BROKER": "a", "PILOT_STATE_DIR": str(tmp_path)}, COLLECTORS)

    assert config.state_dir == tmp_path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_a_credential_that_is_a_pipe_is_refused(mistakes: Mistakes, tmp_path: Path) -> None:
    pipe = tmp_path / "broker.password"
    os.mkfifo(pipe)

    found = mistakes("broker: a", CREDENTIALS_DIRECTORY=str(tmp_path))

    assert found == [f"{pipe}: holds no secret: it is not a plain file"]


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {}, COLLECTORS)


def test_no_configuration_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion_agent.config.find_file", lambda *_: None)

    with pytest.raises(ConfigError, match=r"there is no configuration; looked for .*config\.yaml"):
        load(None, {}, COLLECTORS)


def test_a_wrong_broker_in_the_environment_is_not_a_missing_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("companion_agent.config.loader.find_file", lambda *_: None)

    with pytest.raises(ConfigError) as caught:
        load(None, {"PILOT_BROKER": "http://mqtt.local"}, COLLECTORS)

    (mistake,) = caught.value.mistakes
    assert str(mistake).startswith("environment variable PILOT_BROKER: broker: expected a host")


def test_what_expands_without_end_is_refused_in_no_time(mistakes: Mistakes) -> None:
    levels = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12))

    found = mistakes(f"broker: a\nx0: &x0 [lol]\n{levels}\n")

    assert len(found) == 1
    assert found[0].endswith("expands without end")


# --- Anything --------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "config.yaml"
    path.write_bytes(data)
    try:
        load(path, {}, COLLECTORS)
    except ConfigError as error:
        assert error.mistakes  # noqa: PT017  (both ends are right)


yaml_like = st.recursive(
    st.sampled_from(["broker", "host", "port", "1883", "log", "level", "tls", "true", "~", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(["broker", "host", "port", "log", "level", "tls", "cpu", "collectors"]),
            inner,
            max_size=3,
        ).map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}")
    ),
    max_leaves=8,
)


@given(
    yaml_like,
    st.dictionaries(
        st.sampled_from(
            [
                "BROKER",
                "BROKER__HOST",
                "BROKER__TLS",
                "BROKER__TLS__CA_CERT",
                "LOG__LEVEL",
                "COLLECTORS__CPU__INTERVAL",
            ]
        ),
        st.text(max_size=20),
    ),
)
def test_any_structure_is_a_configuration_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, variables: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("any") / "config.yaml"
    path.write_text(text)
    try:
        load(path, {f"{ENV_PREFIX}{name}": value for name, value in variables.items()}, COLLECTORS)
    except ConfigError as error:
        assert error.mistakes  # noqa: PT017  (both ends are right)


@given(st.text())
def test_any_text_is_a_broker_or_refused(text: str) -> None:
    try:
        assert parse_broker(text)["host"]
    except ValueError as error:
        assert str(error)  # noqa: PT017  (both ends are right)
