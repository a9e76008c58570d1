"""A discovered host becomes a device that shows what the host itself reads."""

from __future__ import annotations

from datetime import datetime
import subprocess
import time
from typing import TYPE_CHECKING, Any

from harness.host import NO_VALUE, OF_THE_HOST, is_of_tests
from harness.units import in_native
import pytest

from companion_agent.protocol.catalogue import CATALOGUE, ReadingType
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import MakeHost
    from harness.host import Host, State

    from companion_agent.protocol.catalogue import Kind
    from stack.netns import Network

pytestmark = pytest.mark.proves("cpu.percent", "memory.*", "disk.*", "network.*", "system.*")

STATIC = {
    "disk.total",
    "memory.swap_total",
    "memory.total",
    "network.connected",
    "network.ipv4",
    "network.ipv6",
    "system.kernel",
    "system.os",
    "system.pending_reboot",
    "system.started",
}
"""Kinds that stand still for the time of a test."""

TOLERANCES = {
    "cpu.load_15m": 1,
    "cpu.load_1m": 3,
    "cpu.load_5m": 2,
    "cpu.temperature": 15,
    "disk.free": 2**30,
    "disk.used": 2**30,
    "disk.used_percent": 5,
    "memory.available": 2**30,
    "memory.percent": 15,
    "memory.swap_percent": 5,
    "memory.swap_used": 2**28,
    "memory.used": 2**30,
    "system.processes": 100,
    "system.users": 2,
    "temperature.sensor": 15,
}
"""How far kinds may move between two looks at a machine that runs tests."""


@pytest.fixture
def host(host: Host) -> Host:
    """Return a host whose entities are all enabled and show values."""
    wait_for(lambda: len(host.entities()) >= len(host.readings()), "an entity for every reading")
    host.enable_all_entities()
    host.wait_for_fresh_values(since=time.monotonic())
    return host


def test_static_values_are_those_that_the_host_reads(host: Host) -> None:
    read = _read(host)

    shown = _values(host)

    static = {key for key, reading in read.items() if reading["kind"] in STATIC}
    assert static >= {"memory.total", "system.started", "system.os", "system.kernel"}
    assert {key: shown.get(key) for key in static} == {key: _expected(read[key]) for key in static}


def test_moving_values_are_about_those_that_the_host_reads(host: Host) -> None:
    read = _read(host)

    shown = _values(host)

    moving = {key for key, reading in read.items() if reading["kind"] in TOLERANCES}
    assert moving >= {"cpu.load_1m", "memory.percent", "memory.available", "system.processes"}
    far = {
        key: f"shown {shown[key]}, read {read[key]['value']}"
        for key in moving
        if abs(shown[key] - read[key]["value"]) > TOLERANCES[read[key]["kind"]]
    }
    assert not far


def test_every_reading_is_shown(host: Host) -> None:
    read = _read(host)

    states = {key: state for key, state in host.states().items() if not is_of_tests(key)}

    assert states.keys() == {*read, *OF_THE_HOST}
    # Events have no value until something happens.
    without_value = {
        key
        for key, state in states.items()
        if state["state"] in NO_VALUE and not key.endswith("_event")
    }
    assert without_value <= {key for key, reading in read.items() if reading["value"] is None}


def test_units_are_those_of_the_catalogue(host: Host) -> None:
    wrong = {}

    for key, state in _states(host).items():
        native = CATALOGUE[_kind(host, key)].unit
        shown = state["attributes"].get("unit_of_measurement", "")
        try:
            in_native(1, shown, native)
        except ValueError:
            wrong[key] = f"{shown!r} instead of {native!r}"

    assert not wrong


def test_names_are_for_people(host: Host) -> None:
    states = host.states()

    names = [state["attributes"]["friendly_name"] for state in states.values()]

    assert len(set(names)) == len(names), "two entities of one name"
    assert all(name.startswith("office-pc ") for name in names)
    assert not [name for name in names if "_" in name or "{" in name or "component." in name]


def test_values_are_limited_in_length(host: Host) -> None:
    registry = {key: host.entity(key) for key in _states(host)}

    long = {
        key: state["state"]
        for key, state in _states(host).items()
        if CATALOGUE[_kind(host, key)].type is ReadingType.NUMBER
        and len(state["state"].partition(".")[2]) > 3
        and not _has_display_precision(host, registry[key]["entity_id"])
    }

    assert not long


