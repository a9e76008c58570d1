"""Services of Windows, by a service manager that a test plays; Wine's own in `tests/windows`."""

from __future__ import annotations

import ctypes
from ctypes import c_wchar_p
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.services import LIMIT, ServiceState
from companion_agent.platforms.windows.services import WindowsServices
from companion_agent.winapi import services
from companion_agent.winapi.service_list import EnumServiceStatusProcess
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from support.clock import ManualClock

pytestmark = pytest.mark.proves("services.*")

MORE_DATA = 234
DENIED = services.ERROR_ACCESS_DENIED


class Manager:
    """A service manager, as the functions of winsvc.h show it.

    Attributes:
        states: State and exit code of each service.
        denied: What this account may not open, and for which rights.
        after: What a service's state becomes when it is asked about again.
    """

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.states: dict[str, tuple[int, int]] = {}
        self.automatic: set[str] = set()
        self.denied: dict[str, int] = {}
        self.after: dict[str, list[tuple[int, int]]] = {}
        self.batch = 100
        self._names: list[str] = []
        self._kept: list[Any] = []
        windows.functions |= {
            "advapi32.OpenSCManagerW": lambda *_: 1,
            "advapi32.OpenServiceW": self.open,
            "advapi32.CloseServiceHandle": lambda _: 1,
            "advapi32.EnumServicesStatusExW": self.enumerate,
            "advapi32.QueryServiceStatusEx": self.query,
            "advapi32.QueryServiceConfigW": self.config,
            "advapi32.StartServiceW": self.start,
            "advapi32.ControlService": self.stop,
        }

    def open(self, _manager: int, name: str, access: int) -> int:
        if name not in self.states:
            return self.windows.fail(services.ERROR_SERVICE_DOES_NOT_EXIST)
        if self.denied.get(name, 0) & access:
            return self.windows.fail(DENIED)
        self._names.append(name)
        return 100 + len(self._names) - 1

    def enumerate(self, *given: Any) -> int:
        buffer, count, resume = given[4], given[7], given[8]
        names = list(self.states)[resume.value : resume.value + self.batch]
        entries = (EnumServiceStatusProcess * len(names)).from_buffer(buffer)
        for entry, name in zip(entries, names, strict=True):
            kept = c_wchar_p(name)
            self._kept.append(kept)
            entry.name, entry.display_name = kept, kept
            entry.status.state, entry.status.exit_code = self.states[name]
        count.value = len(names)
        resume.value += len(names)
        return 1 if resume.value >= len(self.states) else self.windows.fail(MORE_DATA)

    def query(self, handle: int, _level: int, status: services.StatusProcess, *_: Any) -> int:
        name = self._names[handle - 100]
        if self.after.get(name):
            self.states[name] = self.after[name].pop(0)
        status.state, status.exit_code = self.states[name]
        status.specific_exit_code = 42
        return 1

    def config(self, handle: int, found: Any, _size: int, needed: Any) -> int:
        needed.value = ctypes.sizeof(services.QueriedConfig)
        if found is None:
            return self.windows.fail(services.ERROR_INSUFFICIENT_BUFFER)
        automatic = self._names[handle - 100] in self.automatic
        start = services.SERVICE_AUTO_START if automatic else services.SERVICE_DEMAND_START
        services.QueriedConfig.from_buffer(found).start = start
        return 1

    def start(self, handle: int, *_: Any) -> int:
        name = self._names[handle - 100]
        if self.states[name][0] == services.RUNNING:
            return self.windows.fail(services.ERROR_SERVICE_ALREADY_RUNNING)
        self.states[name] = (services.START_PENDING, 0)
        self.after.setdefault(name, [(services.START_PENDING, 0), (services.RUNNING, 0)])
        return 1

    def stop(self, handle: int, *_: Any) -> int:
        name = self._names[handle - 100]
        if self.states[name][0] == services.STOPPED:
            return self.windows.fail(services.ERROR_SERVICE_NOT_ACTIVE)
        self.states[name] = (services.STOPPED, 0)
        return 1


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    manager = Manager(FakeWindows().install(monkeypatch))
    manager.states = {
        "Spooler": (services.RUNNING, 0),
        "W32Time": (services.STOPPED, 1077),
        "MyAgent": (services.STOPPED, 1067),
        "OnDemand": (services.STOPPED, 31),
        "Tidy": (services.STOPPED, 0),
    }
    manager.automatic = {"Spooler", "MyAgent", "Tidy", "W32Time"}
    return manager


@pytest.fixture
def system(still_clock: ManualClock) -> WindowsServices:
    return WindowsServices(still_clock.advance, still_clock)


def test_those_that_start_by_themselves_and_ended_with_an_error_failed(
    manager: Manager, system: WindowsServices
) -> None:
    # More than one call's worth.
    manager.batch = 2

    assert system.failed() == ["MyAgent"]


def test_names_are_not_those_that_are_displayed_and_have_no_case(
    manager: Manager, system: WindowsServices
) -> None:
    assert system.states(["spooler", "nothing", "*time"]) == {
        "spooler": [ServiceState("Spooler", True)],
        "nothing": [],
        "*time": [ServiceState("W32Time", False)],
    }


def test_a_command_waits_until_it_is_so(manager: Manager, system: WindowsServices) -> None:
    system.act("Tidy", "start")
    assert manager.states["Tidy"] == (services.RUNNING, 0)

    system.act("Tidy", "stop")
    assert manager.states["Tidy"] == (services.STOPPED, 0)

    system.act("Spooler", "restart")
    assert manager.states["Spooler"] == (services.RUNNING, 0)


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_is_so_already_is_done(manager: Manager, system: WindowsServices, verb: Any) -> None:
    system.act("Spooler" if verb == "start" else "Tidy", verb)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ([(services.STOPPED, 1067)], "ended with 1067"),
        ([(services.STOPPED, services.ERROR_SERVICE_SPECIFIC)], "ended with 42"),
        ([(services.START_PENDING, 0)], f"is still starting {LIMIT:.0f} s"),
    ],
)
def test_what_does_not_come_to_run_says_why(
    manager: Manager, system: WindowsServices, after: list[tuple[int, int]], says: str
) -> None:
    manager.after["Tidy"] = after

    with pytest.raises(CommandError, match=says) as raised:
        system.act("Tidy", "start")

    assert raised.value.reason == "failed"


def test_a_missing_right_is_named(manager: Manager, system: WindowsServices) -> None:
    manager.denied["Spooler"] = services.SERVICE_STOP

    missing = system.missing({"Spooler": frozenset({"start", "stop"})})

    assert missing["Spooler", "start"] is None
    lacking = missing["Spooler", "stop"]
    assert lacking is not None
    assert "sc.exe sdset Spooler" in lacking.fix
    with pytest.raises(CommandError, match="does not permit") as raised:
        system.act("Spooler", "stop")
    assert raised.value.reason == "not_permitted"


def test_a_service_that_has_gone_says_so(manager: Manager, system: WindowsServices) -> None:
    with pytest.raises(CommandError, match="Gone did not start"):
        system.act("Gone", "start")


def test_a_manager_that_does_not_answer(manager: Manager, system: WindowsServices) -> None:
    manager.windows.functions["advapi32.EnumServicesStatusExW"] = lambda *_: manager.windows.fail(
        DENIED
    )

    with pytest.raises(Unavailable, match="does not tell"):
        system.failed()
