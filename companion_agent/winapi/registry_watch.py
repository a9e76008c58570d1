"""The registry, read by its own calls, and that something below a key has changed.

Source: Microsoft's reference of winreg.h (`RegOpenKeyExW`, `RegEnumKeyExW`, `RegGetValueW`,
`RegNotifyChangeKeyValue`) and synchapi.h (`CreateEventW`, `WaitForMultipleObjects`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    byref,
    c_int,
    c_long,
    c_uint32,
    c_uint64,
    c_void_p,
    c_wchar_p,
    create_unicode_buffer,
    sizeof,
)

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

_CURRENT_USER = 0xFFFF_FFFF_8000_0001
# KEY_READ, which has KEY_NOTIFY.
_READ = 0x20019
_NO_MORE_ITEMS = 259
# RRF_RT_REG_QWORD
_NUMBER_OF_64_BITS = 0x40
# Keys that come and go, and values that are set; told whichever thread has asked.
_NAMES, _VALUES, _OF_ANY_THREAD = 0x1, 0x4, 0x1000_0000
_LONGEST_NAME = 256
_FOREVER = 0xFFFF_FFFF

_OpenKey = Function(
    "advapi32",
    "RegOpenKeyExW",
    c_long,
    *(c_void_p, c_wchar_p, c_uint32, c_uint32, POINTER(c_void_p)),
)
_EnumKey = Function(
    "advapi32",
    "RegEnumKeyExW",
    c_long,
    *(c_void_p, c_uint32, c_wchar_p, POINTER(c_uint32), c_void_p, c_void_p, c_void_p, c_void_p),
)
_GetValue = Function(
    "advapi32",
    "RegGetValueW",
    c_long,
    *(c_void_p, c_wchar_p, c_wchar_p, c_uint32, c_void_p, POINTER(c_uint64), POINTER(c_uint32)),
)
_Notify = Function(
    "advapi32",
    "RegNotifyChangeKeyValue",
    c_long,
    *(c_void_p, c_int, c_uint32, c_void_p, c_int),
)
_CloseKey = Function("advapi32", "RegCloseKey", c_long, c_void_p)
_CreateEvent = Function("kernel32", "CreateEventW", c_void_p, c_void_p, c_int, c_int, c_wchar_p)
_SetEvent = Function("kernel32", "SetEvent", c_int, c_void_p)
_Wait = Function(
    "kernel32", "WaitForMultipleObjects", c_uint32, c_uint32, c_void_p, c_int, c_uint32
)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)


def open_key(path: str) -> int:
    """Open a key of this user's to be read.

    Raises:
        OSError: There is none.
    """
    key = c_void_p()
    _check(_OpenKey(_CURRENT_USER, path, 0, _READ, byref(key)), path)
    return key.value or 0


def subkeys(key: int) -> list[str]:
    """Return the names of a key's keys.

    Raises:
        OSError: They cannot be read.
    """
    found: list[str] = []
    while True:
        name, size = create_unicode_buffer(_LONGEST_NAME), c_uint32(_LONGEST_NAME)
        code = _EnumKey(key, len(found), name, byref(size), None, None, None, None)
        if code == _NO_MORE_ITEMS:
            return found
        _check(code, "RegEnumKeyExW")
        found.append(name.value)


def number(key: int, subkey: str, name: str) -> int | None:
    """Return a number of 64 bits; `None` where there is none of that name."""
    value, size = c_uint64(), c_uint32(sizeof(c_uint64))
    code = _GetValue(key, subkey, name, _NUMBER_OF_64_BITS, None, byref(value), byref(size))
    return None if code else value.value


def close_key(key: int) -> None:
    """Close a key; who waits for its changes is told."""
    _CloseKey(key)


def new_event() -> int:
    """Make an event that resets itself.

    Raises:
        OSError: That did not work.
    """
    made: int = _CreateEvent.check(None, False, False, None)
    return made


def set_event(event: int) -> None:
    """Wake who waits for an event."""
    _SetEvent(event)


def close_event(event: int) -> None:
    """Close an event."""
    _CloseHandle(event)


def notify(key: int, event: int) -> None:
    """Have an event set once, when something below a key has changed.

    Raises:
        OSError: The key has gone.
    """
    _check(_Notify(key, True, _NAMES | _VALUES | _OF_ANY_THREAD, event, True), "the registry")


def wait(*events: int) -> int:
    """Wait, without an end, for one of some events; return which."""
    handles = (c_void_p * len(events))(*events)
    found: int = _Wait(len(events), byref(handles), False, _FOREVER)
    return found


def _check(code: int, what: str) -> None:
    if code:
        raise dll.error(code, what)
