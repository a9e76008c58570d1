"""The sessions of people on a Windows machine."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.control import Session
from companion_agent.winapi import wts

TYPE = "windows"
"""What sessions with Windows' desktop are of: there are no others."""

_SEAT = "console"
"""The machine's own screen and keyboard."""

SERVICES = 0
"""The session of services, which has no screen."""

_HINT = "start the service 'Remote Desktop Services' (TermService)"


class Seen(NamedTuple):
    """A session that was looked at.

    Attributes:
        session: The session; not locked where that is not told.
        tells_locked: Whether Windows tells its lock.
    """

    session: Session
    tells_locked: bool


def find() -> tuple[Session, ...]:
    """Return the sessions of people.

    Raises:
        Unavailable: Windows does not tell.
    """
    return tuple(seen.session for seen in look())


def look() -> list[Seen]:
    """Look at the sessions of people.

    A disconnected session (another user was switched to, a remote connection ended) is at the
    machine, in the background: a log-in there goes on with it.

    Raises:
        Unavailable: Windows does not tell.
    """
    try:
        listed = wts.sessions()
    except OSError as error:
        raise Unavailable(f"Windows does not tell its sessions: {error}", _HINT) from error
    if not listed:
        # That of the services is always there; Wine 8 lists none.
        raise Unavailable("Windows lists no sessions", _HINT)
    found: list[Seen] = []
    for one in listed:
        if one.id == SERVICES or one.state not in {wts.ACTIVE, wts.DISCONNECTED}:
            continue
        # One may end while it is looked at.
        with suppress(OSError):
            found.append(_look_at(one))
    # A log-in screen has a session without a user.
    return [seen for seen in found if seen.session.person]


def of_process(pid: int) -> Session | None:
    """Return the session of a person that a process runs in; `None` where it is of none."""
    try:
        number = wts.session_of_process(pid)
        session = _look_at(wts.ListedSession(number, _state(number))).session
    except OSError:
        return None
    return session if session.person and number != SERVICES else None


def _state(session: int) -> int:
    try:
        return int.from_bytes(wts.query(session, wts.CONNECT_STATE)[:4], "little")
    except OSError:
        # Wine does not tell; a process that runs in it says that it is there.
        return wts.ACTIVE


def _look_at(listed: wts.ListedSession) -> Seen:
    user = wts.text(listed.id, wts.USER_NAME)
    protocol = int.from_bytes(wts.query(listed.id, wts.CLIENT_PROTOCOL)[:2], "little")
    remote = listed.state == wts.ACTIVE and protocol != wts.CONSOLE_PROTOCOL
    locked = None
    # Wine, for one, does not tell.
    with suppress(OSError):
        locked = wts.locked_in(wts.query(listed.id, wts.SESSION_INFO_EX))
    session = Session(
        id=str(listed.id),
        uid=-1,
        user=user,
        type=TYPE,
        person=bool(user),
        seat="" if remote else _SEAT,
        remote=remote,
        active=listed.state == wts.ACTIVE,
        locked=bool(locked),
        closing=False,
    )
    return Seen(session, locked is not None)
