"""What a Windows machine tells of itself: sleep, shutdown, sessions and the network."""

from __future__ import annotations

import contextlib
import ctypes
import select
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.platforms.windows import network_watch
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    PRESHUTDOWN,
    SESSION_CHANGE,
    ServiceControl,
    ServiceControls,
)
from companion_agent.platforms.windows.watch import LOOK_AGAIN, WindowsWatch
from companion_agent.platforms.windows.window_messages import WINDOW, WindowMessages
from support.agent_windows import FakeSessionsOfWindows
from support.clock import ManualClock
from support.event_loop import PATIENCE
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.platforms.control import HostEvent

SUSPEND, RESUME_SUSPEND, POWER_STATUS, RESUME_AUTOMATIC = 0x4, 0x7, 0xA, 0x12
REMOTE_CONNECT, LOGON, LOGOFF, LOCK, UNLOCK = 3, 5, 6, 7, 8


class Machine:
    """A machine whose service hears what a test wants."""

    def __init__(self, windows: FakeWindows) -> None:
        self.sessions = FakeSessionsOfWindows(windows)
        self.controls = ServiceControls()
        self.controls.from_windows = True
        self.falls_asleep = threading.Event()
        self.clock = ManualClock()
        self.watch = WindowsWatch(self.falls_asleep, self.controls, self.clock)
        self._woken = threading.Semaphore(0)

    def start(self) -> None:
        self.watch.start(self._woken.release)
        assert self.after_look() == []

    def power(self, event: int, *, hold: bool = False) -> None:
        self.controls.put(ServiceControl(POWER_EVENT, event), hold=hold)
        self.wait()

    def session(self, event: int, number: int) -> None:
        data = (8).to_bytes(4, "little") + number.to_bytes(4, "little")
        self.controls.put(ServiceControl(SESSION_CHANGE, event, data))
        self.wait()

    def wait(self) -> None:
        assert self._woken.acquire(timeout=PATIENCE)

    def heard(self) -> list[str]:
        return [event.type for event in self.watch.step()]

    def after_look(self) -> list[HostEvent]:
        """Return what is told once the sessions were looked at."""
        told = self.watch.step()
        self.wait()
        return told + self.watch.step()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine at which anna works."""
    machine = Machine(FakeWindows().install(monkeypatch))
    machine.sessions.add(1, "anna")
    machine.start()
    yield machine
    machine.watch.close()


def test_sleep_and_waking(machine: Machine) -> None:
    machine.power(SUSPEND, hold=True)
    assert machine.heard() == ["going_to_sleep"]
    assert machine.falls_asleep.is_set()
    assert not machine.controls.wait(0)

    machine.watch.let_go()

    assert machine.controls.wait(0)
    machine.power(RESUME_AUTOMATIC)
    assert [event.type for event in machine.after_look()] == ["woke"]
    machine.power(RESUME_SUSPEND)
    assert machine.heard() == [], "said once"


def test_waking_that_only_a_user_s_key_tells_of(machine: Machine) -> None:
    machine.power(SUSPEND)
    machine.heard()

    machine.power(RESUME_SUSPEND)

    assert [event.type for event in machine.after_look()] == ["woke"]


def test_the_lock_is_looked_at_after_waking(machine: Machine) -> None:
    assert machine.watch.locked is False
    machine.power(SUSPEND)
    machine.heard()
    # Locked on the way to sleep, and not told.
    machine.sessions.add(1, "anna", locked=True)

    machine.power(RESUME_AUTOMATIC)

    assert [event.type for event in machine.after_look()] == ["woke", "locked"]
    assert machine.watch.locked is True


def test_shutdown(machine: Machine) -> None:
    machine.controls.put(ServiceControl(PRESHUTDOWN), hold=True)
    machine.wait()

    assert machine.heard() == ["shutting_down"]


def test_a_plug_that_is_pulled_has_the_battery_read(machine: Machine) -> None:
    machine.power(POWER_STATUS)

    assert machine.heard() == []
    assert machine.watch.take_changed() == {"battery"}
    assert machine.watch.take_changed() == frozenset()


def test_locking_and_unlocking(machine: Machine) -> None:
    machine.sessions.add(1, "anna", locked=True)
    machine.session(LOCK, 1)
    (event,) = machine.after_look()
    assert (event.type, event.data) == (
        "locked",
        {"user": "anna", "remote": False, "type": "windows"},
    )
    assert machine.watch.locked is True

    machine.sessions.add(1, "anna", locked=False)
    machine.session(UNLOCK, 1)

    assert [event.type for event in machine.after_look()] == ["unlocked"]
    assert machine.watch.locked is False


def test_a_lock_is_believed_where_it_cannot_be_looked_at(machine: Machine) -> None:
    machine.sessions.add(1, "anna", locked=None)
    machine.session(LOCK, 1)
    assert [event.type for event in machine.after_look()] == ["locked"]

    machine.clock.now += LOOK_AGAIN

    assert machine.after_look() == []
    assert machine.watch.locked is True


def test_another_user_logs_in_and_out(machine: Machine) -> None:
    machine.sessions.add(1, "anna", state=4)
    machine.sessions.add(2, "ben")
    machine.session(LOGON, 2)
    (event,) = machine.after_look()
    assert (event.type, event.data["user"]) == ("logged_in", "ben")
    assert {one.user: one.active for one in machine.watch.sessions} == {
        "anna": False,
        "ben": True,
    }

    # Still listed while it ends.
    machine.session(LOGOFF, 2)

    (event,) = machine.after_look()
    assert (event.type, event.data["user"]) == ("logged_out", "ben")
    assert [one.user for one in machine.watch.sessions] == ["anna"]


def test_a_number_that_is_used_again_is_another_session(machine: Machine) -> None:
    machine.session(LOGOFF, 1)
    machine.after_look()
    machine.sessions.add(1, "ben")

    machine.session(LOGON, 1)

    assert [(one.type, one.data["user"]) for one in machine.after_look()] == [("logged_in", "ben")]


def test_a_remote_connection_takes_the_screen_along(machine: Machine) -> None:
    machine.sessions.add(1, "anna", protocol=2)

    machine.session(REMOTE_CONNECT, 1)

    assert machine.after_look() == []
    assert machine.watch.locked is True
    assert [one.remote for one in machine.watch.sessions] == [True]


def test_what_is_not_told_is_found_now_and_then(machine: Machine) -> None:
    assert machine.watch.deadline() == machine.clock.now + LOOK_AGAIN
    machine.sessions.remove(1)

    machine.clock.now += LOOK_AGAIN

    assert [event.type for event in machine.after_look()] == ["logged_out"]


def test_sessions_that_cannot_be_looked_at_are_not_known(machine: Machine) -> None:
    machine.sessions.fails = 1722
    machine.clock.now += LOOK_AGAIN
    machine.after_look()
    assert not machine.watch.knows_sessions
    assert machine.watch.locked is None

    # The service that knows them has been started again.
    machine.sessions.fails = 0
    machine.clock.now = machine.watch.deadline()

    assert machine.after_look() == [], "anna did not log in"
    assert machine.watch.knows_sessions


def test_the_platform_asks_windows_while_nothing_listens(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = WindowsPlatform()
    assert [one.user for one in platform.sessions()] == ["anna"]
    assert platform.session_locked() is False

    monkeypatch.setattr(platform, "_watch", machine.watch)
    machine.sessions.fails = 1722

    assert [one.user for one in platform.sessions()] == ["anna"]
    assert platform.session_locked() is False


class FakeDesktop:
    """Windows' messages to the one window that there is."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.there = threading.Event()
        self.quit = threading.Event()
        self.woken = threading.Event()
        self.console: Any = None
        self.notified = [1]
        self.procedure: Any = None
        self.name = ""
        windows.functions.update(
            {
                "kernel32.GetModuleHandleW": lambda _: 1,
                "kernel32.SetConsoleCtrlHandler": self._set_console_handler,
                "user32.RegisterClassExW": self._register,
                "user32.UnregisterClassW": lambda *_: 1,
                "user32.CreateWindowExW": self._create,
                "user32.DefWindowProcW": lambda *_: 0,
                "user32.DestroyWindow": lambda _: 1,
                "user32.PostQuitMessage": lambda _: None,
                "user32.PostMessageW": self._post,
                "user32.GetMessageW": self._get,
                "user32.DispatchMessageW": lambda _: 0,
                "wtsapi32.WTSRegisterSessionNotification": lambda *_: self.notified.pop(0),
            }
        )

    def send(self, message: int, first: int = 0, second: int = 0) -> int:
        assert self.there.wait(PATIENCE)
        answer: int = self.procedure(42, message, first, second)
        return answer

    def _set_console_handler(self, handler: Any, add: int) -> int:
        self.console = handler if add else None
        return 1

    def _register(self, kind: Any) -> int:
        assert kind.size == ctypes.sizeof(kind)
        self.procedure = kind.procedure
        return 1

    def _create(self, _style: int, _kind: str, name: str, *_: Any) -> int:
        self.name = name
        self.there.set()
        return 42

    def _get(self, *_: Any) -> int:
        self.quit.wait(PATIENCE)
        return 0

    def _post(self, window: int, message: int, *_: int) -> int:
        assert (window, message) == (42, 0x10)
        self.quit.set()
        return 1


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> FakeDesktop:
    return FakeDesktop(FakeWindows().install(monkeypatch))


