"""Session helpers of real users, at the hardened service: systemd, logind and two people."""

from __future__ import annotations

import base64
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from commanding import FLEET_KEY, FakeHomeAssistant
from installing import add
import pytest

from companion_agent.service import unit
from companion_agent.service.unit import SERVICE, SESSION_SERVICE, Program
from stack.linux_host import LIBRARIES, SOURCE, Done
from stack.process import wait_for
from support.wayland_window import PROGRAM as PROGRAM_WITH_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

PROGRAM = PurePosixPath("/usr/local/bin/pilot-agent")
SCRIPT = f"""\
#!/bin/sh
export PYTHONPATH={SOURCE}:{LIBRARIES} PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m companion_agent "$@"
"""
WAYLAND = "wayland-1"
WINDOW, POINTER = "support.wayland_window", "support.wayland_pointer"
# A compositor without a screen, in the user's service manager.
SWAY = (
    "--setenv=WLR_BACKENDS=headless", "--setenv=WLR_LIBINPUT_NO_DEVICES=1",
    "--setenv=WLR_RENDERER=pixman", "sway", "--config", "/dev/null",
)  # fmt: skip
CONFIG = "/etc/pilot-agent/config.yaml"
RECORD = "/var/lib/pilot-agent/audit.log"


class Desktops:
    """A host with the service, and users who come and go."""

    def __init__(self, host: SystemdHost) -> None:
        self.host = host

    def log_in(self, user: str, *compositor: str) -> None:
        """Have a user come to the seat, and their service manager reach a desktop."""
        self.host.add_user(user)
        self.host.log_in(user)
        wait_for(lambda: self.manager(user, "is-system-running"), f"{user}'s manager", timeout=60)
        if compositor:
            self._as(user, "systemd-run", "--user", "--quiet", *compositor)
            self.manager(user, "set-environment", f"WAYLAND_DISPLAY={WAYLAND}")
            socket = f"/run/user/{self.uid(user)}/{WAYLAND}"
            wait_for(
                lambda: self.host.run("test", "-S", socket, check=False).returncode == 0, WAYLAND
            )
        # As a desktop does: the target cannot be started by itself.
        unit = ("--property=BindsTo=graphical-session.target", "sleep", "infinity")
        assert self._as(user, "systemd-run", "--user", "--quiet", *unit).returncode == 0

    def manager(self, user: str, *command: str) -> str:
        """Ask a user's service manager."""
        return self._as(user, "systemctl", "--user", *command).stdout.strip()

    def uid(self, user: str) -> str:
        return self.host.run("id", "-u", user).stdout.strip()

    def sway(self, user: str, *command: str) -> str:
        """Tell or ask a user's sway."""
        folder = f"/run/user/{self.uid(user)}"
        (socket,) = self.host.run("find", folder, "-name", "sway-ipc.*").stdout.split()
        return self._as(user, "swaymsg", "--socket", socket, *command).stdout

    def play(self, user: str, program: str, *arguments: str) -> None:
        """Have a user start a program of the tests."""
        settings = (f"WAYLAND_DISPLAY={WAYLAND}", f"PYTHONPATH={SOURCE}:{SOURCE}/tests")
        command = (*(f"--setenv={one}" for one in settings), "python3", "-m", program, *arguments)
        assert self._as(user, "systemd-run", "--user", "--quiet", *command).returncode == 0

    def power(self, user: str) -> list[bool]:
        """Return whether each of a user's monitors has power, as sway says."""
        return [one["power"] for one in json.loads(self.sway(user, "-t", "get_outputs", "--raw"))]

    def _as(self, user: str, *command: str) -> Done:
        env = {"XDG_RUNTIME_DIR": f"/run/user/{self.uid(user)}"}
        return self.host.run(*command, user=user, env=env, check=False)

    def helpers(self) -> dict[str, bool]:
        """Return whose helpers there are, and whose is in use."""
        asked = self.host.run("pilot-agent", "doctor", "--json", check=False)
        checks: list[dict[str, Any]] = json.loads(asked.stdout)
        name = "session helper of "
        return {
            check["name"].removeprefix(name): "in use" in check["detail"]
            for check in checks
            if check["name"].startswith(name)
        }

    def pid(self, user: str) -> str:
        return self.manager(user, "show", "--property=MainPID", "--value", SESSION_SERVICE)


