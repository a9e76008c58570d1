"""Requests that Windows leaves the machine, or its screen, on.

They end with the process that made them, and `powercfg /requests` lists them with their reason.
Source: Microsoft's reference of winbase.h (`PowerCreateRequest`, `PowerSetRequest`) and of
minwinbase.h (`REASON_CONTEXT`).
"""

from __future__ import annotations

from ctypes import POINTER, Structure, byref, c_int, c_uint32, c_void_p, c_wchar_p

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

# POWER_REQUEST_TYPE
DISPLAY, SYSTEM = 0, 1

_SIMPLE_REASON = 1
_INVALID = c_void_p(-1).value


class _Reason(Structure):
    """REASON_CONTEXT with a text; its longer form has two addresses more."""

    _fields_ = (
        ("version", c_uint32),
        ("flags", c_uint32),
        ("text", c_wchar_p),
        ("unused", c_void_p * 2),
    )


_Create = Function("kernel32", "PowerCreateRequest", c_void_p, POINTER(_Reason))
_Set = Function("kernel32", "PowerSetRequest", c_int, c_void_p, c_int)
_Clear = Function("kernel32", "PowerClearRequest", c_int, c_void_p, c_int)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)


def create(reason: str) -> int:
    """Make a request that asks for nothing yet.

    Args:
        reason: Why, for people.

    Raises:
        OSError: Windows takes none.
    """
    made = _Create(byref(_Reason(0, _SIMPLE_REASON, reason)))
    if made is None or made == _INVALID:
        raise dll.error(dll.system.last_error(), "PowerCreateRequest")
    found: int = made
    return found


def ask(request: int, what: int) -> None:
    """Ask for something from now on.

    Raises:
        OSError: It was refused.
    """
    _Set.check(request, what)


def ask_no_more(request: int, what: int) -> None:
    """Ask for it no more.

    Raises:
        OSError: It was refused.
    """
    _Clear.check(request, what)


def close(request: int) -> None:
    """Ask for nothing any more."""
    _CloseHandle(request)