@pytest.fixture
def messages(desktop: FakeDesktop) -> Iterator[ServiceControls]:
    """What a window's messages become, where the agent is no service."""
    controls = ServiceControls()
    controls.subscribe(desktop.woken.set)
    window = WindowMessages(controls)
    window.start()
    assert desktop.there.wait(PATIENCE)
    yield controls
    controls.unsubscribe()
    window.close()


def test_a_window_s_messages_are_those_of_a_service(
    desktop: FakeDesktop, messages: ServiceControls
) -> None:
    assert desktop.name == WINDOW
    assert desktop.send(0x218, RESUME_AUTOMATIC) == 1
    assert desktop.send(0x2B1, LOCK, 3) == 0
    assert desktop.send(0x11) == 1
    assert desktop.send(0x400) == 0

    assert messages.take() == [
        ServiceControl(POWER_EVENT, RESUME_AUTOMATIC),
        ServiceControl(SESSION_CHANGE, LOCK, bytes([8, 0, 0, 0, 3, 0, 0, 0])),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param((0x218, SUSPEND), ServiceControl(POWER_EVENT, SUSPEND), id="sleep"),
        pytest.param((0x16, 1), ServiceControl(PRESHUTDOWN), id="shutdown"),
    ],
)
def test_windows_waits_until_all_is_said(
    desktop: FakeDesktop,
    messages: ServiceControls,
    message: tuple[int, int],
    expected: ServiceControl,
) -> None:
    answered = threading.Event()
    asked = threading.Thread(target=lambda: (desktop.send(*message), answered.set()))
    asked.start()
    assert desktop.woken.wait(PATIENCE)
    assert messages.take() == [expected]
    assert not answered.is_set()

    messages.let_go()

    asked.join(PATIENCE)
    assert answered.is_set()


