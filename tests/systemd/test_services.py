"""Units of systemd, watched and commanded: real systemd and polkit, the rule that setup writes.

On the same host: a program that is watched, and an update that apt knows of.
"""

from __future__ import annotations

import base64
from pathlib import Path
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

from commanding import FLEET_KEY, FakeHomeAssistant
from conftest import RULE
from installing import CONFIG, address
import pytest

from companion_agent.service.unit import SERVICE, USER
from stack import system
from stack.broker import Mosquitto
from stack.linux_host import LIBRARIES, SOURCE
from stack.nspawn import SystemdHost, why_not
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.proves("services.*", "processes.*", "updates.*")

PROGRAM = "/usr/local/bin/pilot-agent"
SCRIPT = f"""\
#!/usr/bin/python3 -I
import sys
sys.path[:0] = ["{SOURCE}", "{LIBRARIES}"]
from companion_agent.cli import main
sys.exit(main())
"""
# Read once an hour: what is heard before that, signals have told.
SETTINGS = """\
services:
  web: {allow: [start, stop, restart], name: Web server}
  alias-of-web: {allow: [restart]}
  broken.service: {allow: [start]}
  crashing: {allow: [start]}
  once: {allow: [start]}
  "pattern-*": {}
  nothing-of-this-name: {}
  dbus: {allow: [stop]}
processes:
  sleeper: {program: sleep, command_line: "^sleep infinity$"}
collectors:
  services: {interval: 3600}
"""
UNITS = {
    "web": "ExecStart=sleep infinity",
    "pattern-one": "ExecStart=sleep infinity",
    "broken": "Type=oneshot\nExecStart=sh -c 'exit 3'",
    "crashing": "ExecStart=sh -c 'sleep 0.2; exit 4'",
    "once": "Type=oneshot\nExecStart=true",
    "other": "ExecStart=sleep infinity",
}


# A package, and a newer one in a repository of Debian's security team.
REPOSITORY = r"""
set -e
mkdir -p /srv/repository /srv/package/DEBIAN
cd /srv/repository
for version in 1 2; do
    printf '%s\n' 'Package: probe' "Version: $version" 'Architecture: all' \
        'Maintainer: none <none@example.org>' 'Description: none' > /srv/package/DEBIAN/control
    dpkg-deb --root-owner-group --build /srv/package "probe_$version.deb"
done
dpkg --install probe_1.deb
{
    dpkg-deb --field probe_2.deb
    printf '%s\n' 'Filename: probe_2.deb' "Size: $(stat -c %s probe_2.deb)" \
        "SHA256: $(sha256sum probe_2.deb | cut -d' ' -f1)" ''
} > Packages
{
    printf '%s\n' 'Origin: Debian' 'Label: Debian-Security' 'Suite: stable-security' 'SHA256:'
    printf ' %s %s Packages\n' "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)"
} > Release
echo 'deb [trusted=yes] file:/srv/repository ./' > /etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
apt-get update
"""


