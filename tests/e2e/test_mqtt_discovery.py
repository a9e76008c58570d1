"""A host that Home Assistant's own MQTT discovery draws, until the Pilot integration does."""

from __future__ import annotations

from datetime import UTC, datetime
import time
from typing import TYPE_CHECKING, Any

from harness.host import NO_VALUE, is_of_tests

from stack.process import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeHost
    from harness.host import Host

USED = "memory.percent"
DISK = "disk.root.used_percent"
STARTED = "system.started"
LAMP = "own_commands.lamp"


def drawn_by_mqtt(host: Host) -> dict[str, dict[str, Any]]:
    """Return the entities of a host that MQTT discovery has made, by their keys."""
    return {
        entity["unique_id"].removeprefix(f"{host.id}_"): entity
        for entity in host.ha.ws("config/entity_registry/list")
        if entity["platform"] == "mqtt" and entity["unique_id"].startswith(f"{host.id}_")
    }


def wanted(host: Host) -> set[str]:
    """Return the keys of what a host announces, and of its command."""
    return {LAMP} | {key for key in host.readings() if not is_of_tests(key)}


def has_value(state: dict[str, Any]) -> bool:
    """Tell whether a state is a value."""
    return state["state"] not in NO_VALUE


def test_the_integration_takes_over_what_mqtt_discovery_has_drawn(
    make_host: MakeHost, tmp_path: Path
) -> None:
    lamp = tmp_path / "lamp"
    host = make_host(
        "attic-pc",
        discovery="mqtt",
        commands={"unsigned": True},
        own_commands={"lamp": {"show": "button", "command": ["touch", str(lamp)]}},
    ).start()
    ha = host.ha
    before = wait_for(
        lambda: drawn if wanted(host) <= (drawn := drawn_by_mqtt(host)).keys() else None,
        "entities by MQTT discovery",
        timeout=60,
        process=ha.process,
    )
    used = before[USED]["entity_id"]
    assert used == "sensor.attic_pc_memory"
    shown = ha.wait_for_state(used, has_value)
    assert shown["attributes"]["unit_of_measurement"] == "%"
    assert shown["attributes"]["state_class"] == "measurement"
    # A command that nothing proves: the local file says that it is obeyed.
    ha.call_service("button", "press", entity_id=before[LAMP]["entity_id"])
    wait_for(lamp.exists, "what the command does", timeout=30, process=host.agent.process)
    assert "unsigned" in host.agent.process.log.read_text()

    ha.ws(
        "config/entity_registry/update",
        entity_id=before[DISK]["entity_id"],
        new_entity_id="sensor.disk_of_the_attic",
        name="Disk under the roof",
    )
    # Home Assistant takes every state as what it was described as.
    assert ha.log_problems("attic") + ha.log_problems(host.id) == []
    started = ha.wait_for_state(before[STARTED]["entity_id"], has_value)
    assert started["attributes"]["device_class"] == "uptime"
    ids = {key: entity["entity_id"] for key, entity in drawn_by_mqtt(host).items()}
    added = datetime.now(UTC)
    host.add()

    taken = host.wait_for_entity(DISK)
    assert (taken["entity_id"], taken["name"]) == (
        "sensor.disk_of_the_attic",
        "Disk under the roof",
    )
    host.wait_for_state(USED, has_value)
    now = host.entity_ids()
    # Commands need a pairing now.
    readings = {key: entity_id for key, entity_id in ids.items() if key != LAMP}
    assert {key: now.get(f"{host.id}_{key}") for key in readings} == readings
    assert drawn_by_mqtt(host) == {}
    assert not [one for one in ha.devices() if ["mqtt", host.id] in one["identifiers"]]
    history = ha.get(f"history/period/{shown['last_changed']}?filter_entity_id={used}")
    assert datetime.fromisoformat(history[0][0]["last_changed"]) < added

    # It does not come back with the agent.
    since = time.monotonic()
    host.agent.stop()
    host.agent.start()
    host.wait_for_fresh_values(since)
    assert drawn_by_mqtt(host) == {}
