"""A system bus of our own with logind and polkit on it, both played by python-dbusmock.

The bus is a real one; only who answers on it is played, because no test can put this machine to
sleep. What real logind and polkit do is tested in `tests/systemd`.
"""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from companion_agent.platforms.linux.dbus import Bus, Target

from .dbusmock import BUS_CONFIG, MOCK_PYTHON, without_python
from .event_loop import wait_until
from .unix_socket import accepts

if TYPE_CHECKING:
    from pathlib import Path

MOCK = "org.freedesktop.DBus.Mock"
LOGIND = "org.freedesktop.login1"
MANAGER_PATH = "/org/freedesktop/login1"
MANAGER = "org.freedesktop.login1.Manager"
SESSION = "org.freedesktop.login1.Session"
POLKIT = "org.freedesktop.PolicyKit1"
AUTHORITY_PATH = "/org/freedesktop/PolicyKit1/Authority"


# dbusmock prints each call, and what a benchmark prints is read by programs.
_STDERR = 2


class SystemBus:
    """A bus daemon, and the services that play on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._mocks: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        config = self.folder / "bus.conf"
        config.write_text(BUS_CONFIG.format(socket=self.socket))
        self._daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"]
        )
        wait_until(lambda: accepts(self.socket))

    def stop(self) -> None:
        for name in list(self._mocks):
            self.stop_mock(name)
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait(10)
            self._daemon = None
        self.socket.unlink(missing_ok=True)

    def play(self, template: str, service: str, **parameters: Any) -> None:
        """Have a template of dbusmock's play a service."""
        self._mocks[service] = subprocess.Popen(
            [
                MOCK_PYTHON, "-m", "dbusmock", "--system", "--template", template,
                "--parameters", json.dumps(parameters),
            ],
            env={**without_python(), "DBUS_SYSTEM_BUS_ADDRESS": self.address},
            start_new_session=True,
            stdout=_STDERR,
        )  # fmt: skip
        wait_until(lambda: self.has_owner(service))

    def serve(self, service: str, path: str, interface: str) -> None:
        """Have dbusmock play an object that a test describes by its methods of `MOCK`."""
        self._mocks[service] = subprocess.Popen(
            [MOCK_PYTHON, "-m", "dbusmock", "--system", service, path, interface],
            env={**without_python(), "DBUS_SYSTEM_BUS_ADDRESS": self.address},
            start_new_session=True,
            stdout=_STDERR,
        )
        wait_until(lambda: self.has_owner(service))

    def stop_mock(self, service: str) -> None:
        mock = self._mocks.pop(service)
        mock.send_signal(signal.SIGTERM)
        mock.wait(10)
        wait_until(lambda: not self.has_owner(service))

    def call(
        self, service: str, path: str, interface: str, method: str, signature: str = "", *args: Any
    ) -> tuple[Any, ...]:
        with Bus() as bus:
            return bus.call(Target(service, path, interface), method, signature, *args)

    def has_owner(self, service: str) -> bool:
        path = "/org/freedesktop/DBus"
        return bool(
            self.call(
                "org.freedesktop.DBus", path, "org.freedesktop.DBus", "NameHasOwner", "s", service
            )[0]
        )


class FakeLogind:
    """What a test can have the played logind do."""

    def __init__(self, bus: SystemBus) -> None:
        self.bus = bus

    def mock(self, path: str, method: str, signature: str = "", *args: Any) -> tuple[Any, ...]:
        return self.bus.call(LOGIND, path, MOCK, method, signature, *args)

    def method(self, interface: str, name: str, takes: str, gives: str, code: str) -> None:
        """Give a method (again)."""
        self.mock(MANAGER_PATH, "AddMethod", "sssss", interface, name, takes, gives, code)

    def signal(self, name: str, signature: str, *values: tuple[str, Any]) -> None:
        self.mock(MANAGER_PATH, "EmitSignal", "sssav", MANAGER, name, signature, list(values))

    def plan(self, what: str, when: int) -> None:
        """Say what is planned, and when: in microseconds since 1970."""
        planned = ("(st)", (what, when))
        properties = "org.freedesktop.DBus.Properties"
        (known,) = self.bus.call(LOGIND, MANAGER_PATH, properties, "GetAll", "s", MANAGER)
        if "ScheduledShutdown" in known:
            change = (MANAGER, "ScheduledShutdown", planned)
            self.bus.call(LOGIND, MANAGER_PATH, properties, "Set", "ssv", *change)
        else:
            self.mock(MANAGER_PATH, "AddProperty", "ssv", MANAGER, "ScheduledShutdown", planned)

    def prepare(self, what: str, begins: bool) -> None:
        self.signal(f"PrepareFor{what}", "b", ("b", begins))

    def add_session(
        self, session: str, uid: int, user: str, *, seat: bool = True, **properties: Any
    ) -> str:
        """Add a session without a word."""
        (path,) = self.mock(MANAGER_PATH, "AddSession", "ssusb", session, "seat0", uid, user, True)
        types = {str: "s", bool: "b", tuple: "(so)"}
        at = ("seat0", f"{MANAGER_PATH}/seat/seat0") if seat else ("", "/")
        shown = {"Type": "wayland", "Seat": at, "Active": True, **properties}
        for name, value in shown.items():
            self.bus.call(
                LOGIND, path, "org.freedesktop.DBus.Properties", "Set",
                "ssv", SESSION, name, (types[type(value)], value),
            )  # fmt: skip
        return str(path)

    def log_in(self, session: str, uid: int, user: str, **properties: Any) -> str:
        path = self.add_session(session, uid, user, **properties)
        self.signal("SessionNew", "so", ("s", session), ("o", path))
        return path

    def log_out(self, session: str, path: str) -> None:
        self.mock(MANAGER_PATH, "RemoveObject", "s", path)
        self.signal("SessionRemoved", "so", ("s", session), ("o", path))

    def set_locked(self, path: str, locked: bool) -> None:
        self.bus.call(LOGIND, path, SESSION, "SetLockedHint", "b", locked)

    def set_active(self, path: str, active: bool) -> None:
        """Bring a session to the front of its seat, or away from there."""
        self.mock(path, "UpdateProperties", "sa{sv}", SESSION, {"Active": ("b", active)})

    def request(self, path: str, what: str) -> None:
        self.bus.call(LOGIND, path, SESSION, what)

    def inhibitors(self) -> list[tuple[str, str, str]]:
        (listed,) = self.bus.call(LOGIND, MANAGER_PATH, MANAGER, "ListInhibitors")
        return [(what, who, mode) for what, who, _why, mode, *_ in listed]

    def calls(self, method: str, path: str = MANAGER_PATH) -> list[tuple[Any, ...]]:
        """Return the arguments of every call of a method."""
        (calls,) = self.mock(path, "GetMethodCalls", "s", method)
        return [tuple(value for _, value in args) for _, args in calls]


class FakePolkit:
    """What a test can have the played polkit permit."""

    def __init__(self, bus: SystemBus) -> None:
        self.bus = bus

    def permit(self, actions: list[str]) -> None:
        self.bus.call(POLKIT, AUTHORITY_PATH, MOCK, "SetAllowed", "as", actions)

    def answer_with(self, error: str) -> None:
        """Have it answer every question with an error of D-Bus."""
        takes, gives = "(sa{sv})sa{ss}us", "(bba{ss})"
        code = f"raise dbus.exceptions.DBusException('no', name='{error}')"
        method = (f"{POLKIT}.Authority", "CheckAuthorization", takes, gives, code)
        self.bus.call(POLKIT, AUTHORITY_PATH, MOCK, "AddMethod", "sssss", *method)
