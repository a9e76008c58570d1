"""Part (c): how long a reading takes from the host's sensor to Home Assistant's state."""

from __future__ import annotations

from bisect import bisect_right
import json
import statistics
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from stack.console import StackError, say

from . import agents, environments
from .broker import StockMosquitto
from .listener import Heard, Listener
from .report import Table
from .workers import HomeAssistant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stack.broker import Broker

_INTERVAL = 1.0
"""The shortest that the agent's configuration allows."""

# Which of the floor's values Home Assistant is told of.
_FLOOR_VALUES = ("cpu.percent", "cpu.context_switches", "memory.available", "agent.cpu_time")


def run(folder: Path, *, seconds: float) -> list[Table]:
    """Let the agent and the floor report every second, and compare clocks."""
    folder.mkdir(parents=True, exist_ok=True)
    pilot_installed, floor = environments.from_checkout(), agents.floor()
    table = Table(
        "From reading to state: milliseconds",
        ("agent", "changes", "p50", "p90", "p99", "most"),
    )
    # One after the other: two that begin in the same millisecond would wait for each other.
    for name in ("pilot-agent", "floor, shared JSON"):
        with StockMosquitto(folder / "broker") as broker, Listener(broker) as listener:
            home_assistant = HomeAssistant(folder / name.partition(",")[0], broker, "homeassistant")
            if name == "pilot-agent":
                process = agents.pilot_agent(
                    folder / "agent", broker, pilot_installed, _INTERVAL
                ).process
            else:
                process = floor.launch(folder / "floor", broker, _INTERVAL)
                _introduce_floor(broker)
            say(f"{name}: from reading to state, for {seconds:g} s")
            with home_assistant, process:
                home_assistant.ask("start")
                home_assistant.ask("expect", sensors=len(_FLOOR_VALUES), within=60)
                time.sleep(3)
                home_assistant.ask("listen")
                time.sleep(seconds)
                changes = home_assistant.ask("heard")["heard"]
            table.rows.append([name, *_summary(_delays(changes, _reports(listener.messages)))])
    table.notes += [
        (
            "from the moment at which the values were read, by the host's clock (its payload says "
            "it to the millisecond), to the state_changed event of a sensor, by the same clock"
        ),
        f"a reading every {_INTERVAL:g} s over a Mosquitto with its own defaults on loopback",
    ]
    return [table]


def _introduce_floor(broker: Broker) -> None:
    """Tell Home Assistant's MQTT discovery of the floor's values."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="introduction")
    client.connect(broker.host, broker.port)
    components = {
        key.replace(".", "_"): {
            "platform": "sensor",
            "unique_id": f"floor/{key}",
            "name": key,
            "state_topic": "floor/state",
            "value_template": f"{{{{ value_json['values']['{key}'] }}}}",
        }
        for key in _FLOOR_VALUES
    }
    config = {
        "device": {"identifiers": ["floor"], "name": "floor"},
        "origin": {"name": "benchmark"},
        "components": components,
    }
    client.loop_start()
    sent = client.publish("homeassistant/device/floor/config", json.dumps(config), 1, retain=True)
    sent.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def _reports(messages: Sequence[Heard]) -> dict[str, list[float]]:
    """Return when each collector read its values; the floor is one collector."""
    reports: dict[str, set[float]] = {}
    for heard in messages:
        if not heard.topic.endswith("/state"):
            continue
        state = json.loads(heard.payload)
        for collector, part in state.get("collectors", {"floor/state": state}).items():
            reports.setdefault(collector, set()).add(float(part["ts"]))
    return {collector: sorted(times) for collector, times in reports.items()}


def _delays(
    changes: Sequence[tuple[str | None, float]], reports: Mapping[str, Sequence[float]]
) -> list[float]:
    """Return how long after its reading each sensor changed, in milliseconds."""
    delays = []
    for unique_id, at in changes:
        if unique_id is None:
            continue
        # "floor/KEY", or Pilot's "HOST_COLLECTOR.KEY".
        collector = (
            "floor/state"
            if unique_id.startswith("floor/")
            else unique_id.partition("_")[2].partition(".")[0]
        )
        times = reports.get(collector, ())
        # A state can only follow the last report before it; a millisecond is lost in rounding.
        if index := bisect_right(times, at + 0.001):
            delays.append(max(0.0, (at - times[index - 1]) * 1000))
    if not delays:
        raise StackError("no state changed while the readings came")
    return delays


def _summary(delays: Sequence[float]) -> list[float | int]:
    percentiles = statistics.quantiles(delays, n=100, method="inclusive")
    chosen = (percentiles[49], percentiles[89], percentiles[98], max(delays))
    return [len(delays), *(round(value, 2) for value in chosen)]
