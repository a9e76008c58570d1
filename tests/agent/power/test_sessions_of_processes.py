"""Which session a process belongs to, as logind says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from companion_agent.platforms.linux.logind import LogindControl
from support.agent_logind import MANAGER, FakeLogind

if TYPE_CHECKING:
    from companion_agent.platforms.control import Session

NO_SESSION = (
    "raise dbus.exceptions.DBusException('none', name='org.freedesktop.login1.NoSessionForPID')"
)


def session_of(uid: int) -> Session | None:
    return LogindControl(uid=999).session_of(os.getpid(), uid)


def test_a_user_who_works_here(logind: FakeLogind) -> None:
    logind.add_session("1", 1000, "anna")

    found = session_of(1000)

    assert found is not None
    assert (found.id, found.user, found.seat, found.active) == ("1", "anna", "seat0", True)


def test_a_user_who_does_not(logind: FakeLogind) -> None:
    logind.add_session("1", 1000, "anna")

    assert session_of(1001) is None


def test_login_screens_and_sessions_that_end_are_no_work(logind: FakeLogind) -> None:
    logind.add_session("1", 1000, "gdm", Class="greeter")
    logind.add_session("2", 1000, "gdm", State="closing")

    assert session_of(1000) is None


def test_what_the_service_manager_started_belongs_to_the_session_with_windows(
    logind: FakeLogind,
) -> None:
    logind.method(MANAGER, "GetSessionByPID", "u", "o", NO_SESSION)
    logind.add_session("1", 1000, "anna", seat=False, Type="tty", Remote=True)
    logind.add_session("2", 1000, "anna")

    found = session_of(1000)

    assert found is not None
    assert found.id == "2"


def test_a_process_of_one_session_belongs_to_that(logind: FakeLogind) -> None:
    path = logind.add_session("1", 1000, "anna", seat=False, Type="x11", Remote=True)
    logind.add_session("2", 1000, "anna")
    logind.method(MANAGER, "GetSessionByPID", "u", "o", f"ret = '{path}'")

    found = session_of(1000)

    assert found is not None
    assert found.id == "1"


def test_a_process_in_anothers_session_gets_none_of_it(logind: FakeLogind) -> None:
    path = logind.add_session("1", 1000, "anna")
    logind.add_session("2", 1001, "ben", Type="tty")
    logind.add_session("3", 1001, "ben")
    logind.method(MANAGER, "GetSessionByPID", "u", "o", f"ret = '{path}'")

    found = session_of(1001)

    assert found is not None
    assert found.id == "3"
