"""Desktops of real users on a host that boots, and the agent's service and helpers beside them."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from companion_agent.service import unit
from companion_agent.service.unit import (
    CONFIG_FOLDER,
    SERVICE,
    SESSION_SERVICE,
    STATE_FOLDER,
    Program,
)
from stack.linux_host import LIBRARIES, SOURCE
from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stack.linux_host import Done
    from stack.nspawn import SystemdHost

PROGRAM = PurePosixPath("/usr/local/bin/pilot-agent")
WAYLAND = "wayland-1"
# Compositors without a screen, in the user's service manager.
SWAY = (
    "--setenv=WLR_BACKENDS=headless", "--setenv=WLR_LIBINPUT_NO_DEVICES=1",
    "--setenv=WLR_RENDERER=pixman", "sway", "--config", "/dev/null",
)  # fmt: skip
MUTTER = ("mutter", "--headless", "--virtual-monitor", "800x600", "--wayland-display", WAYLAND)
# It runs scripts for tests (`gnome_press`).
GNOME_SHELL = (
    "gnome-shell", "--headless", "--virtual-monitor", "800x600", "--unsafe-mode",
    "--wayland-display", WAYLAND,
)  # fmt: skip
KWIN = ("kwin_wayland", "--virtual", "--no-lockscreen", "--socket", WAYLAND)

_SCRIPT = f"""\
#!/bin/sh
export PYTHONPATH={SOURCE}:{LIBRARIES} PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m companion_agent "$@"
"""
_MUTTER_MODE = (
    "org.gnome.Mutter.DisplayConfig", "/org/gnome/Mutter/DisplayConfig",
    "org.gnome.Mutter.DisplayConfig", "PowerSaveMode",
)  # fmt: skip


class Desktops:
    """A host with the service, and users who come and go."""

    def __init__(self, host: SystemdHost) -> None:
        self.host = host

    def install(self, config: Mapping[str, Any]) -> None:
        """Install the service and the session helper from this checkout, and start them."""
        program = Program(PROGRAM)
        self.host.write(str(PROGRAM), _SCRIPT, mode=0o755)
        self.host.run("mkdir", "-p", str(CONFIG_FOLDER))
        settings = {"state_dir": str(STATE_FOLDER), **config}
        self.host.write(f"{CONFIG_FOLDER}/config.yaml", json.dumps(settings))
        self.host.write(f"/etc/systemd/system/{SERVICE}", unit.unit(program))
        self.host.write(f"/etc/systemd/user/{SESSION_SERVICE}", unit.session_unit(program))
        self.host.run("systemctl", "--global", "enable", SESSION_SERVICE)
        self.host.run("systemctl", "enable", "--now", SERVICE)

    def log_in(self, user: str, *compositor: str) -> None:
        """Have a user come to the seat, and their service manager reach a desktop."""
        self.host.add_user(user)
        self.host.log_in(user)
        wait_for(lambda: self.manager(user, "is-system-running"), f"{user}'s manager", timeout=60)
        if compositor:
            self.run_as(user, "systemd-run", "--user", "--quiet", *compositor)
            self.manager(user, "set-environment", f"WAYLAND_DISPLAY={WAYLAND}")
            socket = f"/run/user/{self.uid(user)}/{WAYLAND}"
            wait_for(
                lambda: self.host.run("test", "-S", socket, check=False).returncode == 0, WAYLAND
            )
        self._reach_desktop(user)

    def log_in_from(self, user: str, address: str) -> str:
        """Have a user work from another computer; return the unit that keeps the session.

        PAM opens it with the address, as it does for sshd and xrdp.
        """
        unit = f"from-afar-{user}.service"
        login = f"login -p -f {user} -h {address}"
        self.host.run(
            "systemd-run", f"--unit={unit}", "--quiet", "--collect",
            "--setenv=XDG_SESSION_TYPE=x11",
            # It needs a terminal, and its shell one that stays open.
            "sh", "-c", f"tail -f /dev/null | script --quiet --command '{login}' /dev/null",
        )  # fmt: skip
        wait_for(lambda: self.session(user), f"{user}'s session")
        wait_for(lambda: self.manager(user, "is-system-running"), f"{user}'s manager", timeout=60)
        self._reach_desktop(user)
        return unit

    def _reach_desktop(self, user: str) -> None:
        # As a desktop does: the target cannot be started by itself.
        session = ("--property=BindsTo=graphical-session.target", "sleep", "infinity")
        assert self.run_as(user, "systemd-run", "--user", "--quiet", *session).returncode == 0

    def session(self, user: str) -> str:
        """Return the id of a user's session, as logind has it; empty without one."""
        listed = self.host.run("loginctl", "list-sessions", "--no-legend").stdout.splitlines()
        return next((line.split()[0] for line in listed if line.split()[2] == user), "")

    def start(self, user: str, program: str, *arguments: str) -> None:
        """Start a program in a user's session."""
        # Debian has units named after some programs.
        unit = ("--user", "--quiet", f"--unit=run-{program}")
        done = self.run_as(user, "systemd-run", *unit, program, *arguments)
        assert done.returncode == 0, done.stderr

    def replace(self, user: str, unit: str, program: str) -> None:
        """Stop what the session has started, and start another program in its place."""
        self.manager(user, "mask", "--runtime", "--now", unit)
        self.start(user, program)

    def manager(self, user: str, *command: str) -> str:
        """Ask a user's service manager."""
        return self.run_as(user, "systemctl", "--user", *command).stdout.strip()

    def uid(self, user: str) -> str:
        return self.host.run("id", "-u", user).stdout.strip()

    def sway(self, user: str, *command: str) -> str:
        """Tell or ask a user's sway."""
        folder = f"/run/user/{self.uid(user)}"
        (socket,) = self.host.run("find", folder, "-name", "sway-ipc.*").stdout.split()
        return self.run_as(user, "swaymsg", "--socket", socket, *command).stdout

    def play(self, user: str, program: str, *arguments: str) -> None:
        """Have a user start a program of the tests."""
        settings = (f"WAYLAND_DISPLAY={WAYLAND}", f"PYTHONPATH={SOURCE}:{SOURCE}/tests")
        command = (*(f"--setenv={one}" for one in settings), "python3", "-m", program, *arguments)
        assert self.run_as(user, "systemd-run", "--user", "--quiet", *command).returncode == 0

    def power(self, user: str) -> list[bool]:
        """Return whether each of a user's monitors has power, as sway says."""
        return [one["power"] for one in json.loads(self.sway(user, "-t", "get_outputs", "--raw"))]

    def mutter_mode(self, user: str) -> int:
        """Return the power-save mode of a user's mutter."""
        asked = self.run_as(user, "busctl", "--user", "get-property", *_MUTTER_MODE)
        return int(asked.stdout.split()[1])

    def set_mutter_mode(self, user: str, mode: int) -> None:
        self.run_as(user, "busctl", "--user", "set-property", *_MUTTER_MODE, "i", str(mode))

    def run_as(self, user: str, *command: str) -> Done:
        """Run a program as a user."""
        env = {"XDG_RUNTIME_DIR": f"/run/user/{self.uid(user)}"}
        return self.host.run(*command, user=user, env=env, check=False)

    def helpers(self) -> dict[str, bool]:
        """Return whose helpers there are, and whose is in use."""
        return {user: "in use" in detail for user, detail in self.helper_details().items()}

    def helper_details(self) -> dict[str, str]:
        """Return what `pilot-agent doctor` says of helpers, by user."""
        asked = self.host.run("pilot-agent", "doctor", "--json", check=False)
        checks: list[dict[str, Any]] = json.loads(asked.stdout)
        name = "session helper of "
        return {
            check["name"].removeprefix(name): check["detail"]
            for check in checks
            if check["name"].startswith(name)
        }

    def pid(self, user: str) -> str:
        return self.manager(user, "show", "--property=MainPID", "--value", SESSION_SERVICE)


def gnome_press(title: str, button: str) -> tuple[str, ...]:
    """Return what presses a button of a notification of GNOME's shell, by its own objects."""
    find = (
        "Main.messageTray.getSources().flatMap(source => source.notifications)"
        f".find(one => one.title === {title!r})"
        f".actions.find(action => action.label === {button!r}).activate()"
    )
    where = ("--dest", "org.gnome.Shell", "--object-path", "/org/gnome/Shell")
    return ("gdbus", "call", "--session", *where, "--method", "org.gnome.Shell.Eval", find)
