"""The whole agent as a service of a host that shuts down, comes up again and is commanded."""

from __future__ import annotations

import base64
from contextlib import contextmanager
import json
import threading
import time
from typing import TYPE_CHECKING, Any
import uuid

from conftest import AGENT, Bench, both
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
import pytest

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import derive
from companion_agent.protocol.validation import FLEET
from stack.nspawn import LIBRARIES, SOURCE, SystemdHost
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.broker import Mosquitto

PREFIX = "pilot/v2"
FLEET_KEY = bytes(range(32))
CONTROLLER = "4f1d2c3b5a697887"

UNIT = f"""\
[Unit]
After=network.target dbus.service

[Service]
User={AGENT}
StateDirectory=pilot-agent
Environment=PYTHONPATH={SOURCE}:{LIBRARIES} PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m companion_agent run --config /etc/pilot-agent.json
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


class House:
    """What a paired Home Assistant hears and says."""

    def __init__(self, broker: Mosquitto) -> None:
        self._heard: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/#", qos=1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        with self._lock:
            self._heard.append((message.topic, message.payload))

    def forget(self) -> None:
        with self._lock:
            self._heard.clear()

    def heard(self, below: str) -> list[bytes]:
        with self._lock:
            return [payload for topic, payload in self._heard if topic.endswith(f"/{below}")]

    def availability(self) -> list[str]:
        return [word(payload) for payload in self.heard("availability")]

    def body(self, below: str) -> dict[str, Any]:
        """Wait for something that the host says, and take off its envelope."""
        payload = wait_for(lambda: self.heard(below), below)[-1]
        body: dict[str, Any] = json.loads(json.loads(payload)["body"])
        return body

    def commands(self) -> dict[str, Any]:
        return {command["key"]: command for command in self.body("announce")["commands"]}

    def command(self, key: str, **args: Any) -> dict[str, Any]:
        """Have the host do something, and return its result."""
        announce = self.body("announce")
        host = announce["host"]["id"]
        topic = f"{PREFIX}/{host}/command/{key}"
        request = {
            "id": uuid.uuid4().hex[:16],
            "controller": CONTROLLER,
            "session": announce["session"],
            "counter": int(time.time() * 1000),
            "time": time.time(),
            "args": args,
        }
        keys = derive(FLEET, FLEET_KEY, PREFIX, host)
        payload = seal(topic, dump(request), {FLEET: keys.command})
        self._client.publish(topic, payload, 0).wait_for_publish(10)
        return wait_for(lambda: self._result(key, request["id"]), f"the result of {key}")

    def _result(self, key: str, of: str) -> dict[str, Any] | None:
        bodies = [json.loads(json.loads(one)["body"]) for one in self.heard(f"result/{key}")]
        return next((body for body in bodies if body["id"] == of), None)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def word(payload: bytes) -> str:
    """Return what an availability says, signed or not."""
    text = payload.decode()
    return str(json.loads(json.loads(text)["body"])["availability"]) if text[:1] == "{" else text


@contextmanager
def visiting(broker: Mosquitto) -> Iterator[House]:
    house = House(broker)
    try:
        yield house
    finally:
        house.leave()


@pytest.fixture
def house(broker: Mosquitto) -> Iterator[House]:
    with visiting(broker) as house:
        yield house


@pytest.fixture
def bench(make_agent_host: Callable[..., SystemdHost], broker: Mosquitto, house: House) -> Bench:
    """A host whose agent runs as a service and is online."""
    host = make_agent_host()
    config = {
        "broker": {"host": broker.host, "port": broker.port},
        "security": {"fleet_key": base64.b64encode(FLEET_KEY).decode()},
        "state_dir": "/var/lib/pilot-agent",
    }
    host.write("/etc/pilot-agent.json", json.dumps(config), mode=0o644)
    host.write("/etc/systemd/system/pilot-agent.service", UNIT)
    host.run("systemctl", "enable", "--now", "pilot-agent")
    try:
        wait_for(lambda: house.availability()[-1:] == ["online"], "the agent")
    except Exception:
        print(host.journal("-u", "pilot-agent"))
        raise
    return Bench(host)


def test_the_rule_is_missed_and_seen_when_it_is_there(bench: Bench, house: House) -> None:
    wait_for(lambda: "power.shutdown" in house.commands(), "the commands")
    missing = house.commands()["power.shutdown"]["missing"]
    refused = house.command("power.shutdown")
    assert (refused["status"], refused["reason"]) == ("rejected", "not_permitted")
    bench.host.write(
        "/etc/polkit-1/rules.d/50-pilot-agent.rules", missing["fix"][missing["fix"].index("//") :]
    )
    # Within a minute by itself, or as soon as a command is tried.
    house.command("power.shutdown")
    wait_for(lambda: "missing" not in house.commands()["power.shutdown"], "the rule to be seen")


@both
def test_shutdown_by_command_and_up_again(bench: Bench, house: House) -> None:
    permit(bench, house)
    before = house.body("announce")
    assert house.command("power.shutdown")["status"] == "done"
    bench.host.wait_until_off()
    assert house.availability()[-1] == "off"
    assert "lost" not in house.availability()
    assert house.body("event/power")["type"] == "shutting_down"
    house.forget()
    bench.host.boot()
    wait_for(lambda: house.availability() == ["online"], "the host again")
    after = wait_for(lambda: house.body("announce"), "its announce")
    assert after["host"]["id"] == before["host"]["id"]
    assert after["session"] != before["session"]
    assert after["sequence"] > before["sequence"]
    wait_for(lambda: "power.shutdown" in house.commands(), "the commands")
    assert not any("missing" in command for command in house.commands().values())


def test_planned_shutdown_is_called_off(bench: Bench, house: House) -> None:
    permit(bench, house)
    assert house.command("power.shutdown", delay=600)["status"] == "done"
    assert house.command("power.cancel")["status"] == "done"
    failed = house.command("power.cancel")
    assert (failed["status"], failed["detail"]) == ("failed", "no shutdown or reboot is planned")


def test_what_users_do_is_told(bench: Bench, house: House) -> None:
    bench.host.add_user("anna")
    unit = bench.host.log_in("anna")
    told = house.body("event/session")
    assert (told["type"], told["data"]["user"]) == ("logged_in", "anna")
    house.forget()
    bench.host.run("systemctl", "stop", unit)
    assert house.body("event/session")["type"] == "logged_out"


def permit(bench: Bench, house: House) -> None:
    """Have the rule written, and the agent know it."""
    bench.permit()
    bench.host.run("systemctl", "restart", "pilot-agent")
    house.forget()

    def permitted() -> bool:
        return bool(house.heard("announce")) and "missing" not in house.commands().get(
            "power.shutdown", {"missing": {}}
        )

    wait_for(permitted, "the agent to know the rule")
