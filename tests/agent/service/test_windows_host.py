"""The service of Windows seen from inside, with controls as Windows sends them."""

from __future__ import annotations

import ctypes
import math
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.platforms.windows.service_controls import ServiceControl, ServiceControls
from companion_agent.service.sd_notify import Notifier
from companion_agent.service.windows_host import BAD_CONFIGURATION, ServiceHost
from companion_agent.signals import EndRequest
from companion_agent.winapi import services
from support.event_loop import PATIENCE
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Callable

# WTSSESSION_NOTIFICATION of Microsoft's reference: its size, and session 2.
SESSION_2 = bytes.fromhex("0800000002000000")
# POWERBROADCAST_SETTING: GUID_CONSOLE_DISPLAY_STATE, four bytes, 0 for off.
DISPLAY_OFF = bytes.fromhex("b584e86f4e49c84c9cc0b9abd24b7f560400000000000000")
SUSPEND, SETTING_CHANGE, LOCK = 0x4, 0x8013, 0x7


class Manager(FakeWindows):
    """Windows' service manager, with one service.

    Attributes:
        reported: What the service said: its state, what it accepts, and its exit codes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[int, int, int, int]] = []
        self.begun = threading.Event()
        self._handler: Callable[..., int] | None = None
        self.functions |= {
            "advapi32.StartServiceCtrlDispatcherW": self._dispatch,
            "advapi32.RegisterServiceCtrlHandlerExW": self._register,
            "advapi32.SetServiceStatus": self._set_status,
        }

    def _dispatch(self, table: Any) -> int:
        services.ServiceMain(table[0].main)(0, None)
        return 1

    def _register(self, _name: str, handler: Any, _context: None) -> int:
        self._handler = handler
        return 7

    def _set_status(self, handle: int, status: services.Status) -> int:
        assert handle == 7
        codes = (status.exit_code, status.specific_exit_code)
        self.reported.append((status.state, status.accepted, *codes))
        return 1

    @property
    def states(self) -> list[int]:
        return [state for state, *_ in self.reported]

    def control(self, control: int, event_type: int = 0, data: bytes = b"") -> int:
        assert self._handler
        buffer = ctypes.create_string_buffer(data, len(data) or 1)
        return self._handler(control, event_type, ctypes.addressof(buffer), None)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    manager = Manager()
    manager.install(monkeypatch)
    return manager


@pytest.fixture
def ends() -> EndRequest:
    return EndRequest()


@pytest.fixture
def controls() -> ServiceControls:
    return ServiceControls()


@pytest.fixture
def host(ends: EndRequest, controls: ServiceControls) -> ServiceHost:
    return ServiceHost("pilot-agent", ends.ask, controls)


def test_a_service_runs_when_the_agent_is_ready(manager: Manager, host: ServiceHost) -> None:
    def work() -> int:
        notifier = Notifier(channel=host)
        assert (notifier.listening, notifier.limit) == (True, math.inf)
        notifier.ready()
        notifier.stopping()
        return 0

    assert host.run(work) == 0
    assert manager.states == [
        services.START_PENDING,
        services.RUNNING,
        services.STOP_PENDING,
        services.STOPPED,
    ]
    accepted = manager.reported[1][1]
    assert accepted & services.ACCEPT_PRESHUTDOWN
    assert accepted & services.ACCEPT_POWEREVENT
    assert accepted & services.ACCEPT_SESSIONCHANGE
    assert manager.reported[-1][2:] == (0, 0)


def test_an_end_with_an_error_has_windows_start_it_again(
    manager: Manager, host: ServiceHost
) -> None:
    host.run(lambda: 3)

    assert manager.reported[-1][2:] == (services.ERROR_SERVICE_SPECIFIC, 3)


def test_a_crash_is_an_end_with_an_error(manager: Manager, host: ServiceHost) -> None:
    with pytest.raises(ZeroDivisionError):
        host.run(lambda: 1 // 0)

    assert manager.reported[-1] == (services.STOPPED, 0, services.ERROR_SERVICE_SPECIFIC, 1)


def test_a_wrong_configuration_is_not_tried_again(manager: Manager, host: ServiceHost) -> None:
    host.run(lambda: BAD_CONFIGURATION)

    assert manager.reported[-1] == (services.STOPPED, 0, 0, 0)


@pytest.mark.parametrize("control", [services.CONTROL_STOP, services.CONTROL_SHUTDOWN])
def test_stopping_asks_the_agent_to_end(
    manager: Manager, host: ServiceHost, ends: EndRequest, control: int
) -> None:
    asked = threading.Event()

    def work() -> int:
        host.send("READY=1")
        manager.control(control)
        with ends.followed(asked.set):
            assert asked.wait(PATIENCE)
        # One that had been about to say so is not running again.
        host.send("READY=1")
        return 0

    assert host.run(work) == 0
    assert manager.states[2:] == [services.STOP_PENDING, services.STOPPED]


def test_power_and_sessions_reach_who_follows_them(
    manager: Manager, host: ServiceHost, controls: ServiceControls
) -> None:
    def work() -> int:
        assert controls.from_windows
        controls.subscribe(lambda: None)
        manager.control(services.CONTROL_SESSIONCHANGE, LOCK, SESSION_2)
        manager.control(services.CONTROL_POWEREVENT, SETTING_CHANGE, DISPLAY_OFF)
        return 0

    host.run(work)

    assert controls.take() == [
        ServiceControl(services.CONTROL_SESSIONCHANGE, LOCK, SESSION_2),
        ServiceControl(services.CONTROL_POWEREVENT, SETTING_CHANGE, DISPLAY_OFF),
    ]


def test_windows_sleeps_when_the_agent_lets_it(
    manager: Manager, host: ServiceHost, controls: ServiceControls
) -> None:
    taken = []

    def say_good_bye() -> None:
        taken.extend(controls.take())
        controls.let_go()

    def work() -> int:
        controls.subscribe(lambda: threading.Thread(target=say_good_bye).start())
        assert manager.control(services.CONTROL_POWEREVENT, SUSPEND) == 0
        return 0

    host.run(work)

    assert taken == [ServiceControl(services.CONTROL_POWEREVENT, SUSPEND)]


def test_before_shutdown_the_agent_says_good_bye_and_ends(
    manager: Manager, host: ServiceHost, controls: ServiceControls, ends: EndRequest
) -> None:
    asked, heard = threading.Event(), threading.Event()

    def work() -> int:
        host.send("READY=1")
        controls.subscribe(heard.set)
        with ends.followed(asked.set):
            manager.control(services.CONTROL_PRESHUTDOWN)
            assert heard.wait(PATIENCE)
            assert not asked.is_set()
            controls.let_go()
            assert asked.wait(PATIENCE)
        return 0

    host.run(work)

    assert manager.states[2:] == [services.STOP_PENDING, services.STOPPED]
    assert controls.take() == [ServiceControl(services.CONTROL_PRESHUTDOWN)]


def test_other_controls_are_not_known(manager: Manager, host: ServiceHost) -> None:
    answers = []

    def work() -> int:
        answers.append(manager.control(services.CONTROL_INTERROGATE))
        answers.append(manager.control(0x3))
        return 0

    host.run(work)

    assert answers == [0, services.ERROR_CALL_NOT_IMPLEMENTED]


def test_in_a_terminal_there_is_no_service(manager: Manager, host: ServiceHost) -> None:
    code = services.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
    manager.functions["advapi32.StartServiceCtrlDispatcherW"] = lambda _: manager.fail(code)

    with pytest.raises(OSError, match="Dispatcher") as caught:
        host.run(lambda: pytest.fail("it ran"))

    assert caught.value.winerror == code
