"""What the account of this process may do, by the privileges of its token.

Sources: Microsoft's reference of securitybaseapi.h (`AdjustTokenPrivileges`) and winbase.h
(`LookupPrivilegeValueW`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_uint32,
    c_void_p,
    c_wchar_p,
)

from companion_agent.winapi import accounts, dll
from companion_agent.winapi.dll import Function

SHUTDOWN = "SeShutdownPrivilege"

_TOKEN_QUERY = 0x8
_TOKEN_ADJUST_PRIVILEGES = 0x20
_PRIVILEGE_ENABLED = 0x2
_NOT_ALL_ASSIGNED = 1300


class _TokenPrivilege(Structure):
    """TOKEN_PRIVILEGES with one privilege."""

    _fields_ = (
        ("count", c_uint32),
        ("luid_low", c_uint32),
        ("luid_high", c_int32),
        ("attributes", c_uint32),
    )


class _Luid(Structure):
    """LUID."""

    _fields_ = (("low", c_uint32), ("high", c_int32))


_LookupPrivilegeValue = Function(
    "advapi32", "LookupPrivilegeValueW", c_int, c_wchar_p, c_wchar_p, POINTER(_Luid)
)
_AdjustTokenPrivileges = Function(
    "advapi32",
    "AdjustTokenPrivileges",
    c_int,
    c_void_p,
    c_int,
    POINTER(_TokenPrivilege),
    c_uint32,
    c_void_p,
    c_void_p,
)


def enable(name: str) -> bool:
    """Enable a privilege of this process; return whether its account has it.

    Raises:
        OSError: Windows does not know it, or its token cannot be opened.
    """
    token, luid = c_void_p(), _Luid()
    accounts.OpenProcessToken.check(
        accounts.GetCurrentProcess(), _TOKEN_QUERY | _TOKEN_ADJUST_PRIVILEGES, byref(token)
    )
    try:
        _LookupPrivilegeValue.check(None, name, byref(luid))
        wanted = _TokenPrivilege(1, luid.low, luid.high, _PRIVILEGE_ENABLED)
        _AdjustTokenPrivileges.check(token, False, byref(wanted), 0, None, None)
        # It succeeds also where it did nothing.
        return dll.system.last_error() != _NOT_ALL_ASSIGNED
    finally:
        accounts.CloseHandle(token)


def is_administrator() -> bool:
    """Tell whether this process acts as an administrator, or as the system itself.

    Raises:
        OSError: It cannot be told.
    """
    return accounts.has_sid(accounts.ADMINISTRATORS)
