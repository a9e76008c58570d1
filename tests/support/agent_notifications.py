"""Notification servers: one that is played, and the real dunst on a display of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from companion_agent.desktop.messages import Thing
from companion_agent.plugins.notifications.kept import KeptNotifications
from companion_agent.plugins.notifications.plugin import NotificationsPlugin
from companion_agent.security.authorizer import check_arguments

from .agent_host import FakePlatform
from .agent_logind import MOCK
from .event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .agent_desktop import AgentEnd
    from .agent_logind import SystemBus

SHOW, CLEAR, SERVER = Thing("show"), Thing("clear"), Thing("server")
BUTTONS = [{"action": "OPEN", "title": "Open"}, {"action": "default", "title": "Leave it"}]

SERVICE = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"

# The context menu is where one of several buttons is pressed; the "menu" chooses it by its title.
_DUNSTRC = """\
[global]
    dmenu = {menu}
    monitor = 0
"""


class Notifications:
    """The plug-in as the command layer uses it."""

    def __init__(self, plugin: NotificationsPlugin) -> None:
        self.plugin = plugin

    def arguments(self, name: str) -> Any:
        key = f"notifications.{name}"
        return next(one.args for one in self.plugin.commands() if one.key == key)

    def show(self, message: str = "The door is open", **args: Any) -> None:
        checked = check_arguments(self.arguments("show"), {"message": message, **args})
        self.plugin.run("notifications.show", checked)

    def clear(self, tag: str) -> None:
        self.plugin.run(
            "notifications.clear", check_arguments(self.arguments("clear"), {"tag": tag})
        )


def plug_in(agent: AgentEnd) -> Notifications:
    """Return the plug-in as each start of the agent makes it."""
    kept = KeptNotifications(agent.folder / "state")
    platform: Any = FakePlatform()
    return Notifications(NotificationsPlugin(platform, None, agent.sessions, kept=kept))


class PlayedServer:
    """A notification server that can do what a test says."""

    def __init__(self, bus: SystemBus, *capabilities: str) -> None:
        self.bus = bus
        bus.play("notification_daemon", SERVICE, capabilities=" ".join(capabilities))

    def signal(self, name: str, signature: str, *values: tuple[str, Any]) -> None:
        self.bus.call(
            SERVICE, PATH, MOCK, "EmitSignal", "sssav", SERVICE, name, signature, list(values)
        )

    def press(self, number: int, key: str) -> None:
        self.signal("ActionInvoked", "us", ("u", number), ("s", key))

    def reply(self, number: int, text: str) -> None:
        self.signal("NotificationReplied", "us", ("u", number), ("s", text))

    def close(self, number: int, reason: int) -> None:
        self.signal("NotificationClosed", "uu", ("u", number), ("u", reason))

    def forget(self) -> None:
        """Have shown nothing yet."""
        self.bus.call(SERVICE, PATH, MOCK, "Reset")
        self.bus.call(SERVICE, PATH, MOCK, "ClearCalls")

    def asked(self, method: str = "Notify") -> list[tuple[Any, ...]]:
        """Return the arguments of each call of a method."""
        (calls,) = self.bus.call(SERVICE, PATH, MOCK, "GetMethodCalls", "s", method)
        return [tuple(value for _, value in arguments) for _, arguments in calls]


class Dunst:
    """The real dunst, on a bus and an X server of its own."""

    PROGRAMS = ("Xvfb", "dunst", "dunstctl")

    def __init__(self, bus: SystemBus, folder: Path) -> None:
        self._bus = bus
        read, write = os.pipe()
        self._display = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "-screen", "0", "640x480x24"],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        menu = folder / "menu"
        menu.write_text("#!/bin/sh\nexec grep -m 1 'Leave it'\n")
        menu.chmod(0o755)
        settings = folder / "dunstrc"
        settings.write_text(_DUNSTRC.format(menu=menu))
        self.environment = {
            **os.environ,
            "DISPLAY": f":{number}",
            "DBUS_SESSION_BUS_ADDRESS": bus.address,
            "XDG_CONFIG_HOME": str(folder),
        }
        self._server = subprocess.Popen(
            ["dunst", "-conf", str(settings)], env=self.environment, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers)

    @classmethod
    def missing(cls) -> Sequence[str]:
        return [program for program in cls.PROGRAMS if shutil.which(program) is None]

    def control(self, *arguments: str) -> str:
        done = subprocess.run(
            ["dunstctl", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def displayed(self) -> int:
        return int(self.control("count", "displayed"))

    def history(self) -> list[dict[str, Any]]:
        """Return the notifications that were closed, the newest first."""
        (entries,) = json.loads(self.control("history"))["data"]
        return [{name: field["data"] for name, field in one.items()} for one in entries]

    def stop(self) -> None:
        for process in (self._server, self._display):
            process.terminate()
            process.wait(10)

    def _answers(self) -> bool:
        return (
            subprocess.run(
                ["dunstctl", "count", "displayed"],
                env=self.environment,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )
