"""Home Assistant's own MQTT discovery, and commands that are not signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.cli import doctor
from companion_agent.config import load
from companion_agent.mqtt.discovery import MqttDiscovery, discovery_payload
from companion_agent.mqtt.discovery_record import RECORD_FILE
from companion_agent.mqtt.unsigned import UnsignedCommands, v1_command
from companion_agent.protocol.announce import Announce, parse_announce
from companion_agent.protocol.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HOST = "0a1b2c3d4e5f"
TOPICS = Topics("pilot/v2", HOST)
TOPIC = f"homeassistant/device/{HOST}/config"


@pytest.fixture
def announce() -> Announce:
    content = {
        "protocol": 2,
        "session": "5f1c0a9be3d24c77",
        "host": {
            "id": HOST,
            "name": "Büro PC",
            "model": "T14",
            "macs": ["00:00:5e:00:53:01"],
        },
        "agent": {"version": "0.2.0"},
        "collectors": {name: {"interval": 10} for name in ("cpu", "disk", "session", "own", "i2c")},
        "devices": {"aht20": {"model": "AHT20"}},
        "readings": [
            {"key": "cpu.percent"},
            {"key": "disk.root.used_percent", "kind": "disk.used_percent", "of": "/"},
            {"key": "disk.data.used_percent", "kind": "disk.used_percent", "of": "/data"},
            {"key": "session.locked"},
            {"key": "own.load", "name": "UPS load", "unit": "kW", "device_class": "power"},
            {"key": "i2c.aht20.temperature", "kind": "temperature", "device": "aht20"},
            {"key": "i2c.aht20.interval", "kind": "i2c.interval", "device": "aht20"},
        ],
        "trust": {"controllers": [], "pairing": False},
        "commands": [
            {"key": "power.reboot", "args": {"delay": "seconds"}},
            {"key": "agent.update", "args": {"version": "text"}},
            {"key": "own_commands.greet", "args": {"name": "text"}, "show": "button"},
            {
                "key": "i2c.aht20.interval",
                "kind": "i2c.interval",
                "device": "aht20",
                "state": "i2c.aht20.interval",
                "args": {"value": "seconds"},
                "limits": {"value": {"minimum": 1, "maximum": 86_400, "step": 1}},
            },
        ],
    }
    found = parse_announce(json.dumps(content).encode(), HOST)
    assert found
    return found


@pytest.fixture
def components(announce: Announce) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = discovery_payload(announce, TOPICS)["components"]
    return found


def test_the_host_is_one_device(announce: Announce) -> None:
    payload = discovery_payload(announce, TOPICS)

    assert payload["device"] == {
        "identifiers": [HOST],
        "name": "Büro PC",
        "sw_version": "pilot-agent 0.2.0",
        "connections": [["mac", "00:00:5e:00:53:01"]],
        "model": "T14",
    }
    assert payload["origin"] == {"name": "pilot-agent", "sw_version": "0.2.0"}
    assert payload["availability"][0]["topic"] == TOPICS.availability


def test_readings_have_the_ids_names_and_classes_of_the_integration(
    components: Mapping[str, Mapping[str, Any]],
) -> None:
    cpu, root = components["cpu_percent"], components["disk_root_used_percent"]
    assert cpu["unique_id"] == f"{HOST}_cpu.percent"
    assert cpu["default_entity_id"] == "sensor.buro_pc_processor"
    assert (cpu["unit_of_measurement"], cpu["state_class"]) == ("%", "measurement")
    assert "entity_category" not in cpu
    assert root["name"] == "System disk"
    assert components["disk_data_used_percent"]["name"] == "Disk /data"
    assert components["i2c_aht20_temperature"]["name"] == "AHT20 Temperature"
    assert components["own_load"]["device_class"] == "power"
    locked = components["session_locked"]
    assert locked["platform"] == "binary_sensor"
    assert "true: 'OFF'" in locked["value_template"]
    assert "from_json" in locked["value_template"]


def test_commands_are_there_only_where_they_are_obeyed_unsigned(
    announce: Announce, components: Mapping[str, Mapping[str, Any]]
) -> None:
    assert not [one for one in components.values() if "command_topic" in one]

    obeyed = discovery_payload(announce, TOPICS, {"power.reboot", "agent.update"})["components"]

    commands = {name: one for name, one in obeyed.items() if "command_topic" in one}
    assert commands.keys() == {"power_reboot", "i2c_aht20_interval"}
    reboot, interval = commands["power_reboot"], commands["i2c_aht20_interval"]
    assert (reboot["platform"], reboot["device_class"]) == ("button", "restart")
    assert reboot["unique_id"] == f"{HOST}_power_reboot"
    assert reboot["command_topic"] == f"pilot/v2/{HOST}/unsigned/power.reboot"
    assert (interval["platform"], interval["min"], interval["max"]) == ("number", 1, 86_400)


def said(discovery: MqttDiscovery, announce: Announce) -> list[tuple[str, bool]]:
    """Return the topics that are said, and whether something is said there."""
    return [(one.topic, bool(one.payload)) for one in discovery.messages(announce, None)]


def test_it_is_said_while_it_is_wanted_and_taken_back_after_it(
    tmp_path: Path, announce: Announce
) -> None:
    def started(prefix: str = "homeassistant", *, wanted: bool) -> MqttDiscovery:
        return MqttDiscovery(tmp_path, TOPICS, prefix, wanted=wanted)

    assert said(started(wanted=False), announce) == []
    assert said(started(wanted=True), announce) == [(TOPIC, True)]
    moved = started("ha", wanted=True)
    assert said(moved, announce) == [(TOPIC, False), (f"ha/device/{HOST}/config", True)]
    ended = started(wanted=False)
    assert said(ended, announce) == [(f"ha/device/{HOST}/config", False)]
    assert said(ended, announce) == []
    assert not (tmp_path / RECORD_FILE).exists()


def test_what_was_taken_over_is_not_said_again_until_it_was_switched_off(
    tmp_path: Path, announce: Announce
) -> None:
    discovery = MqttDiscovery(tmp_path, TOPICS, "homeassistant", wanted=True)
    said(discovery, announce)

    discovery.received(TOPIC, b"{}", retained=False)
    discovery.received(TOPIC, b"", retained=True)
    assert said(discovery, announce) == [(TOPIC, True)]
    discovery.received(TOPIC, b"", retained=False)

    assert said(discovery, announce) == []
    again = MqttDiscovery(tmp_path, TOPICS, "homeassistant", wanted=True)
    assert said(again, announce) == []
    said(MqttDiscovery(tmp_path, TOPICS, "homeassistant", wanted=False), announce)
    switched_on = MqttDiscovery(tmp_path, TOPICS, "homeassistant", wanted=True)
    assert said(switched_on, announce) == [(TOPIC, True)]


# --- Commands that are not signed ------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "retained", "asked"),
    [
        (b"PRESS", False, [("power.reboot", {}, "unsigned")]),
        (b"5", False, [("power.reboot", {"value": 5.0}, "unsigned")]),
        (b"HDMI", False, [("power.reboot", {"value": "HDMI"}, "unsigned")]),
        (b"PRESS", True, []),
    ],
)
def test_commands_of_discovered_entities(payload: bytes, retained: bool, asked: list[Any]) -> None:
    heard: list[Any] = []
    commands = UnsignedCommands(lambda *one: heard.append(one))

    commands.received(TOPICS.unsigned("power.reboot"), payload, retained=retained)

    assert heard == asked


@pytest.mark.parametrize(
    ("what", "said", "command"),
    [
        ("power", "Shutdown", ("power.shutdown", {})),
        ("power", "sleep", ("power.suspend", {})),
        ("screen", "off", ("screen.on", {"value": 0})),
        ("lock", "", ("session.lock", {})),
        ("power", "explode", None),
        ("cpu_frequency", "2.4", ("processor.maximum_frequency", {"value": 2400})),
        ("cpu_frequency", "nan", None),
        ("volume", "5", None),
    ],
)
def test_commands_of_v1(what: str, said: str, command: tuple[str, dict[str, Any]] | None) -> None:
    assert v1_command(what, said) == command


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("commands: {unsigned: true}", []),
        ("discovery: mqtt", ["MQTT discovery"]),
        (
            "discovery: mqtt\ncommands: {unsigned: true}",
            ["MQTT discovery", "unsigned commands"],
        ),
        ("mirror: {v1: {device: pc, commands: true}}", ["unsigned commands"]),
    ],
)
def test_doctor_warns_of_what_is_obeyed_unsigned(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"broker: localhost\nstate_dir: {tmp_path}\n{text}\n")

    checks = list(doctor._check_discovery(load(path, {})))

    assert [check.name for check in checks] == names
    assert all(check.verdict == "bad" for check in checks if check.name == "unsigned commands")


@pytest.fixture
def taken(tmp_path: Path, announce: Announce) -> Callable[[], None]:
    """Return a function that has the integration take the host over."""

    def taken() -> None:
        discovery = MqttDiscovery(tmp_path, TOPICS, "homeassistant", wanted=True)
        said(discovery, announce)
        discovery.received(TOPIC, b"", retained=False)

    return taken


def test_doctor_says_that_the_host_was_taken_over(
    tmp_path: Path, taken: Callable[[], None]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"broker: localhost\nstate_dir: {tmp_path}\ndiscovery: mqtt\n")
    taken()

    [check] = doctor._check_discovery(load(path, {}))

    assert "the Pilot integration draws this host" in check.detail
