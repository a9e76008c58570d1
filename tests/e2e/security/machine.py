"""A machine that can be switched off: logind played by python-dbusmock, on a bus of its own.

What a host was really made to do is read from logind's side, not from what the agent says.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Self

from stack.process import Process, wait_for
from support.dbusmock import BUS_CONFIG, MOCK_PYTHON, without_python

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

# What logind's template lacks, and a user who works at the machine.
_FURNISH = """
import dbus
bus = dbus.SystemBus()
root = bus.get_object("org.freedesktop.login1", "/org/freedesktop/login1")
mock = dbus.Interface(root, "org.freedesktop.DBus.Mock")
manager = "org.freedesktop.login1.Manager"
mock.AddMethod(manager, "SetWallMessage", "sb", "", "")
mock.AddMethod(manager, "ScheduleShutdown", "st", "", "")
mock.AddMethod(manager, "CancelScheduledShutdown", "", "b", "ret = True")
path = mock.AddSession("c1", "seat0", dbus.UInt32(1000), "anna", True)
session = dbus.Interface(
    bus.get_object("org.freedesktop.login1", path), "org.freedesktop.DBus.Properties"
)
seat = dbus.Struct(("seat0", dbus.ObjectPath("/org/freedesktop/login1/seat/seat0")))
session.Set("org.freedesktop.login1.Session", "Seat", seat)
session.Set("org.freedesktop.login1.Session", "Type", "wayland")
"""

_SLEEP = """
import dbus, sys
root = dbus.SystemBus().get_object("org.freedesktop.login1", "/org/freedesktop/login1")
mock = dbus.Interface(root, "org.freedesktop.DBus.Mock")
begins = [dbus.Boolean(sys.argv[1] == "begins")]
mock.EmitSignal("org.freedesktop.login1.Manager", "PrepareForSleep", "b", begins)
"""

_LOCK = """
import dbus, sys
bus = dbus.SystemBus()
session = bus.get_object("org.freedesktop.login1", "/org/freedesktop/login1/session/c1")
locked = dbus.Boolean(sys.argv[1] == "locked")
dbus.Interface(session, "org.freedesktop.login1.Session").SetLockedHint(locked)
"""

_ORDERS = (
    "PowerOff", "Reboot", "Suspend", "Hibernate", "HybridSleep", "LockSession",
    "TerminateSession", "ScheduleShutdown", "CancelScheduledShutdown",
)  # fmt: skip


class FakeMachine:
    """What a host's agent can switch off without harm.

    Args:
        folder: For the bus and its logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "bus"
        self._config = folder / "bus.conf"
        self._seen = 0
        self._locked = False
        self._daemon = Process(
            "dbus-daemon",
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--nopidfile"],
            folder / "bus.log",
        )
        self._players = [
            self._player("logind"),
            # For agents that do not run as root: it permits everything.
            self._player("polkitd", "--parameters", '{"allow_unknown": true}'),
        ]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(BUS_CONFIG.format(socket=self._socket), encoding="utf-8")
        self._daemon.start()
        wait_for(self._socket.exists, "the bus", interval=0.02, process=self._daemon)
        for player in self._players:
            player.start()
        wait_for(self._furnish, "logind", interval=0.1, process=self._players[0])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self._players, self._daemon):
            process.stop()

    @property
    def env(self) -> dict[str, str]:
        """What leads an agent to this machine."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._socket}"}

    def orders(self) -> list[str]:
        """Return what logind was told to do since :meth:`forget`, by the names of its methods."""
        return self._all_orders()[self._seen :]

    def forget(self) -> None:
        """Leave out what was ordered until now."""
        self._have_answered()
        self._seen = len(self._all_orders())

    def fall_asleep(self) -> None:
        """Have logind say that the machine is about to sleep."""
        assert self._debian_python(_SLEEP, "begins")

    def wake_up(self) -> None:
        """Have logind say that the machine has slept."""
        assert self._debian_python(_SLEEP, "is over")

    def lock(self, locked: bool = True) -> None:
        """Have the desktop say that its screen is locked, or open."""
        if locked != self._locked:
            assert self._debian_python(_LOCK, "locked" if locked else "open")
            self._locked = locked

    def _all_orders(self) -> list[str]:
        pattern = rf"(?m)^[\d.]+ ({'|'.join(_ORDERS)})\b"
        return re.findall(pattern, self._players[0].output())

    def _have_answered(self) -> None:
        """Wait until logind has written down what an agent ordered, perhaps in its last moment."""
        subprocess.run(
            [
                "dbus-send",
                f"--bus=unix:path={self._socket}",
                "--print-reply",
                "--dest=org.freedesktop.login1",
                "/org/freedesktop/login1",
                "org.freedesktop.DBus.Peer.Ping",
            ],
            capture_output=True,
            check=True,
        )

    def _player(self, template: str, *more: str) -> Process:
        command = [MOCK_PYTHON, "-m", "dbusmock", "--system", "--template", template, *more]
        return Process(template, command, self._folder / f"{template}.log", env=self.env)

    def _furnish(self) -> bool:
        return self._debian_python(_FURNISH)

    def _debian_python(self, script: str, *arguments: str) -> bool:
        done = subprocess.run(
            [MOCK_PYTHON, "-c", script, *arguments],
            env={**without_python(), **self.env},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0
