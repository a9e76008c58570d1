"""Whatever is published on the topics: nothing changes, and the log stays readable."""

from __future__ import annotations

import base64
from collections import Counter
import json
import random
import re
import secrets
from typing import TYPE_CHECKING, Any

from harness.bus import PREFIX
from harness.host import FakeHost
import pytest

from stack.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.bus import Bus
    from harness.logs import Logs

    from stack.homeassistant import HomeAssistant

CONTRACT_ID = "9c3f6f0e3a5b4d21"
"""The host of the contract's vectors."""

ANNOUNCE = {
    "protocol": 2,
    "session": "5f1c0a9be3d24c77",
    "host": {"id": CONTRACT_ID, "name": "victim"},
    "agent": {"version": "0.1.0"},
    "collectors": {"cpu": {"interval": 3600}, "disk": {"interval": 3600}},
    "readings": [
        {"key": "cpu.percent"},
        {"key": "cpu.temperature"},
        {"key": "disk.root.used_percent", "kind": "disk.used_percent", "of": "/"},
    ],
}
VALUES: dict[str, dict[str, Any]] = {
    "cpu": {"percent": 12.5, "temperature": 40},
    "disk": {"root.used_percent": 50},
}


@pytest.fixture
def victim(ha: HomeAssistant, bus: Bus) -> Iterator[FakeHost]:
    """Return a host that says only what it is told to."""
    # An id for each test: Home Assistant does not offer again what was removed.
    victim = FakeHost(ha, bus, {**ANNOUNCE, "host": {"id": secrets.token_hex(8), "name": "victim"}})
    victim.say_everything(VALUES)
    victim.add()
    victim.wait_for_entity("disk.root.used_percent")
    victim.wait_for_state("cpu.percent", "12.5")
    yield victim
    bus.forget_host(victim.id)
    victim.remove()


def test_refused_payloads_change_nothing(victim: FakeHost) -> None:
    before = _everything(victim)

    for topic, payload in _vectors(victim.id):
        victim.bus.publish(topic, payload)
    _wait_until_all_is_read(victim)

    assert _everything(victim) == before


def test_refused_payloads_that_the_broker_keeps_change_nothing(
    victim: FakeHost, ha: HomeAssistant
) -> None:
    before = victim.entity_ids()

    for topic, payload in _vectors(victim.id):
        victim.bus.publish(topic, payload, retain=True)
    ha.reload_entry(victim.entry["entry_id"])

    victim.wait_for_status("unknown")
    assert {state["state"] for key, state in victim.states().items() if "." in key} == {
        "unavailable"
    }
    victim.say_everything(VALUES)
    victim.wait_for_state("cpu.percent", "12.5")
    assert victim.entity_ids() == before


def test_each_kind_is_logged_once(victim: FakeHost, ha: HomeAssistant, logs: Logs) -> None:
    for _ in range(3):
        for topic, payload in _vectors(victim.id):
            victim.bus.publish(topic, payload)
    _wait_until_all_is_read(victim)

    lines = re.findall(r"(?m)^\S+ \S+ WARNING .*?(Refused.*)$", logs.since_begin(ha.process))
    repeated = {line: count for line, count in Counter(lines).items() if count > 1}
    assert lines
    assert not repeated
    assert all(len(line) < 400 for line in lines), "payloads do not belong into the log"


def test_noise_changes_nothing(victim: FakeHost) -> None:
    before = _everything(victim)
    noise = random.Random(20)

    for number in range(300):
        below = ("announce", "availability", "state")[number % 3]
        payload = noise.randbytes(noise.choice((0, 1, 7, 200, 4000)))
        if payload or below != "announce":  # An empty one is how a host says good-bye.
            victim.bus.publish(victim.topic(below), payload)
    _wait_until_all_is_read(victim)

    assert _everything(victim) == before


def test_giants_change_nothing(victim: FakeHost) -> None:
    before = _everything(victim)
    deep = b"[" * 100_000 + b"]" * 100_000

    for below in ("announce", "availability", "state"):
        victim.bus.publish(victim.topic(below), deep)
        victim.bus.publish(victim.topic(below), b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
        victim.bus.publish(victim.topic(below), b" " * 5_000_000)
    many = [{"key": f"cpu.{number}"} for number in range(2001)]
    victim.bus.publish(victim.topic("announce"), json.dumps({**victim.told, "readings": many}))
    _wait_until_all_is_read(victim)

    assert _everything(victim) == before


def test_values_of_another_type_than_announced_change_nothing(victim: FakeHost) -> None:
    before = _everything(victim)

    for value in ("13", True, "", "NaN", "<b>13</b>", "{{ 1/0 }}"):
        victim.say_values("cpu", {"percent": value, "temperature": 99})
    victim.say_values("nothing", {"percent": 1})
    victim.say_values("cpu/percent", {"percent": 1})
    _wait_until_all_is_read(victim)

    assert _everything(victim) == before


def test_no_host_is_offered_without_a_valid_announce(
    ha: HomeAssistant, bus: Bus, victim: FakeHost
) -> None:
    before = {flow["flow_id"] for flow in ha.flows()}
    payloads = [
        payload
        for topic, payload in _vectors(CONTRACT_ID)
        if topic.endswith("/announce") and payload
    ]

    for number, payload in enumerate(payloads):
        bus.publish(f"{PREFIX}/stranger-{number}/announce", payload)
    for odd in ("", "x", "UPPER-CASE-ID", "a" * 65, "ünïcode-höst", "<script>1</script>", "$x{}[]"):
        told = {**ANNOUNCE, "host": {"id": odd, "name": "odd"}}
        bus.publish(f"{PREFIX}/{odd}/announce", json.dumps(told))
    _wait_until_all_is_read(victim)

    assert {flow["flow_id"] for flow in ha.flows()} == before


def test_markup_in_a_name_is_a_name(ha: HomeAssistant, bus: Bus) -> None:
    name = "<img src=x onerror=alert(1)> {{ states }} %s {0}"
    told: dict[str, Any] = {
        **ANNOUNCE,
        # What turns the direction of writing is no part of a name.
        "host": {"id": secrets.token_hex(8), "name": f"{name}\u202e"},
        "readings": [{"key": "cpu.load", "kind": "custom", "name": name, "unit": name}],
    }
    host = FakeHost(ha, bus, told)
    try:
        host.say_everything({"cpu": {"load": 7}})

        host.add()

        host.wait_for_entity("cpu.load")
        state = host.wait_for_state("cpu.load", "7")
        assert host.device_name == name
        assert state["attributes"]["friendly_name"].startswith(name[:20])
    finally:
        bus.forget_host(host.id)
        host.remove()


def _vectors(host_id: str) -> list[tuple[str, bytes]]:
    """Return topic and payload of everything that the contract refuses, told of a host."""
    vectors = []
    for path in sorted((ROOT / "tests" / "contract" / "refused").glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        if "payload_base64" in vector:
            payload = base64.b64decode(vector["payload_base64"])
        elif isinstance(vector["payload"], str):
            payload = vector["payload"].encode()
        else:
            payload = json.dumps(vector["payload"]).encode()
        topic = vector["topic"].replace(CONTRACT_ID, host_id)
        vectors.append((topic, payload.replace(CONTRACT_ID.encode(), host_id.encode())))
    return vectors


def _everything(host: FakeHost) -> dict[str, Any]:
    """Return all that Home Assistant shows of a host, times of writing included."""
    return {
        "entry": {key: host.entry[key] for key in ("title", "state", "reason")},
        "device": {key: value for key, value in host.device.items() if key != "modified_at"},
        "entities": host.entity_ids(),
        "states": {key: state for key, state in host.states().items() if key != "cpu.temperature"},
    }


def _wait_until_all_is_read(host: FakeHost) -> None:
    """Publish a proper value behind the improper ones, and wait until it is shown."""
    host.bus.publish(host.topic("availability"), "online")
    shown = float(host.state("cpu.temperature")["state"])
    host.say_values("cpu", {"percent": 12.5, "temperature": shown + 1})
    host.wait_for_state("cpu.temperature", lambda state: float(state["state"]) == shown + 1)
