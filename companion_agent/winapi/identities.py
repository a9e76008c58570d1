"""Whose a pipe's client is, or an object of the system, and what an account is called.

Sources: Microsoft's reference of namedpipeapi.h (`ImpersonateNamedPipeClient`), aclapi.h
(`GetSecurityInfo`), processthreadsapi.h (`OpenThreadToken`) and winbase.h (`LookupAccountSidW`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    byref,
    c_int,
    c_ubyte,
    c_uint32,
    c_void_p,
    c_wchar_p,
    create_unicode_buffer,
    wstring_at,
)
import os
from typing import NamedTuple

from companion_agent.winapi import accounts, dll
from companion_agent.winapi.dll import Function

_TOKEN_QUERY = 0x8
_TOKEN_USER = 1
_KERNEL_OBJECT = 6
_OWNER = 0x1
# SECURITY_MAX_SID_SIZE, and TOKEN_USER before it.
_TOKEN_USER_SIZE = 68 + 16
# DNLEN and UNLEN are 15 and 256.
_NAME_SIZE = 257

_GetCurrentThread = Function("kernel32", "GetCurrentThread", c_void_p)
_OpenThreadToken = Function(
    "advapi32", "OpenThreadToken", c_int, c_void_p, c_uint32, c_int, POINTER(c_void_p)
)
_Impersonate = Function("advapi32", "ImpersonateNamedPipeClient", c_int, c_void_p)
_RevertToSelf = Function("advapi32", "RevertToSelf", c_int)
_GetSecurityInfo = Function(
    "advapi32",
    "GetSecurityInfo",
    c_uint32,
    *(c_void_p, c_int, c_uint32, POINTER(c_void_p), c_void_p, c_void_p, c_void_p),
    POINTER(c_void_p),
)
_LookupAccountSid = Function(
    "advapi32",
    "LookupAccountSidW",
    c_int,
    *(c_wchar_p, c_void_p, c_wchar_p, POINTER(c_uint32), c_wchar_p, POINTER(c_uint32)),
    POINTER(c_int),
)


class Account(NamedTuple):
    """An account's names."""

    domain: str
    user: str


def of_client(pipe: int) -> str:
    """Return the SID of the account that has connected to a pipe.

    The thread takes the client's place for that moment, as far as the client allows.

    Raises:
        OSError: The client does not let itself be identified, or has gone.
    """
    _Impersonate.check(pipe)
    token = c_void_p()
    try:
        # Opened as the process itself: the client's account may not look at its own token here.
        _OpenThreadToken.check(_GetCurrentThread(), _TOKEN_QUERY, True, byref(token))
    finally:
        if not _RevertToSelf():
            # Going on with the rights of another account is the one thing that must not happen.
            os.abort()
    return _user_of(token)


def owner_of(handle: int) -> str:
    """Return the SID of the account that owns an object of the kernel.

    Raises:
        OSError: It cannot be told.
    """
    owner, descriptor = c_void_p(), c_void_p()
    code = _GetSecurityInfo(
        handle, _KERNEL_OBJECT, _OWNER, byref(owner), None, None, None, byref(descriptor)
    )
    if code:
        raise dll.error(code, "GetSecurityInfo")
    try:
        return _text(owner)
    finally:
        accounts.LocalFree(descriptor)


def names(sid: str) -> Account:
    """Return the names of an account.

    Raises:
        OSError: There is no such account, or its domain cannot be asked.
    """
    found = c_void_p()
    accounts.ConvertStringSidToSid.check(sid, byref(found))
    user, domain = create_unicode_buffer(_NAME_SIZE), create_unicode_buffer(_NAME_SIZE)
    user_size, domain_size, use = c_uint32(_NAME_SIZE), c_uint32(_NAME_SIZE), c_int()
    try:
        _LookupAccountSid.check(
            None, found, user, byref(user_size), domain, byref(domain_size), byref(use)
        )
    finally:
        accounts.LocalFree(found)
    return Account(domain.value, user.value)


def _user_of(token: c_void_p) -> str:
    """Read the user from a token, and close it."""
    buffer, size = (c_ubyte * _TOKEN_USER_SIZE)(), c_uint32()
    try:
        accounts.GetTokenInformation.check(
            token, _TOKEN_USER, byref(buffer), _TOKEN_USER_SIZE, byref(size)
        )
    finally:
        accounts.CloseHandle(token)
    # TOKEN_USER begins with the address of the SID.
    return _text(c_void_p.from_buffer(buffer))


def _text(sid: c_void_p) -> str:
    text = c_void_p()
    accounts.ConvertSidToStringSid.check(sid, byref(text))
    try:
        return wstring_at(text.value) if text.value else ""
    finally:
        accounts.LocalFree(text)