def test_a_shutdown_that_another_program_prevents_is_none(
    desktop: FakeDesktop, messages: ServiceControls
) -> None:
    desktop.send(0x11)
    desktop.send(0x16, 0)

    assert messages.take() == []


def test_logging_out_and_a_closed_console_end_the_agent_in_order(
    desktop: FakeDesktop, messages: ServiceControls, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    monkeypatch.setattr(threading.Thread, "join", lambda *_: None)

    desktop.send(0x16, 1, 0x8000_0000)
    handled = [desktop.console(event) for event in (2, 0)]

    assert raised == [signal.SIGTERM] * 2
    assert handled == [1, 0], "Ctrl-C is Python's"
    assert messages.take() == [], "the machine goes on"


def test_a_window_that_comes_too_late_is_closed(desktop: FakeDesktop) -> None:
    window = WindowMessages(ServiceControls())
    window.close()

    window.start()

    assert desktop.quit.wait(PATIENCE)


def test_a_session_without_windows_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows = FakeWindows().install(monkeypatch)
    FakeDesktop(windows)
    windows.functions["user32.CreateWindowExW"] = lambda *_: windows.fail(5)
    window = WindowMessages(ServiceControls())

    window.start()
    assert window.opened.wait(PATIENCE)
    window.close()

    assert "are not noticed" in caplog.text


class FakeInterfaces:
    """Windows' notifications of addresses and routes."""

    def __init__(self, windows: FakeWindows) -> None:
        self.callbacks: list[Any] = []
        self.cancelled = 0
        self.refuses = 0
        for name in ("NotifyUnicastIpAddressChange", "NotifyRouteChange2"):
            windows.functions[f"iphlpapi.{name}"] = self._notify
        windows.functions["iphlpapi.CancelMibChangeNotify2"] = self._cancel

    def _notify(self, family: int, callback: Any, context: Any, first: int, handle: Any) -> int:
        if self.refuses and self.callbacks:
            return self.refuses
        assert (family, context, first) == (0, None, 0)
        self.callbacks.append(callback)
        handle.value = len(self.callbacks)
        return 0

    def _cancel(self, _: Any) -> int:
        self.cancelled += 1
        return 0


@pytest.fixture
def interfaces(monkeypatch: pytest.MonkeyPatch) -> FakeInterfaces:
    return FakeInterfaces(FakeWindows().install(monkeypatch))


def test_an_address_or_a_route_that_changes_is_heard(interfaces: FakeInterfaces) -> None:
    watch = WindowsPlatform().network_watch()
    assert watch is not None
    with contextlib.closing(watch):
        assert not watch.changed()
        for callback in interfaces.callbacks:
            callback(None, None, 0)

            assert select.select([watch.socket], [], [], PATIENCE)[0]
            assert watch.changed()
            assert not watch.changed()
    assert interfaces.cancelled == 2


def test_a_storm_of_changes_is_one(interfaces: FakeInterfaces) -> None:
    with contextlib.closing(network_watch.AddressWatch()) as watch:
        for _ in range(5000):
            interfaces.callbacks[0](None, None, 0)

        assert watch.changed()
        assert not watch.changed()


def test_a_windows_that_does_not_tell_of_changes(interfaces: FakeInterfaces) -> None:
    interfaces.refuses = 50

    assert WindowsPlatform().network_watch() is None
    assert interfaces.cancelled == 1
