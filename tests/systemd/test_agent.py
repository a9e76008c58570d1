"""The whole agent as a service of a host that shuts down, comes up again and is commanded."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from commanding import FLEET_KEY, FakeHomeAssistant
from conftest import AGENT, AgentHost, both
import pytest

from stack.linux_host import LIBRARIES, SOURCE
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

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
