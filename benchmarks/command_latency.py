"""Part (d): how long a command takes from the action's call in Home Assistant to its result."""

from __future__ import annotations

import base64
import json
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from stack import toolchain
from stack.agent import Agent
from stack.console import StackError, say
from stack.paths import ROOT
from stack.process import Process

from .broker import StockMosquitto
from .report import Table
from .workers import HomeAssistant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stack.broker import Broker

COMMAND = "power.hibernate"
"""What ``commanded_agent.py`` does without doing anything."""

_FLEET_KEY = bytes(range(32))


def run(folder: Path, *, times: int) -> list[Table]:
    """Measure bare round trips and commands over the same broker."""
    folder.mkdir(parents=True, exist_ok=True)
    table = Table(
        "From the action's call to the host's result: milliseconds",
        ("", "times", "p50", "p90", "p99", "most"),
    )
    with StockMosquitto(folder / "broker") as broker:
        for qos in (0, 1):
            say(f"bare round trips at QoS {qos}")
            table.rows.append(
                [f"bare round trip, QoS {qos}", *_summary(_bare(folder, broker, qos, times))]
            )
        with _agent(folder / "agent", broker).process, _home_assistant(folder, broker) as worker:
            worker.ask("start")
            worker.ask("expect", sensors=1, within=60)
            for name, service in (("button.press", "button"), ("pilot.send_command", "action")):
                say(f"commands by {name}")
                answer = worker.ask("command", how=service, command=COMMAND, times=times)
                took = [seconds * 1000 for seconds in answer["took"]]
                table.rows.append([f"{name}, signed", *_summary(took)])
    table.notes += [
        (
            "bare: two plain paho clients in processes of their own, 40 bytes to and fro; "
            "commands: the whole way through Home Assistant's action, signature, broker, the "
            "agent's checks, its worker and record, and the signed result back"
        ),
        "one after the other, over a Mosquitto with its own defaults on loopback",
    ]
    return [table]


def _agent(folder: Path, broker: Broker) -> Agent:
    """Return an agent that does nothing when it is commanded."""
    settings = {"security": {"fleet_key": base64.b64encode(_FLEET_KEY).decode()}}
    agent = Agent(folder, broker, settings=settings)
    agent.configure()
    program = [str(toolchain.python_of("agent-3.11")), str(ROOT / "benchmarks/commanded_agent.py")]
    agent.process.command[:] = [*program, "run", "--config", str(agent.config)]
    return agent


def _home_assistant(folder: Path, broker: Broker) -> HomeAssistant:
    """Return a Home Assistant that has the fleet key, so that no code has to be typed."""
    storage = folder / "homeassistant" / ".storage"
    storage.mkdir(parents=True)
    data = {
        "controller": "4f1d2c3b5a697887",
        "fleet": base64.b64encode(_FLEET_KEY).decode(),
        "add_fleet": True,
        "hosts": {},
    }
    stored = {"version": 1, "minor_version": 1, "key": "pilot.trust", "data": data}
    (storage / "pilot.trust").write_text(json.dumps(stored), encoding="utf-8")
    return HomeAssistant(folder / "homeassistant", broker, "homeassistant")


def _bare(folder: Path, broker: Broker, qos: int, times: int) -> list[float]:
    """Return how long a message and its echo took, in milliseconds."""
    answered = threading.Semaphore(0)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="caller")
    client.on_connect = lambda client, *_: client.subscribe("bare/answer", qos)
    client.on_message = lambda *_: answered.release()
    command = [sys.executable, "-m", "benchmarks.command_latency"]
    arguments = [broker.host, str(broker.port), str(qos)]
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"}
    echo = Process("echo", [*command, *arguments], folder / "echo.log", env=env)
    took = []
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        with echo:
            _wait_for_echo(client, qos, answered)
            for _ in range(times):
                begin = time.perf_counter()
                client.publish("bare/call", b"x" * 40, qos)
                if not answered.acquire(timeout=10):
                    raise StackError("a message was not echoed")
                took.append((time.perf_counter() - begin) * 1000)
    finally:
        client.disconnect()
        client.loop_stop()
    return took


def _wait_for_echo(client: mqtt.Client, qos: int, answered: threading.Semaphore) -> None:
    for _ in range(100):
        client.publish("bare/call", b"are you there?", qos)
        if answered.acquire(timeout=0.3):
            return
    raise StackError("the echo process does not answer")


def _echo(host: str, port: str, qos: str) -> None:
    """Send back whatever is called out, until killed."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="echo")
    client.on_connect = lambda client, *_: client.subscribe("bare/call", int(qos))

    def answer(client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        client.publish("bare/answer", message.payload, int(qos))

    client.on_message = answer
    client.connect(host, int(port))
    client.loop_forever()


def _summary(took: Sequence[float]) -> list[float | int]:
    percentiles = statistics.quantiles(took, n=100, method="inclusive")
    chosen = (percentiles[49], percentiles[89], percentiles[98], max(took))
    return [len(took), *(round(value, 2) for value in chosen)]


if __name__ == "__main__":
    _echo(*sys.argv[1:])