def test_most_readings_are_enabled_and_the_rest_is_disabled_by_pilot(
    make_host: MakeHost,
) -> None:
    host = make_host("office-pc").start().add()

    entities = wait_for(lambda: _entities_of_all_readings(host), "an entity for every reading")

    assert {entity["disabled_by"] for entity in entities.values()} == {None, "integration"}
    enabled = {key for key in host.readings() if not host.entity(key)["disabled_by"]}
    assert enabled >= {"cpu.percent", "memory.percent", "system.started"}


def test_a_host_that_only_names_its_broker_is_complete(make_host: MakeHost) -> None:
    host = make_host("", collectors={}, log={})

    host.start().add()

    assert host.device["name"] == host.announce()["host"]["name"]
    host.wait_for_state("memory.percent", lambda state: state["state"] not in NO_VALUE)


def test_a_host_may_speak_mqtt_3_1_1(make_host: MakeHost) -> None:
    host = make_host("old-pc", broker={"protocol": "3.1.1"})

    host.start().add()

    host.wait_for_fresh_values(since=time.monotonic())


def test_interface_that_is_unplugged_and_plugged_in_again(
    make_host: MakeHost, network: Network
) -> None:
    host = make_host("far-away", host=network.gateway, prefix=network.prefix).start().add()
    ip = [network.prefix[0], "-n", network.name]

    def plug_in() -> None:
        adapter = ["usb0", "type", "veth", "peer", "name", "usb-peer"]
        subprocess.run([*ip, "link", "add", *adapter], check=True)
        # Without an address the end of a virtual cable is a container's.
        subprocess.run([*ip, "address", "add", "198.51.100.2/24", "dev", "usb0"], check=True)

    plug_in()
    plugged_in = host.wait_for_entity("network.usb0.download_rate")
    subprocess.run([*ip, "link", "del", "usb0"], check=True)
    wait_for(lambda: not [key for key in host.states() if "usb0" in key], "end of the entity")
    plug_in()

    again = host.wait_for_entity("network.usb0.download_rate")
    assert again["entity_id"] == plugged_in["entity_id"]
    assert again["id"] == plugged_in["id"]


def _entities_of_all_readings(host: Host) -> dict[str, dict[str, Any]] | None:
    """Return a host's entities once each of its readings has one."""
    entities = host.entities()
    wanted = {f"{host.id}_{key}" for key in host.readings()}
    return entities if wanted <= entities.keys() else None


def _read(host: Host) -> dict[str, dict[str, Any]]:
    """Return what ``pilot-agent read --json`` prints of what the host reports, by key."""
    readings: dict[str, dict[str, Any]] = host.agent.read()["readings"]
    reports = host.announce()["collectors"]
    return {
        key: reading
        for key, reading in readings.items()
        if key.partition(".")[0] in reports and not is_of_tests(key)
    }


def _kind(host: Host, key: str) -> str:
    return str(host.readings()[key].get("kind") or key)


def _states(host: Host) -> dict[str, State]:
    """Return the states of readings that have a value."""
    return {
        key: state
        for key, state in host.states().items()
        if key not in OF_THE_HOST and state["state"] not in NO_VALUE
    }


def _values(host: Host) -> dict[str, Any]:
    """Return what is shown of all readings, in the units of the catalogue."""
    return {key: _value(state, CATALOGUE[_kind(host, key)]) for key, state in _states(host).items()}


def _value(state: State, kind: Kind) -> Any:
    text = state["state"]
    match kind.type:
        case ReadingType.NUMBER:
            shown = state["attributes"].get("unit_of_measurement", "")
            return in_native(float(text), shown, kind.unit)
        case ReadingType.BOOLEAN:
            return text == "on"
        case ReadingType.TIMESTAMP:
            return datetime.fromisoformat(text)
        case _:
            return text


def _expected(reading: Mapping[str, Any]) -> Any:
    """Return what is to be shown of a reading that does not move."""
    value = reading["value"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return pytest.approx(value, rel=1e-9)
    if CATALOGUE[reading["kind"]].type is ReadingType.TIMESTAMP:
        return datetime.fromisoformat(value)
    return value


def _has_display_precision(host: Host, entity_id: str) -> bool:
    options = host.ha.ws("config/entity_registry/get", entity_id=entity_id)["options"]
    return "suggested_display_precision" in options.get("sensor", {})
