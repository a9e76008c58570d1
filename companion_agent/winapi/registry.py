"""What this account keeps in the registry, for good or until the next start of Windows.

Python's `winreg` makes lasting keys only. Source: Microsoft's reference of winreg.h
(`RegCreateKeyExW`, `REG_OPTION_VOLATILE`; `RegDeleteTreeW`).
"""

from __future__ import annotations

from contextlib import contextmanager
from ctypes import (
    POINTER,
    byref,
    c_int32,
    c_uint32,
    c_void_p,
    c_wchar_p,
    create_string_buffer,
    create_unicode_buffer,
)
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

# HKEY_CURRENT_USER and HKEY_USERS, extended by their sign.
_CURRENT_USER = c_void_p(-0x7FFF_FFFF)
_USERS = c_void_p(-0x7FFF_FFFD)
_VOLATILE = 0x1
_READ_AND_WRITE = 0x20019 | 0x20006
_TEXT = 1
_NOT_FOUND = 2
_NO_MORE_ITEMS = 259
# Of a key's name, in characters.
_LONGEST_NAME = 256
# More than what is kept here, in bytes.
_LONGEST = 64 * 1024

_RegCreateKeyEx = Function(
    "advapi32",
    "RegCreateKeyExW",
    c_int32,
    *(c_void_p, c_wchar_p, c_uint32, c_wchar_p, c_uint32, c_uint32, c_void_p),
    *(POINTER(c_void_p), POINTER(c_uint32)),
)
_RegSetValueEx = Function(
    "advapi32",
    "RegSetValueExW",
    c_int32,
    *(c_void_p, c_wchar_p, c_uint32, c_uint32, c_void_p, c_uint32),
)
_RegQueryValueEx = Function(
    "advapi32",
    "RegQueryValueExW",
    c_int32,
    *(c_void_p, c_wchar_p, c_void_p, POINTER(c_uint32), c_void_p, POINTER(c_uint32)),
)
_RegDeleteValue = Function("advapi32", "RegDeleteValueW", c_int32, c_void_p, c_wchar_p)
_RegDeleteTree = Function("advapi32", "RegDeleteTreeW", c_int32, c_void_p, c_wchar_p)
_RegEnumKeyEx = Function(
    "advapi32",
    "RegEnumKeyExW",
    c_int32,
    *(c_void_p, c_uint32, c_wchar_p, POINTER(c_uint32)),
    *(c_void_p, c_void_p, c_void_p, c_void_p),
)
_RegCloseKey = Function("advapi32", "RegCloseKey", c_int32, c_void_p)


AGENT = r"Software\pilot-agent"
"""The key of all that the agent keeps, below `HKEY_CURRENT_USER`."""
PROGRAM = "Pilot.Agent"
"""The AppUserModelID of the agent, from which notifications come."""
REGISTERED = rf"Software\Classes\AppUserModelId\{PROGRAM}"
"""The key that says what that program is called, below `HKEY_CURRENT_USER`."""


class RegistryTexts:
    """Texts in a key of the registry.

    Args:
        path: The key, below `HKEY_CURRENT_USER`.
        lasting: Whether they outlast the system; else the key, which holds nothing else, is gone
            with it.
    """

    def __init__(self, path: str, *, lasting: bool) -> None:
        self._path = path
        self._options = 0 if lasting else _VOLATILE

    def read(self, name: str) -> str:
        """Return a text; empty where there is none.

        Raises:
            OSError: The registry cannot be read.
        """
        with self._opened() as key:
            kind, size = c_uint32(), c_uint32(_LONGEST)
            value = create_string_buffer(_LONGEST)
            code = _RegQueryValueEx(key, name, None, byref(kind), byref(value), byref(size))
            if code == _NOT_FOUND:
                return ""
            _check(code, "RegQueryValueExW")
            return value.raw[: size.value].decode("utf-16-le", "replace").partition("\0")[0]

    def write(self, name: str, text: str) -> None:
        """Keep a text; an empty one is taken away.

        Raises:
            OSError: The registry cannot be written.
        """
        with self._opened() as key:
            if text:
                value = create_string_buffer(f"{text}\0".encode("utf-16-le"))
                size = len(value) - 1
                code = _RegSetValueEx(key, name, 0, _TEXT, byref(value), size)
                _check(code, "RegSetValueExW")
            else:
                code = _RegDeleteValue(key, name)
                if code != _NOT_FOUND:
                    _check(code, "RegDeleteValueW")

    @contextmanager
    def _opened(self) -> Iterator[c_void_p]:
        if self._options:
            # Else it would be volatile as well, and nothing below it could last.
            _RegCloseKey(_create(self._path.rpartition("\\")[0], 0))
        key = _create(self._path, self._options)
        try:
            yield key
        finally:
            _RegCloseKey(key)


def _create(path: str, options: int) -> c_void_p:
    """Open a key; where there is none, make it, and those above it that are missing."""
    key = c_void_p()
    code = _RegCreateKeyEx(
        _CURRENT_USER, path, 0, None, options, _READ_AND_WRITE, None, byref(key), None
    )
    _check(code, "RegCreateKeyExW")
    return key


def remove(*paths: str) -> None:
    """Remove keys of this account and all below them.

    Args:
        paths: The keys, below `HKEY_CURRENT_USER`.

    Raises:
        OSError: One cannot be removed.
    """
    for path in paths:
        _remove_tree(_CURRENT_USER, path)


def remove_of_all_users(path: str) -> None:
    """Remove a key and all below it, of each account whose registry is loaded.

    That of a user who is not logged in is a file of its own, which stays as it is.

    Args:
        path: The key, below `HKEY_CURRENT_USER`.

    Raises:
        OSError: One cannot be removed: administrators alone may.
    """
    for account in _accounts():
        _remove_tree(_USERS, rf"{account}\{path}")


def _remove_tree(root: c_void_p, path: str) -> None:
    code = _RegDeleteTree(root, path)
    if code != _NOT_FOUND:
        _check(code, "RegDeleteTreeW")


def _accounts() -> list[str]:
    """Return the names of the keys below `HKEY_USERS`: the SIDs of accounts."""
    found: list[str] = []
    while True:
        name, size = create_unicode_buffer(_LONGEST_NAME), c_uint32(_LONGEST_NAME)
        code = _RegEnumKeyEx(_USERS, len(found), name, byref(size), None, None, None, None)
        if code == _NO_MORE_ITEMS:
            return found
        _check(code, "RegEnumKeyExW")
        found.append(name.value)


def of_this_boot() -> RegistryTexts:
    """Return what the next start of the agent is to know, and not the next of Windows."""
    return RegistryTexts(rf"{AGENT}\boot", lasting=False)


def _check(code: int, what: str) -> None:
    if code:
        raise dll.error(code, what)
