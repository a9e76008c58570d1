"""What becomes of the keys of v1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, strategies as st
import pytest

from companion_agent.cli.migrate import v1_config
from companion_agent.cli.migrate.carry_over import carry_over
from companion_agent.cli.migrate.mapping import (
    COMMANDS,
    SENSORS,
    Found,
    Outcome,
    normal,
)
from companion_agent.config import ConfigError, Mistake
from companion_agent.platforms.control import PowerAction, SessionAction
from companion_agent.platforms.processor import SettingName
from companion_agent.plugins import registry
from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.processor.plugin import ProcessorPlugin
from companion_agent.plugins.session import SessionPlugin

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Found]:
    """Carry a file over."""

    def read(text: str, name: str = "v1.env", device: str = "") -> Found:
        path = tmp_path / name
        path.write_text(text)
        return carry_over(v1_config.read(path), tmp_path, device)

    return read


@pytest.fixture
def mistakes(read: Callable[..., Found], tmp_path: Path) -> Callable[..., list[str]]:
    """Carry a file over that cannot be."""

    def fail(text: str, name: str = "v1.env") -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, name)
        return [str(one).replace(f"{tmp_path}/", "") for one in caught.value.mistakes]

    return fail


@pytest.mark.parametrize(
    ("line", "to"),
    [
        ("MQTT_BROKER=10.0.0.5", "broker.host"),
        ("MQTT_HOST=10.0.0.5:1884", "broker.host, broker.port"),
        ("BROKER_URL=ssl://mqtt.local", "broker.host, broker.tls"),
        ("PILOT_MQTT_PORT=1884", "broker.port"),
        ("MQTT_USERNAME=u", "broker.username"),
        ("MQTT_KEEPALIVE=60", "broker.keepalive"),
        ("MQTT_VERSION=3.1.1", "broker.protocol"),
        ("USE_TLS=1", "broker.tls"),
        ("MQTT_CA_CERT=file", "broker.tls.ca_cert"),
        ("CLIENT_CERT=file", "broker.tls.client_cert"),
        ("DEVICE_NAME=office", "mirror.v1.device"),
        ("FRIENDLY_NAME='My office'", "name"),
        ("BASE_TOPIC=pilot", "mirror.v1.prefix"),
        ("TOPIC_PREFIX=pilot/v2", "topic_prefix"),
        ("LWT_TOPIC=pilot/office/lwt", "mirror.v1.availability_topic"),
        ("ALLOWED_COMMANDS=shutdown,lock", "commands.allow"),
        ("COMMAND_DENYLIST=reboot", "commands.deny"),
        ("COMMAND_COOLDOWN=10", "commands.cooldown.*"),
        ("COOLDOWN_REBOOT=10", "commands.cooldown.power.reboot"),
        ("DRY_RUN=yes", "commands.dry_run"),
        ("CPU_INTERVAL=10s", "collectors.cpu.interval"),
        ("INTERVAL_BATTERY=60", "collectors.battery.interval"),
        ("NETWORK_ENABLED=false", "collectors.network.enabled"),
        ("LOG_LEVEL=WARN", "log.level"),
        ("DEBUG=1", "log.level"),
        ("LOG_FORMAT=json", "log.format"),
        ("JSON_LOGS=true", "log.format"),
        ("HA_STATUS_TOPIC=ha/status", "home_assistant.birth_topic"),
    ],
)
def test_is_taken(line: str, to: str, read: Callable[..., Found], tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (outcome,) = read(line).outcomes

    assert (outcome.to, outcome.why) == (to, "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("MQTT_CLIENT_ID=office", "put each other out"),
        ("TLS_INSECURE=true", "always verified"),
        ("MQTT_QOS=1", "the protocol"),
        ("HEARTBEAT_INTERVAL=60", "the protocol"),
        ("HOSTNAME=office", "--device"),
        ("DISCOVERY=yes", "by itself"),
        ("DISCOVERY_PREFIX=homeassistant", "by itself"),
        ("HMAC_SECRET=x", "pair"),
        ("LOG_FILE=/var/log/pilot.log", "journal"),
        ("CPU_TEMP_ENABLED=false", "cannot be switched off alone"),
        ("GPU_TEMP_ENABLED=false", "cannot be switched off alone"),
        ("CPU_ENABLED=true", "so anyway"),
        ("VOLUME_COOLDOWN=5", "no command volume"),
        ("PROXMOX_HOST=pve", "not read yet"),
        ("PAYLOAD_AVAILABLE=up", "as Home Assistant expects"),
        ("FROBNICATE=3", "is not known"),
        ("MQTT_USER=", "is empty"),
    ],
)
def test_is_not_taken_and_why(line: str, why: str, read: Callable[..., Found]) -> None:
    (outcome,) = read(line).outcomes

    assert not outcome.to
    assert why in outcome.why


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\nMQTT_PORT=x\n", "v1.env:3: MQTT_PORT: expected a whole number from 1 to 65535, not"),
        ("DRY_RUN=perhaps", 'v1.env:1: DRY_RUN: expected true or false, not "perhaps"'),
        ("CPU_RATE=0", 'v1.env:1: CPU_RATE: expected seconds, a number from 1 to 86400, not "0"'),
        ("DEVICE=a b", 'v1.env:1: DEVICE: expected an MQTT topic without + and #, not "a b"'),
        ("CA_CERT=none.pem", "v1.env:1: CA_CERT: expected the path of a file that can be read"),
        ("MQTT_HOST=a\nBROKER=b", "v1.env:2: BROKER: says something else than MQTT_HOST (v1"),
        ("MQTT_PASSWORD=x", "v1.env:1: MQTT_PASSWORD: has no user name to it"),
    ],
)  # fmt: skip
def test_mistakes_name_line_and_key(
    text: str, said: str, mistakes: Callable[..., list[str]]
) -> None:
    (mistake,) = mistakes(text)

    assert mistake.startswith(said)


def test_all_mistakes_are_named_at_once(mistakes: Callable[..., list[str]]) -> None:
    assert mistakes("A\nB='\n") == [
        "v1.env:1: is not NAME=VALUE; a comment begins with #",
        "v1.env:2: B: has no closing '",
    ]
    assert len(mistakes("MQTT_PORT=x\nDEBUG=x\n")) == 2


def test_mistakes_in_yaml_name_line_and_key(mistakes: Callable[..., list[str]]) -> None:
    text = "mqtt:\n  host: a\n  port: x\nintervals:\n  cpu: [1]\n"

    assert mistakes(text, "v1.yaml") == [
        'v1.yaml:3: mqtt.port: expected a whole number from 1 to 65535, not "x"',
        "v1.yaml:5: intervals.cpu: expected seconds, a number from 1 to 86400, not a list",
    ]


def test_an_address_with_a_password_is_not_shown(mistakes: Callable[..., list[str]]) -> None:
    (said,) = mistakes("MQTT_URL=http://u:s3cret@mqtt.local")

    assert "s3cret" not in said


def test_yaml(read: Callable[..., Found]) -> None:
    found = read(
        "mqtt: {host: 10.0.0.5, username: u, password: 0123}\n"
        "device: {name: office, topicPrefix: house}\n"
        "commands: {allowlist: [power, screen], cooldown: {reboot: 60, default: 5}}\n"
        "sensors: {cpu: {interval: 5}, battery: {enabled: no}}\n",
        "v1.yaml",
    )

    assert found.broker == {"host": "10.0.0.5", "username": "u", "password": "0123"}
    assert found.device == "office"
    assert found.blocks == {
        "commands": {"allow": ["power.*"], "cooldown": {"power.reboot": 60}},
        "collectors": {"cpu": {"interval": 5}, "battery": {"enabled": False}},
    }
    left = {outcome.entry.key for outcome in found.outcomes if not outcome.to}
    assert left == {"device.topicPrefix", "commands.cooldown.default"}


def test_the_shortest_interval_of_a_collector_counts(read: Callable[..., Found]) -> None:
    found = read("INTERVAL=30\nCPU_INTERVAL=20\nCPU_TEMP_INTERVAL=5\n")

    intervals = {name: below["interval"] for name, below in found.blocks["collectors"].items()}
    assert intervals == {"cpu": 5, "memory": 30, "network": 30, "battery": 30}
    assert [bool(outcome.to) for outcome in found.outcomes] == [True, False, True]


def test_an_empty_allowlist_allows_nothing(read: Callable[..., Found]) -> None:
    assert read("ALLOWED_COMMANDS=").blocks == {"commands": {"allow": []}}
    assert read("ALLOWED_COMMANDS=screen").blocks == {"commands": {"allow": []}}


def test_of_a_variable_that_is_set_twice_the_last_one_counts(read: Callable[..., Found]) -> None:
    found = read("MQTT_HOST=a\nMQTT_HOST=b\n")

    assert found.broker == {"host": "b"}
    assert found.outcomes[0].why == "line 2 sets it again, and the last one counted"


def test_certificates_without_encryption_are_not_taken(
    read: Callable[..., Found], tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()

    found = read("MQTT_TLS=no\nCA_CERT=ca.pem\n")

    assert found.security is None
    assert found.outcomes[1].why == "the connection was not encrypted"


def test_a_device_can_be_named_on_the_command_line(read: Callable[..., Found]) -> None:
    found = read("DEVICE='My PC'\n", device="my-pc")

    assert found.device == "my-pc"
    assert "my-pc" in found.outcomes[0].why


def test_a_unit_is_told_from_an_environment_file(mistakes: Callable[..., list[str]]) -> None:
    (said,) = mistakes("[Service]\nExecStart=x\n")

    assert "EnvironmentFile=" in said


def test_what_the_tables_name_is_there() -> None:
    names = {f"{PowerPlugin.name}.{one}" for one in PowerAction.__args__}  # type: ignore[attr-defined]
    names |= {f"{SessionPlugin.name}.{one}" for one in SessionAction.__args__}  # type: ignore[attr-defined]
    names |= {f"{ProcessorPlugin.name}.{one}" for one in SettingName.__args__}  # type: ignore[attr-defined]
    named = {name for keys in COMMANDS.values() for name in keys}

    assert {name for name in named if "*" not in name} <= names
    assert set(SENSORS.values()) <= registry.collectors().keys()


@pytest.mark.parametrize(
    "key", ["MQTT_HOST", "mqtt.host", "mqttHost", "PILOT_MQTT_HOST", "pilot.mqtt-host"]
)
def test_spellings(key: str) -> None:
    assert normal(key) == "mqtt_host"


NAMES = (
    "mqtt broker host port user password tls ca client cert key device name topic prefix cpu temp "
    "interval enabled allow commands cooldown reboot log level format ha status x"
)
WORDS = st.sampled_from(NAMES.split())
VALUES = st.sampled_from(["", "1", "true", "10.0.0.5", "json", "a b", "shutdown,x", "-5", "tcp://"])


@given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=4), VALUES), max_size=6))
def test_every_key_has_a_fate_or_a_mistake(pairs: list[tuple[list[str], str]]) -> None:
    entries = [
        v1_config.Entry("_".join(words).upper(), value, f"v1.env:{line}")
        for line, (words, value) in enumerate(pairs, 1)
    ]
    outcomes: list[Outcome] = []
    mistakes: list[Mistake] = []
    try:
        outcomes = carry_over(entries, Path("/nowhere")).outcomes
    except ConfigError as error:
        mistakes = list(error.mistakes)

    assert [outcome.entry for outcome in outcomes] == entries or mistakes
    assert all(outcome.to or outcome.why for outcome in outcomes)
    assert {mistake.where for mistake in mistakes} <= {entry.where for entry in entries}
