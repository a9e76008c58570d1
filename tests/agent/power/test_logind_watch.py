"""What logind tells, and what the agent hears of it."""

from __future__ import annotations

import logging
import select
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.platforms.linux.power_profiles import SIGNALS
from companion_agent.platforms.linux.watch import Followed, LogindWatch
from support.agent_logind import LOGIND, MANAGER, MANAGER_PATH, FakeLogind, SystemBus
from support.agent_power_profiles import HADESS, TUNED, UPOWER, FakeProfiles
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from companion_agent.platforms.control import HostEvent

INHIBITORS = [("sleep", "Pilot", "delay"), ("shutdown", "Pilot", "delay")]
ANNA = {"user": "anna", "remote": False, "type": "wayland"}


class Loop:
    """Turns as the agent's loop does, and remembers what it heard."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.heard: list[HostEvent] = []
        self.turns = 0
        self._woken = threading.Event()
        followed = (Followed("processor", SIGNALS),)
        self.watch = LogindWatch(lambda: time.monotonic() + self.ahead, followed)

    def start(self) -> None:
        self.watch.start(self._woken.set)
        self.turn()

    def turn(self) -> None:
        self.turns += 1
        if self.watch.socket:
            select.select([self.watch.socket], [], [], 0.01)
        self.heard += self.watch.step()

    def until(self, condition: Callable[[], Any]) -> Any:
        def turned() -> Any:
            self.turn()
            return condition()

        return wait_until(turned)

    def hears(self, *types: str) -> list[HostEvent]:
        """Turn until some things were heard, in this order and nothing else."""
        self.until(lambda: len(self.heard) >= len(types))
        assert [event.type for event in self.heard] == list(types)
        heard, self.heard = self.heard, []
        return heard

    def hears_nothing(self) -> None:
        for _ in range(10):
            self.turn()
        assert not self.heard


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.watch.close()


@pytest.fixture
def listening(loop: Loop, logind: FakeLogind) -> Loop:
    """A loop whose watch listens, on a machine where anna is logged in already."""
    logind.add_session("1", 1000, "anna")
    loop.start()
    loop.until(lambda: logind.inhibitors() == INHIBITORS)
    loop.hears_nothing()
    return loop


def test_sleep_waits_until_the_agent_lets_go(listening: Loop, logind: FakeLogind) -> None:
    assert logind.inhibitors() == INHIBITORS
    logind.prepare("Sleep", True)
    listening.hears("going_to_sleep")
    assert logind.inhibitors() == INHIBITORS
    listening.watch.let_go()
    wait_until(lambda: not logind.inhibitors())
    logind.prepare("Sleep", False)
    listening.hears("woke")
    listening.until(lambda: logind.inhibitors() == INHIBITORS)


def test_shutdown_waits_and_may_be_called_off(listening: Loop, logind: FakeLogind) -> None:
    logind.prepare("Shutdown", True)
    listening.hears("shutting_down")
    listening.watch.let_go()
    wait_until(lambda: not logind.inhibitors())
    logind.prepare("Shutdown", False)
    listening.hears("carries_on")
    listening.until(lambda: logind.inhibitors() == INHIBITORS)


def test_letting_go_twice(listening: Loop, logind: FakeLogind) -> None:
    listening.watch.let_go()
    listening.watch.let_go()
    wait_until(lambda: not logind.inhibitors())


@pytest.mark.parametrize("name", [HADESS, UPOWER, TUNED])
def test_another_power_profile_is_noticed(
    listening: Loop, bus: SystemBus, logind: FakeLogind, name: str
) -> None:
    service = FakeProfiles(bus, name)
    listening.hears_nothing()
    assert listening.watch.take_changed() == frozenset()

    service.choose_by_hand("performance")

    changed = listening.until(listening.watch.take_changed)
    assert changed == {"processor"}
    listening.hears_nothing()
    assert listening.watch.take_changed() == frozenset()


def test_who_comes_and_goes(listening: Loop, logind: FakeLogind) -> None:
    path = logind.log_in("2", 1001, "ben", Type="tty", Remote=True)
    (came,) = listening.hears("logged_in")
    assert came.data == {"user": "ben", "remote": True, "type": "tty"}
    logind.log_out("2", path)
    (went,) = listening.hears("logged_out")
    assert went.data == came.data


def test_the_sessions_that_there_are_now(listening: Loop, logind: FakeLogind) -> None:
    def known() -> list[tuple[str, bool]]:
        return sorted((one.user, one.active) for one in listening.watch.sessions)

    path = logind.log_in("2", 1001, "ben")
    listening.hears("logged_in")
    assert known() == [("anna", True), ("ben", True)]

    logind.set_active("/org/freedesktop/login1/session/1", False)
    listening.until(lambda: known() == [("anna", False), ("ben", True)])

    logind.log_out("2", path)
    listening.hears("logged_out")
    assert known() == [("anna", False)]


def test_who_was_there_before_the_agent_goes(listening: Loop, logind: FakeLogind) -> None:
    logind.log_out("1", "/org/freedesktop/login1/session/1")
    (went,) = listening.hears("logged_out")
    assert went.data == ANNA


def test_unknown_session_types_are_left_out(listening: Loop, logind: FakeLogind) -> None:
    logind.log_in("2", 1001, "ben", Type="unspecified")
    (came,) = listening.hears("logged_in")
    assert came.data == {"user": "ben", "remote": False}


@pytest.mark.parametrize("kind", ["greeter", "background", "manager", "lock-screen"])
def test_login_screens_and_services_are_no_users(
    listening: Loop, logind: FakeLogind, kind: str
) -> None:
    path = logind.log_in("c1", 120, "gdm", Class=kind)
    logind.set_locked(path, True)
    logind.log_out("c1", path)
    listening.hears_nothing()


def test_session_that_ends_before_it_was_looked_at(listening: Loop, logind: FakeLogind) -> None:
    logind.signal("SessionNew", "so", ("s", "9"), ("o", "/org/freedesktop/login1/session/9"))
    logind.signal("SessionRemoved", "so", ("s", "9"), ("o", "/org/freedesktop/login1/session/9"))
    listening.hears_nothing()


def test_desktop_that_tells_its_lock(listening: Loop, logind: FakeLogind) -> None:
    path = "/org/freedesktop/login1/session/1"
    # As when "Lock" is pressed in GNOME: the request, and then what became of it.
    logind.request(path, "Lock")
    logind.set_locked(path, True)
    (locked,) = listening.hears("locked")
    assert locked.data == ANNA
    logind.set_locked(path, False)
    listening.hears("unlocked")
    # Now it is known that this desktop tells: what it is asked for is not yet done.
    logind.request(path, "Lock")
    listening.hears_nothing()
    logind.set_locked(path, True)
    logind.set_locked(path, True)
    listening.hears("locked")


def test_desktop_that_never_tells_its_lock(listening: Loop, logind: FakeLogind) -> None:
    path = "/org/freedesktop/login1/session/1"
    logind.request(path, "Lock")
    listening.hears("locked")
    logind.request(path, "Unlock")
    listening.hears("unlocked")


def test_session_that_is_locked_when_the_agent_starts(loop: Loop, logind: FakeLogind) -> None:
    path = logind.add_session("1", 1000, "anna", LockedHint=True)
    loop.start()
    loop.until(lambda: logind.inhibitors() == INHIBITORS)
    loop.hears_nothing()
    logind.set_locked(path, False)
    loop.hears("unlocked")


def test_other_changes_of_a_session(listening: Loop, logind: FakeLogind) -> None:
    logind.bus.call(
        LOGIND, "/org/freedesktop/login1/session/1", "org.freedesktop.DBus.Properties", "Set",
        "ssv", "org.freedesktop.login1.Session", "IdleHint", ("b", True),
    )  # fmt: skip
    listening.hears_nothing()


def test_other_senders_are_not_believed(listening: Loop, bus: SystemBus) -> None:
    """Any bus client may send a unicast signal, whatever the match rules are."""
    from jeepney import DBusAddress, new_signal
    from jeepney.io.blocking import open_dbus_connection

    listener = listening.watch._listener
    assert listener is not None
    with open_dbus_connection(bus.address) as stranger:
        emitter = DBusAddress(MANAGER_PATH, interface=MANAGER)
        message = new_signal(emitter, "PrepareForSleep", "b", (True,))
        from jeepney import HeaderFields

        message.header.fields[HeaderFields.destination] = listener._connection.unique_name
        stranger.send(message)
        listening.hears_nothing()


# --- Trouble -----------------------------------------------------------------------------


def test_bus_that_goes_and_comes(
    listening: Loop, bus: SystemBus, logind: FakeLogind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    bus.stop()
    listening.until(lambda: listening.watch.socket is None)
    for _ in range(3):
        listening.ahead += 120
        listening.turn()
        listening.until(lambda: listening.watch.deadline() < float("inf"))
    bus.start()
    bus.play("logind", LOGIND)
    listening.ahead += 120
    listening.until(lambda: logind.inhibitors() == INHIBITORS)
    listening.hears_nothing()
    logind.prepare("Sleep", True)
    listening.hears("going_to_sleep")
    texts = [record.getMessage() for record in caplog.records if "noticed" in record.getMessage()]
    assert len(texts) == 2, texts
    assert "not noticed" in texts[0]
    assert "noticed again" in texts[1]


def test_tries_come_at_growing_distances(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    loop.start()
    waits = []
    for _ in range(9):
        loop.until(lambda: loop.watch.deadline() < float("inf"))
        now = time.monotonic() + loop.ahead
        waits.append(loop.watch.deadline() - now)
        loop.ahead += waits[-1]
        loop.turn()
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_logind_that_restarts(listening: Loop, bus: SystemBus, logind: FakeLogind) -> None:
    bus.stop_mock(LOGIND)
    listening.hears_nothing()
    bus.play("logind", LOGIND)
    listening.until(lambda: logind.inhibitors() == INHIBITORS)
    listening.hears_nothing()
    logind.prepare("Sleep", True)
    listening.hears("going_to_sleep")


@pytest.mark.parametrize("trouble", ["bus", "logind"])
def test_sleep_that_is_announced_and_never_ends(
    listening: Loop, bus: SystemBus, logind: FakeLogind, trouble: str
) -> None:
    logind.prepare("Sleep", True)
    listening.hears("going_to_sleep")
    if trouble == "bus":
        bus.stop()
    else:
        bus.stop_mock(LOGIND)
    listening.hears("carries_on")


def test_shutdown_ends_logind_as_well(listening: Loop, bus: SystemBus, logind: FakeLogind) -> None:
    logind.prepare("Shutdown", True)
    listening.hears("shutting_down")
    bus.stop()
    listening.until(lambda: listening.watch.socket is None)
    listening.hears_nothing()


def test_logind_that_comes_later(
    loop: Loop, bus: SystemBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    loop.start()
    loop.until(lambda: "logind does not run" in caplog.text)
    bus.play("logind", LOGIND)
    logind = FakeLogind(bus)
    loop.until(lambda: logind.inhibitors() == INHIBITORS)
    logind.log_in("1", 1000, "anna")
    loop.hears("logged_in")


def test_logind_that_gives_no_inhibitor(
    loop: Loop, logind: FakeLogind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "companion_agent")
    code = (
        "raise dbus.exceptions.DBusException('no', name='org.freedesktop.DBus.Error.AccessDenied')"
    )
    logind.method(MANAGER, "Inhibit", "ssss", "h", code)
    loop.start()
    loop.until(lambda: "does not wait" in caplog.text)
    loop.hears_nothing()
    logind.prepare("Sleep", True)
    loop.hears("going_to_sleep")
    loop.watch.let_go()


def test_closing_while_the_connection_is_made(loop: Loop, bus: SystemBus) -> None:
    loop.watch.start(lambda: None)
    loop.watch.close()
    for thread in threading.enumerate():
        if thread.name == "system bus":
            thread.join()
    loop.turn()
    assert loop.watch.socket is None


def test_nothing_happens_while_nothing_happens(listening: Loop) -> None:
    """The loop is not woken: no descriptor stays readable, no deadline is near."""
    assert listening.watch.deadline() == float("inf")
    assert listening.watch.socket
    assert select.select([listening.watch.socket], [], [], 0.3)[0] == []


# --- The lock ----------------------------------------------------------------------------


def test_who_is_logged_in_is_known_once_each_was_looked_at(
    listening: Loop, logind: FakeLogind
) -> None:
    watch = listening.watch
    listening.until(lambda: watch.knows_sessions)
    assert [session.user for session in watch.sessions] == ["anna"]
    ben = logind.log_in("2", 1001, "ben", seat=False, Type="tty", Remote=True)
    listening.until(lambda: len(watch.sessions) == 2)
    logind.log_out("2", ben)
    listening.until(lambda: len(watch.sessions) == 1)


def test_the_lock_follows_the_session_in_front(listening: Loop, logind: FakeLogind) -> None:
    watch, anna = listening.watch, "/org/freedesktop/login1/session/1"
    listening.until(lambda: watch.locked is False)
    logind.set_locked(anna, True)
    listening.until(lambda: watch.locked is True)
    # Another one works at the machine, and hers waits behind it.
    ben = logind.log_in("2", 1001, "ben", Active=False)
    logind.set_active(anna, False)
    logind.set_active(ben, True)
    listening.until(lambda: watch.locked is False)
    # The login screen is in front.
    logind.set_active(ben, False)
    listening.until(lambda: watch.locked is True)
    logind.set_active(ben, True)
    listening.until(lambda: watch.locked is False)
    logind.log_out("2", ben)
    listening.until(lambda: watch.locked is True)


def test_no_user_is_logged_in(loop: Loop, logind: FakeLogind) -> None:
    """A user at the login screen has to log in; one over the network is not present."""
    logind.add_session("c1", 120, "gdm", Class="greeter")
    logind.add_session("7", 1000, "anna", Type="tty", seat=False, Remote=True)
    loop.start()
    loop.until(lambda: loop.watch.locked is True)
    logind.log_in("2", 1000, "anna")
    loop.until(lambda: loop.watch.locked is False)


def test_a_server_has_no_lock(loop: Loop, logind: FakeLogind) -> None:
    logind.add_session("7", 1000, "anna", Type="tty")
    loop.start()
    loop.until(lambda: logind.inhibitors() == INHIBITORS)
    loop.hears_nothing()
    assert loop.watch.locked is None


def test_the_lock_is_not_known_without_a_source(
    listening: Loop, bus: SystemBus, logind: FakeLogind
) -> None:
    listening.until(lambda: listening.watch.locked is False)
    bus.stop_mock(LOGIND)
    listening.until(lambda: listening.watch.locked is None)
    bus.play("logind", LOGIND)
    logind.add_session("1", 1000, "anna", LockedHint=True)
    listening.until(lambda: listening.watch.locked is True)


def test_a_session_that_is_gone_before_it_was_looked_at_is_not_waited_for(
    listening: Loop, logind: FakeLogind
) -> None:
    gone = "/org/freedesktop/login1/session/9"
    logind.signal("SessionNew", "so", ("s", "9"), ("o", gone))
    logind.signal("SessionRemoved", "so", ("s", "9"), ("o", gone))
    logind.set_locked("/org/freedesktop/login1/session/1", True)
    listening.until(lambda: listening.watch.locked is True)
