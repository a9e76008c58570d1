"""Accounts of Windows by their SID, and which of them this process acts as.

Names of accounts and groups are translated on every Windows, SIDs are not. Sources: Microsoft's
reference of securitybaseapi.h (`CheckTokenMembership`, `GetTokenInformation`), sddl.h
(`ConvertStringSidToSidW`), and "Well-known SIDs".
"""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
from ctypes import POINTER, byref, c_int, c_uint32, c_void_p, c_wchar_p
import hashlib
from typing import TYPE_CHECKING

from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = "S-1-5-18"
ADMINISTRATORS = "S-1-5-32-544"
USERS = "S-1-5-32-545"
LOCAL_SERVICE = "S-1-5-19"

_TOKEN_QUERY = 0x8
_TOKEN_USER = 1


LocalFree = Function("kernel32", "LocalFree", c_void_p, c_void_p)
CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)
GetCurrentProcess = Function("kernel32", "GetCurrentProcess", c_void_p)
OpenProcessToken = Function(
    "advapi32", "OpenProcessToken", c_int, c_void_p, c_uint32, POINTER(c_void_p)
)
ConvertStringSidToSid = Function(
    "advapi32", "ConvertStringSidToSidW", c_int, c_wchar_p, POINTER(c_void_p)
)
ConvertSidToStringSid = Function(
    "advapi32", "ConvertSidToStringSidW", c_int, c_void_p, POINTER(c_void_p)
)
GetTokenInformation = Function(
    "advapi32", "GetTokenInformation", c_int,
    c_void_p, c_int, c_void_p, c_uint32, POINTER(c_uint32),
)  # fmt: skip
CheckTokenMembership = Function(
    "advapi32", "CheckTokenMembership", c_int, c_void_p, c_void_p, POINTER(c_int)
)


def service_sid(name: str) -> str:
    """Return the SID of a service, which follows from its name ([MS-DTYP] 2.4.2.4, 80)."""
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    parts = (int.from_bytes(digest[at : at + 4], "little") for at in range(0, 20, 4))
    return "-".join(("S-1-5-80", *map(str, parts)))


def has_sid(sid: str) -> bool:
    """Tell whether this process acts with a SID; false for one that is only there to deny.

    Raises:
        OSError: That cannot be found out.
    """
    found, member = c_void_p(), c_int()
    ConvertStringSidToSid.check(sid, byref(found))
    try:
        CheckTokenMembership.check(None, found, byref(member))
        return bool(member.value)
    finally:
        LocalFree(found)


def current_user() -> str:
    """Return the SID of the user that this process runs as.

    Raises:
        OSError: The token cannot be read.
    """
    with _own_token(_TOKEN_QUERY) as token:
        # TOKEN_USER begins with a pointer to the SID, which follows; a SID has at most 68 bytes.
        user, size = ctypes.create_string_buffer(128), c_uint32()
        GetTokenInformation.check(token, _TOKEN_USER, user, len(user), byref(size))
        text = c_void_p()
        ConvertSidToStringSid.check(c_void_p.from_buffer(user), byref(text))
        try:
            return ctypes.wstring_at(text.value) if text.value else ""
        finally:
            LocalFree(text)


@contextmanager
def _own_token(access: int) -> Iterator[c_void_p]:
    token = c_void_p()
    OpenProcessToken.check(GetCurrentProcess(), access, byref(token))
    try:
        yield token
    finally:
        CloseHandle(token)