class Machine:
    """A host with services, and Home Assistant."""

    def __init__(self, host: SystemdHost, home_assistant: FakeHomeAssistant) -> None:
        self.host = host
        self.home_assistant = home_assistant

    def set_up(self, *options: str) -> None:
        self.host.run(PROGRAM, "setup", "--yes", *options)

    def command(self, key: str, **args: Any) -> dict[str, Any]:
        return self.home_assistant.command(f"services.{key}", **args)

    def reading(self, key: str) -> Any:
        return self.home_assistant.reading(f"services.{key}")

    def state(self, unit: str) -> str:
        return self.host.run("systemctl", "is-active", unit, check=False).stdout.strip()

    def offered(self) -> dict[str, bool]:
        """Return which commands there are, and whether the system permits each."""
        return {
            key.removeprefix("services."): "missing" not in command
            for key, command in self.home_assistant.commands().items()
            if key.startswith("services.")
        }

    def doctor(self) -> str:
        return self.host.run(PROGRAM, "doctor", check=False, env={"COLUMNS": "400"}).stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A host that `setup` has set up, for all tests here; each puts back what it changes."""
    if reason := why_not():
        pytest.skip(reason)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the hosts borrow the libraries of this environment, made for Python 3.11")
    system.require("mosquitto")
    folder = tmp_path_factory.mktemp("services")
    libraries = Path(sysconfig.get_path("purelib"))
    with (
        Mosquitto(folder / "broker") as broker,
        FakeHomeAssistant(broker) as home_assistant,
        SystemdHost(folder / "host", "office-pc", libraries=libraries) as host,
    ):
        for name, text in UNITS.items():
            host.write(f"/etc/systemd/system/{name}.service", f"[Service]\n{text}\n")
        host.run("ln", "-s", "web.service", "/etc/systemd/system/alias-of-web.service")
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "start", "pattern-one")
        # What a container has failed at by itself.
        host.run("systemctl", "reset-failed")
        host.write(PROGRAM, SCRIPT, mode=0o755)
        host.write("/root/key", base64.b64encode(FLEET_KEY).decode(), mode=0o600)
        host.write("/root/settings.yaml", SETTINGS)
        machine = Machine(host, home_assistant)
        machine.set_up(
            *("--broker", address(broker), "--fleet-key-file", "/root/key"),
            *("--settings", "/root/settings.yaml"),
        )
        wait_for(machine.offered, "the commands", timeout=60)
        yield machine
        host.remove()


def test_what_the_local_file_names_is_offered_and_permitted(machine: Machine) -> None:
    permitted = wait_for(
        lambda: (offered := machine.offered()) and all(offered.values()) and offered,
        "what polkit permits",
        timeout=180,
    )

    assert set(permitted) == {
        "web.switch", "web.restart", "alias-of-web.restart", "broken.start", "crashing.start",
        "once.start",
    }  # fmt: skip
    assert machine.reading("web.switch") is False
    assert machine.reading("pattern-one.running") is True


def test_a_switch_is_on_when_the_service_runs(machine: Machine) -> None:
    done = machine.command("web.switch", value=1)

    assert done["status"] == "done", done
    assert machine.state("web") == "active"
    wait_for(lambda: machine.reading("web.switch"), "a service that runs", timeout=60)

    # By hand: systemd tells of it.
    machine.host.run("systemctl", "stop", "web")
    wait_for(lambda: machine.reading("web.switch") is False, "a service that stopped", timeout=60)

    assert machine.command("alias-of-web.restart")["status"] == "done"
    assert machine.state("web") == "active"
    assert machine.command("web.switch", value=0)["status"] == "done"
    assert machine.state("web") == "inactive"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken", "its result is exit-code, status 3"),
        # systemd takes it for started.
        ("crashing", "its result is exit-code, status 4"),
    ],
)
def test_a_service_that_fails_says_its_result(machine: Machine, name: str, says: str) -> None:
    done = machine.command(f"{name}.start")

    assert (done["status"], done["reason"]) == ("failed", "failed")
    assert says in done["detail"]
    assert f"journalctl -u {name}.service" in done["detail"]
    units = wait_for(lambda: machine.reading("failed_units"), "what failed", timeout=60)
    assert units == f"{name}.service"
    assert machine.reading("failed") == 1
    machine.host.run("systemctl", "reset-failed", name)
    wait_for(lambda: machine.reading("failed") == 0, "that nothing has failed", timeout=60)


def test_what_ends_by_itself_is_done(machine: Machine) -> None:
    assert machine.command("once.start")["status"] == "done"


def test_the_rule_is_for_these_units_and_verbs_alone(machine: Machine) -> None:
    def may(*command: str) -> bool:
        done = machine.host.run("systemctl", "--no-ask-password", *command, user=USER, check=False)
        return done.returncode == 0

    assert may("restart", "web")
    assert may("stop", "web")
    assert not may("kill", "web")
    assert not may("stop", "pattern-one")
    assert not may("start", "other")
    assert not may("stop", "once")
    assert not may("stop", "dbus")
    assert not may("start", "poweroff.target")
    assert not may("daemon-reload")


def test_an_update_that_waits_is_known_without_root(machine: Machine) -> None:
    def refreshed() -> Any:
        machine.home_assistant.command("readings.refresh", collectors="updates")
        return machine.home_assistant.reading("updates.packages")

    machine.host.run("sh", "-c", REPOSITORY)

    packages = wait_for(refreshed, "what waits", timeout=90, interval=1)

    assert packages == "probe"
    assert machine.home_assistant.reading("updates.waiting") == 1
    assert machine.home_assistant.reading("updates.security") == 1
    assert machine.host.run("dpkg-query", "--show", "probe").stdout.split() == ["probe", "1"]


def test_a_program_that_is_watched(machine: Machine) -> None:
    def processes(wanted: int) -> bool:
        machine.home_assistant.command("readings.refresh", collectors="processes")
        return bool(machine.home_assistant.reading("processes.sleeper.count") == wanted)

    # That of a service.
    wait_for(lambda: processes(1), "one process", timeout=60, interval=1)
    assert machine.home_assistant.reading("processes.sleeper.memory") > 0

    machine.host.run("systemctl", "start", "other")
    wait_for(lambda: processes(2), "two processes", timeout=60, interval=1)
    machine.host.run("systemctl", "stop", "other")


def test_without_the_rule_doctor_names_the_way_out(machine: Machine) -> None:
    rule = machine.host.run("cat", RULE).stdout
    machine.host.run("rm", RULE)
    machine.host.run("systemctl", "restart", SERVICE)
    wait_for(lambda: machine.offered().get("web.switch") is False, "what is missing", timeout=180)

    refused = machine.command("web.switch", value=1)

    assert (refused["status"], refused["reason"]) == ("rejected", "not_permitted")
    assert machine.state("web") == "inactive"
    said = machine.doctor()
    assert "services.web.switch" in said
    assert "dbus stop (this machine and the agent work by it" in said
    assert "sudo pilot-agent setup" in said
    assert "restart web.service" in machine.home_assistant.commands()["services.web.restart"][
        "missing"
    ]["fix"]  # fmt: skip

    machine.set_up("--config", CONFIG)

    assert machine.host.run("cat", RULE).stdout == rule
    wait_for(lambda: all(machine.offered().values()), "what polkit permits", timeout=180)
    assert machine.command("web.switch", value=1)["status"] == "done"
    machine.host.run("systemctl", "stop", "web")
