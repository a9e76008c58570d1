"""Sessions of Remote Desktop Services, which every Windows has: the one at its screen too.

Sources: Microsoft's reference of wtsapi32.h (`WTSEnumerateSessionsW`,
`WTSQuerySessionInformationW`, `WTSINFOEXW`, `WTSLogoffSession`) and of processthreadsapi.h
(`ProcessIdToSessionId`).
"""

from __future__ import annotations

from ctypes import POINTER, Structure, byref, c_int, c_int32, c_uint32, c_void_p, string_at
from typing import NamedTuple

from companion_agent.winapi.dll import Function

# WTS_CONNECTSTATE_CLASS
ACTIVE = 0
CONNECTED = 1
DISCONNECTED = 4

# WTS_INFO_CLASS
USER_NAME = 5
DOMAIN_NAME = 7
CONNECT_STATE = 8
CLIENT_PROTOCOL = 16
SESSION_INFO_EX = 25

CONSOLE_PROTOCOL = 0
"""`WTSClientProtocolType` of the session at the machine's own screen; of a disconnected one too."""

# What `WM_WTSSESSION_CHANGE` and `SERVICE_CONTROL_SESSIONCHANGE` say.
CONSOLE_CONNECT = 1
CONSOLE_DISCONNECT = 2
REMOTE_CONNECT = 3
REMOTE_DISCONNECT = 4
SESSION_LOGON = 5
SESSION_LOGOFF = 6
SESSION_LOCK = 7
SESSION_UNLOCK = 8

NOTIFY_FOR_ALL_SESSIONS = 1
NOTIFY_FOR_THIS_SESSION = 0


class _SessionInfo(Structure):
    """WTS_SESSION_INFOW."""

    _fields_ = (("id", c_uint32), ("station", c_void_p), ("state", c_int))


_Enumerate = Function(
    "wtsapi32",
    "WTSEnumerateSessionsW",
    c_int,
    c_void_p,
    c_uint32,
    c_uint32,
    POINTER(POINTER(_SessionInfo)),
    POINTER(c_uint32),
)
_Query = Function(
    "wtsapi32",
    "WTSQuerySessionInformationW",
    c_int,
    c_void_p,
    c_uint32,
    c_int,
    POINTER(c_void_p),
    POINTER(c_uint32),
)
_Free = Function("wtsapi32", "WTSFreeMemory", None, c_void_p)
_Logoff = Function("wtsapi32", "WTSLogoffSession", c_int, c_void_p, c_uint32, c_int)
WTSRegisterSessionNotification = Function(
    "wtsapi32", "WTSRegisterSessionNotification", c_int, c_void_p, c_uint32
)
WTSUnRegisterSessionNotification = Function(
    "wtsapi32", "WTSUnRegisterSessionNotification", c_int, c_void_p
)
_ProcessIdToSessionId = Function(
    "kernel32", "ProcessIdToSessionId", c_int, c_uint32, POINTER(c_uint32)
)

_THIS_SERVER = None


class ListedSession(NamedTuple):
    """A session of `sessions()`.

    Attributes:
        id: Its number.
        state: `ACTIVE`, `DISCONNECTED` or another `WTS_CONNECTSTATE_CLASS`.
    """

    id: int
    state: int


def sessions() -> list[ListedSession]:
    """List the sessions of this machine, those of services and log-in screens included.

    Raises:
        OSError: They cannot be listed.
    """
    found, count = POINTER(_SessionInfo)(), c_uint32()
    _Enumerate.check(_THIS_SERVER, 0, 1, byref(found), byref(count))
    try:
        return [ListedSession(found[at].id, found[at].state) for at in range(count.value)]
    finally:
        _Free(found)


def query(session: int, what: int) -> bytes:
    """Return what is known of a session, of one `WTS_INFO_CLASS`.

    Raises:
        OSError: The session has ended, or this is not told.
    """
    found, size = c_void_p(), c_uint32()
    _Query.check(_THIS_SERVER, session, what, byref(found), byref(size))
    try:
        return string_at(found.value, size.value) if found.value else b""
    finally:
        _Free(found)


def text(session: int, what: int) -> str:
    """Return a text of a session.

    Raises:
        OSError: The session has ended, or this is not told.
    """
    return query(session, what).decode("utf-16-le", "replace").partition("\0")[0]


def locked_in(info: bytes) -> bool | None:
    """Read from a `WTSINFOEXW` whether the session is locked; `None` where it does not say.

    Windows 7 and Server 2008 R2 say the opposite; Python 3.11 does not run there.
    """
    # Level, four bytes of padding, then session, state and flags of level 1.
    if len(info) < 20 or int.from_bytes(info[:4], "little") != 1:
        return None
    flags = int.from_bytes(info[16:20], "little")
    return {0: True, 1: False}.get(flags)


def session_of_process(pid: int) -> int:
    """Return the session that a process runs in.

    Raises:
        OSError: There is no such process, or it may not be looked at.
    """
    session = c_uint32()
    _ProcessIdToSessionId.check(pid, byref(session))
    return session.value


def log_off(session: int) -> None:
    """End a session; return when Windows has accepted it.

    Raises:
        OSError: It was refused, or there is no such session.
    """
    _Logoff.check(_THIS_SERVER, session, False)


def session_in(notification: bytes) -> int:
    """Read the session's number from a `WTSSESSION_NOTIFICATION`; -1 where it has none."""
    return c_int32.from_buffer_copy(notification, 4).value if len(notification) >= 8 else -1