@pytest.fixture
def desktops(make_agent_host: Callable[..., SystemdHost], broker: Mosquitto) -> Desktops:
    host = make_agent_host()
    program = Program(PROGRAM)
    host.write(str(PROGRAM), SCRIPT, mode=0o755)
    config = {
        "broker": {"host": broker.host, "port": broker.port},
        "security": {"fleet_key": base64.b64encode(FLEET_KEY).decode()},
        "state_dir": "/var/lib/pilot-agent",
        "desktop": {"idle_after": 5, "window": True},
    }
    host.run("mkdir", "-p", "/etc/pilot-agent")
    host.write(CONFIG, json.dumps(config), mode=0o644)
    host.write(f"/etc/systemd/system/{SERVICE}", unit.unit(program))
    host.write(f"/etc/systemd/user/{SESSION_SERVICE}", unit.session_unit(program))
    host.run("systemctl", "--global", "enable", SESSION_SERVICE)
    host.run("systemctl", "enable", "--now", SERVICE)
    return Desktops(host)


def test_two_users_and_a_stranger(desktops: Desktops) -> None:
    desktops.log_in("anna")
    wait_for(lambda: desktops.helpers() == {"anna": True}, "anna's helper", timeout=60)

    desktops.log_in("ben")
    wait_for(lambda: len(desktops.helpers()) == 2, "ben's helper", timeout=60)
    assert sum(desktops.helpers().values()) == 1

    before = desktops.pid("anna")
    desktops.manager("anna", "kill", "--signal=KILL", SESSION_SERVICE)
    wait_for(lambda: desktops.pid("anna") not in {"0", before}, "anna's helper again")

    desktops.host.add_user("carl")
    refused = desktops.host.run("timeout", "5", "pilot-agent", "session", user="carl", check=False)
    assert "works in no session" in refused.stderr
    record = [json.loads(line) for line in desktops.host.run("cat", RECORD).stdout.splitlines()]
    uid = int(desktops.uid("carl"))
    assert [(one["reason"], one["uid"]) for one in record] == [("no_session", uid)]
    wait_for(lambda: set(desktops.helpers()) == {"anna", "ben"}, "both helpers", timeout=60)


@pytest.mark.parametrize("suite", ["trixie"], indirect=True)
def test_a_screen_is_switched_and_who_is_at_it_noticed(
    home_assistant: FakeHomeAssistant, desktops: Desktops
) -> None:
    add(desktops.host, "sway")
    desktops.log_in("anna", *SWAY)
    wait_for(lambda: "screen.on" in home_assistant.commands(), "the screen", timeout=60)
    assert desktops.power("anna") == [True]

    assert home_assistant.command("screen.on", value=0)["status"] == "done"
    assert desktops.power("anna") == [False]
    assert home_assistant.command("screen.on", value=1)["status"] == "done"
    assert desktops.power("anna") == [True]

    desktops.sway("anna", "output * power off")
    event = home_assistant.body("event/screen")
    assert (event["type"], event["data"]["user"]) == ("turned_off", "anna")

    # Nothing is touched, and then something is.
    wait_for(lambda: home_assistant.reading("presence.in_use") is False, "absence", timeout=60)
    desktops.play("anna", POINTER)
    wait_for(lambda: home_assistant.reading("presence.in_use"), "presence", timeout=60)

    assert home_assistant.reading("window.title") is None
    desktops.play("anna", WINDOW, "A letter")
    wait_for(lambda: home_assistant.reading("window.title") == "A letter", "a window", timeout=60)
    assert home_assistant.reading("window.program") == PROGRAM_WITH_WINDOW
    assert home_assistant.reading("window.full_screen") is False
    desktops.sway("anna", "fullscreen enable")
    wait_for(lambda: home_assistant.reading("window.full_screen"), "a full screen", timeout=60)
