"""The whole agent as a service of a host that shuts down, comes up again and is commanded."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
import uuid

from conftest import AGENT, AgentHost, both
import pytest

from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.signing import derive
from companion_agent.protocol.validation import FLEET
from stack.nspawn import LIBRARIES, SOURCE, SystemdHost
from stack.process import wait_for
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.broker import Mosquitto
    from support.mqtt_client import Message

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


class FakeHomeAssistant(RecordingClient):
    """What a paired Home Assistant hears and says."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(broker.host, broker.port, f"{PREFIX}/#")

    def said(self, below: str) -> list[Message]:
        """Return what the host said on one of its topics."""
        return [message for message in self.heard() if message.topic.endswith(f"/{below}")]

    def availability(self) -> list[str]:
        return [word(message.payload) for message in self.said("availability")]

    def body(self, below: str) -> dict[str, Any]:
        """Wait for something that the host says, and take off its envelope."""
        return wait_for(lambda: self.said(below), below)[-1].body

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
        self.publish(topic, payload, qos=0)
        return wait_for(lambda: self._result(key, request["id"]), f"the result of {key}")

    def _result(self, key: str, of: str) -> dict[str, Any] | None:
        bodies = [message.body for message in self.said(f"result/{key}")]
        return next((body for body in bodies if body["id"] == of), None)


def word(payload: bytes) -> str:
    """Return what an availability says, signed or not."""
    text = payload.decode()
    return str(json.loads(json.loads(text)["body"])["availability"]) if text[:1] == "{" else text


@pytest.fixture
def home_assistant(broker: Mosquitto) -> Iterator[FakeHomeAssistant]:
    with FakeHomeAssistant(broker) as home_assistant:
        yield home_assistant


@pytest.fixture
def agent_host(
    make_agent_host: Callable[..., SystemdHost],
    broker: Mosquitto,
    home_assistant: FakeHomeAssistant,
) -> AgentHost:
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
        wait_for(lambda: home_assistant.availability()[-1:] == ["online"], "the agent")
    except Exception:
        print(host.journal("-u", "pilot-agent"))
        raise
    return AgentHost(host)


def test_the_rule_is_missed_and_seen_when_it_is_there(
    agent_host: AgentHost, home_assistant: FakeHomeAssistant
) -> None:
    wait_for(lambda: "power.shutdown" in home_assistant.commands(), "the commands")
    missing = home_assistant.commands()["power.shutdown"]["missing"]
    refused = home_assistant.command("power.shutdown")
    assert (refused["status"], refused["reason"]) == ("rejected", "not_permitted")
    agent_host.host.write(
        "/etc/polkit-1/rules.d/50-pilot-agent.rules", missing["fix"][missing["fix"].index("//") :]
    )
    # Within a minute by itself, or as soon as a command is tried.
    home_assistant.command("power.shutdown")
    wait_for(
        lambda: "missing" not in home_assistant.commands()["power.shutdown"], "the rule to be seen"
    )


@both
def test_shutdown_by_command_and_up_again(
    agent_host: AgentHost, home_assistant: FakeHomeAssistant
) -> None:
    permit(agent_host, home_assistant)
    before = home_assistant.body("announce")
    assert home_assistant.command("power.shutdown")["status"] == "done"
    agent_host.host.wait_until_off()
    assert home_assistant.availability()[-1] == "off"
    assert "lost" not in home_assistant.availability()
    assert home_assistant.body("event/power")["type"] == "shutting_down"
    home_assistant.forget()
    agent_host.host.boot()
    wait_for(lambda: home_assistant.availability() == ["online"], "the host again")
    after = wait_for(lambda: home_assistant.body("announce"), "its announce")
    assert after["host"]["id"] == before["host"]["id"]
    assert after["session"] != before["session"]
    assert after["sequence"] > before["sequence"]
    wait_for(lambda: "power.shutdown" in home_assistant.commands(), "the commands")
    assert not any("missing" in command for command in home_assistant.commands().values())


def test_planned_shutdown_is_called_off(
    agent_host: AgentHost, home_assistant: FakeHomeAssistant
) -> None:
    permit(agent_host, home_assistant)
    assert home_assistant.command("power.shutdown", delay=600)["status"] == "done"
    assert home_assistant.command("power.cancel")["status"] == "done"
    failed = home_assistant.command("power.cancel")
    assert (failed["status"], failed["detail"]) == ("failed", "no shutdown or reboot is planned")


def test_what_users_do_is_told(agent_host: AgentHost, home_assistant: FakeHomeAssistant) -> None:
    agent_host.host.add_user("anna")
    unit = agent_host.host.log_in("anna")
    told = home_assistant.body("event/session")
    assert (told["type"], told["data"]["user"]) == ("logged_in", "anna")
    home_assistant.forget()
    agent_host.host.run("systemctl", "stop", unit)
    assert home_assistant.body("event/session")["type"] == "logged_out"


def permit(agent_host: AgentHost, home_assistant: FakeHomeAssistant) -> None:
    """Have the rule written, and the agent know it."""
    agent_host.permit()
    agent_host.host.run("systemctl", "restart", "pilot-agent")
    home_assistant.forget()

    def permitted() -> bool:
        return bool(
            home_assistant.said("announce")
        ) and "missing" not in home_assistant.commands().get("power.shutdown", {"missing": {}})

    wait_for(permitted, "the agent to know the rule")
