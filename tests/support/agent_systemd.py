"""A systemd that python-dbusmock plays, on a system bus of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from companion_agent.platforms.linux.services import MANAGER, unit_path

from .agent_logind import MOCK

if TYPE_CHECKING:
    from .agent_logind import SystemBus

_PROPERTIES = "org.freedesktop.DBus.Properties"
_SYSTEMD = MANAGER.service
_UNIT, _SERVICE = f"{_SYSTEMD}.Unit", f"{_SYSTEMD}.Service"
_LISTED = "a(ssssssouso)"
_JOB = "/org/freedesktop/systemd1/job/7"


class FakeSystemd:
    """Units, and what comes of the jobs on them."""

    def __init__(self, bus: SystemBus) -> None:
        self._bus = bus
        self._unit = ""
        bus.serve(_SYSTEMD, MANAGER.path, MANAGER.interface)
        self._method("Subscribe", "", "", "")

    def lists(self, *units: tuple[str, str, str]) -> None:
        """List units: name, load state, active state."""
        listed = [
            (name, "", load, active, "", "", unit_path(name), 0, "", "/")
            for name, load, active in units
        ]
        answer = f"ret = list(filter(lambda unit, args=args: %s, {listed!r}))"
        self._method("ListUnitsByNames", "as", _LISTED, answer % "unit[0] in args[0]")
        self._method("ListUnitsFiltered", "as", _LISTED, answer % "unit[3] in args[0]")
        match = "unit[0].startswith(args[1][0].split('*')[0])"
        self._method("ListUnitsByPatterns", "asas", _LISTED, answer % match)

    def unit(self, name: str, active: str, **service: str | int) -> None:
        """Have a unit."""
        self._unit = unit_path(name)
        state = {"ActiveState": ("s", active), "SubState": ("s", "sub")}
        self._mock(MANAGER.path, "AddObject", "ssa{sv}a(ssss)", self._unit, _UNIT, state, [])
        typed = {
            key: ("s" if isinstance(value, str) else "i", value)
            for key, value in {"Type": "simple", "Result": "success", **service}.items()
        }
        self._mock(self._unit, "AddProperties", "sa{sv}", _SERVICE, typed)

    def does(self, method: str, state: str, result: str) -> None:
        """Have a method bring the unit into a state, and end its job with a result."""
        told = f'"JobRemoved", "uoss", [7, "{_JOB}", args[0], "{result}"]'
        code = (
            f'objects["{self._unit}"]'
            f'.UpdateProperties("{_UNIT}", {{"ActiveState": "{state}"}})\n'
            f'self.EmitSignal("{MANAGER.interface}", {told})\n'
            f'ret = dbus.ObjectPath("{_JOB}")'
        )
        self._method(method, "ss", "o", code)

    def refuses(self, method: str, name: str, text: str) -> None:
        """Have a method answer with an error."""
        code = f'raise dbus.exceptions.DBusException("{text}", name="{name}")'
        self._method(method, "ss", "o", code)

    def state(self, name: str) -> str:
        """Return the state that a unit is in."""
        asked = (_UNIT, "ActiveState")
        ((_, state),) = self._bus.call(_SYSTEMD, unit_path(name), _PROPERTIES, "Get", "ss", *asked)
        return str(state)

    def _method(self, name: str, takes: str, gives: str, code: str) -> None:
        described = (MANAGER.interface, name, takes, gives, code)
        self._mock(MANAGER.path, "AddMethod", "sssss", *described)

    def _mock(self, path: str, method: str, signature: str, *args: Any) -> None:
        self._bus.call(_SYSTEMD, path, MOCK, method, signature, *args)
