"""What the account of this process may do, by the privileges of its token.

Sources: Microsoft's reference of securitybaseapi.h (`AdjustTokenPrivileges`,
`CheckTokenMembership`, `CreateWellKnownSid`), winbase.h (`LookupPrivilegeValueW`) and
processthreadsapi.h (`OpenProcessToken`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_ubyte,
    c_uint32,
    c_void_p,
    c_wchar_p,
)

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

SHUTDOWN = "SeShutdownPrivilege"

_TOKEN_QUERY = 0x8
_TOKEN_ADJUST_PRIVILEGES = 0x20
_PRIVILEGE_ENABLED = 0x2
_NOT_ALL_ASSIGNED = 1300
_BUILTIN_ADMINISTRATORS = 26
# SECURITY_MAX_SID_SIZE
_LONGEST_SID = 68


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


_GetCurrentProcess = Function("kernel32", "GetCurrentProcess", c_void_p)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)
_OpenProcessToken = Function(
    "advapi32", "OpenProcessToken", c_int, c_void_p, c_uint32, POINTER(c_void_p)
)
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
_CreateWellKnownSid = Function(
    "advapi32", "CreateWellKnownSid", c_int, c_int, c_void_p, c_void_p, POINTER(c_uint32)
)
_CheckTokenMembership = Function(
    "advapi32", "CheckTokenMembership", c_int, c_void_p, c_void_p, POINTER(c_int)
)


def enable(name: str) -> bool:
    """Enable a privilege of this process; return whether its account has it.

    Raises:
        OSError: Windows does not know it, or its token cannot be opened.
    """
    token, luid = c_void_p(), _Luid()
    _OpenProcessToken.check(
        _GetCurrentProcess(), _TOKEN_QUERY | _TOKEN_ADJUST_PRIVILEGES, byref(token)
    )
    try:
        _LookupPrivilegeValue.check(None, name, byref(luid))
        wanted = _TokenPrivilege(1, luid.low, luid.high, _PRIVILEGE_ENABLED)
        _AdjustTokenPrivileges.check(token, False, byref(wanted), 0, None, None)
        # It succeeds also where it did nothing.
        return dll.system.last_error() != _NOT_ALL_ASSIGNED
    finally:
        _CloseHandle(token)


def is_administrator() -> bool:
    """Tell whether this process acts as an administrator, or as the system itself.

    Raises:
        OSError: It cannot be told.
    """
    sid, size, member = (c_ubyte * _LONGEST_SID)(), c_uint32(_LONGEST_SID), c_int()
    _CreateWellKnownSid.check(_BUILTIN_ADMINISTRATORS, None, byref(sid), byref(size))
    _CheckTokenMembership.check(None, byref(sid), byref(member))
    return bool(member.value)
