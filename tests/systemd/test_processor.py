"""Root sets the processor for the agent: the real units, and a container's idea of cpufreq.

No container has a processor to set: a tree of a real one is mounted where the kernel has its own.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from commanding import FLEET_KEY, FakeHomeAssistant
from host_processor import HostProcessor
from installing import PROGRAM, address, drop_in, exposure, give_to_root
import pytest

from companion_agent.service.unit import PROCESSOR_SERVICE, PROCESSOR_SOCKET, SERVICE, USER
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

pytestmark = pytest.mark.proves("processor.governor", "processor.*_frequency")

FLEET_KEY_FILE = "/root/fleet-key"
STARTS = "/run/starts"
# What `StartLimitBurst=` of the service says.
FAILURES = 6
FAILING = f"""\
[Service]
Type=exec
ExecStartPre=+/bin/sh -c 'printf x >> {STARTS}'
ExecStart=
ExecStart=/bin/false
RestartSec=100ms
"""
# The highest that `systemd-analyze security` may find.
EXPOSURE = 0.7


class Machine:
    """A host whose processor can be set."""

    def __init__(self, host: SystemdHost, processor: HostProcessor) -> None:
        self.host = host
        self.processor = processor

    def set_up(self, *options: str) -> None:
        self.host.run(PROGRAM, "setup", "--yes", *options)

    def state(self, name: str) -> str:
        return self.host.run("systemctl", "is-active", name, check=False).stdout.strip()


@pytest.fixture
def machine(
    make_agent_host: Callable[..., SystemdHost], broker: Mosquitto, tmp_path: Path
) -> Machine:
    """A host that `setup` has set up, from a program that is root's own."""
    host = make_agent_host()
    processor = HostProcessor(host, tmp_path / "tree")
    give_to_root(host)
    host.write(FLEET_KEY_FILE, base64.b64encode(FLEET_KEY).decode(), mode=0o600)
    machine = Machine(host, processor)
    machine.set_up("--broker", address(broker), "--fleet-key-file", FLEET_KEY_FILE)
    return machine


def test_home_assistant_sets_the_processor_and_the_agents_end_puts_it_back(
    machine: Machine, home_assistant: FakeHomeAssistant
) -> None:
    wait_for(lambda: "processor.governor" in home_assistant.commands(), "the commands", timeout=60)

    done = home_assistant.command("processor.maximum_frequency", value=1200)

    assert done["status"] == "done", done
    assert machine.processor.read("scaling_max_freq") == "1200000"
    refused = home_assistant.command("processor.maximum_frequency", value=2400)
    assert (refused["status"], refused["reason"]) == ("rejected", "bad_arguments")

    # A crash, after which systemd starts the agent again.
    machine.host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", SERVICE)
    wait_for(
        lambda: machine.processor.read("scaling_max_freq") == "1800000",
        "what was found",
        timeout=60,
    )
    wait_for(lambda: machine.state(SERVICE) == "active", "the agent again", timeout=60)
    wait_for(lambda: machine.processor.socket() == "active", "the socket again", timeout=60)

    assert machine.processor.ask("governor powersave\\n") == "ok"
    assert machine.processor.read("scaling_governor") == "powersave"
    machine.host.run("systemctl", "stop", SERVICE)
    wait_for(lambda: machine.processor.socket() == "inactive", "the socket's end", timeout=60)
    assert machine.processor.read("scaling_governor") == "ondemand"
    assert "No such file" in machine.processor.ask("governor powersave\\n")

    # An agent that fails at each start is given up, as often as its unit says, and leaves the
    # processor as it was.
    machine.host.run("systemctl", "start", SERVICE)
    wait_for(lambda: machine.processor.socket() == "active", "the socket", timeout=60)
    assert machine.processor.ask("governor powersave\\n") == "ok"
    drop_in(machine.host, FAILING)
    machine.host.run("systemctl", "restart", "--no-block", SERVICE)
    wait_for(lambda: machine.state(SERVICE) == "failed", "the end of all tries", timeout=120)
    assert len(machine.host.run("cat", STARTS).stdout) == FAILURES
    wait_for(lambda: machine.processor.socket() == "inactive", "the socket's end", timeout=60)
    assert machine.processor.read("scaling_governor") == "ondemand"


def test_what_is_not_allowed_or_removed_is_put_back_and_root_sets_it_no_more(
    machine: Machine,
) -> None:
    units = ("ls", "/etc/systemd/system", "/etc/systemd/system/pilot-agent.service.wants")
    assert PROCESSOR_SOCKET in machine.host.run(*units).stdout
    assert machine.processor.ask("governor powersave\\n") == "ok"
    machine.host.write("/root/settings.yaml", "commands: {deny: ['processor.*']}\n")

    machine.set_up("--settings", "/root/settings.yaml")

    assert machine.processor.read("scaling_governor") == "ondemand"
    assert "processor" not in machine.host.run(*units, check=False).stdout
    machine.host.write("/root/settings.yaml", "commands: {}\n")
    machine.set_up("--settings", "/root/settings.yaml")
    wait_for(lambda: machine.processor.socket() == "active", "the socket", timeout=60)
    assert machine.processor.ask("governor powersave\\n") == "ok"

    machine.host.run(PROGRAM, "setup", "--remove", "--no-purge")

    assert machine.processor.read("scaling_governor") == "ondemand"
    assert "processor" not in machine.host.run(*units, check=False).stdout


def test_strangers_and_nonsense_set_nothing(machine: Machine) -> None:
    wait_for(lambda: machine.processor.socket() == "active", "the socket", timeout=60)
    machine.host.add_user("anna")

    assert "Permission denied" in machine.processor.ask("governor powersave\\n", user="anna")
    # Of the agent's group, and not the agent.
    machine.host.run("usermod", "--append", "--groups", USER, "anna")
    assert "ok" not in machine.processor.ask("governor powersave\\n", user="anna")
    for line in (
        "governor ../../../etc/passwd\\n",
        "maximum_frequency 99000000\\n",
        "scaling_setspeed 600000\\n",
        "x" * 100_000,
        "maximum_frequency 1200000",
    ):
        assert machine.processor.ask(line) != "ok", line
    assert machine.processor.read("scaling_governor") == "ondemand"
    assert machine.processor.read("scaling_max_freq") == "1800000"

    assert machine.processor.ask("energy_preference power\\n") == (
        "this processor has no energy preference that can be set"
    )
    assert machine.processor.ask("boost 0\\n") == "this processor has no boost that can be set"
    assert machine.processor.ask("minimum_frequency 700000\\n") == "ok"
    said = machine.host.run("systemctl", "show", "--property=MainPID", PROCESSOR_SERVICE).stdout
    status = machine.host.run("cat", f"/proc/{said.strip().partition('=')[2]}/status").stdout
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)

    assert exposure(machine.host, PROCESSOR_SERVICE) <= EXPOSURE
