"""Windows' service manager: all services, and how they are.

Source: Microsoft's reference of winsvc.h (EnumServicesStatusExW, ENUM_SERVICE_STATUS_PROCESSW).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int, c_uint32, c_void_p, c_wchar_p
from typing import NamedTuple

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function
from companion_agent.winapi.services import SC_MANAGER_CONNECT, StatusProcess, manager

_SC_MANAGER_ENUMERATE_SERVICE = 0x4
_SERVICE_WIN32 = 0x30
_SERVICE_STATE_ALL = 3
_ERROR_MORE_DATA = 234
# The most that the function takes: a PC has some hundred services, 56 bytes each and two names.
_BUFFER = 256 * 1024

NEVER_STARTED = 1077
"""The exit code of what was not started since the system was (ERROR_SERVICE_NEVER_STARTED)."""


class EnumServiceStatusProcess(ctypes.Structure):
    """ENUM_SERVICE_STATUS_PROCESSW."""

    _fields_ = (("name", c_wchar_p), ("display_name", c_wchar_p), ("status", StatusProcess))


EnumServicesStatusEx = Function(
    "advapi32", "EnumServicesStatusExW", c_int,
    c_void_p, c_int, c_uint32, c_uint32, c_void_p, c_uint32,
    POINTER(c_uint32), POINTER(c_uint32), POINTER(c_uint32), c_wchar_p,
)  # fmt: skip


class ListedService(NamedTuple):
    """A service.

    Attributes:
        name: Its name, which is not the one that is displayed.
        state: `STOPPED`, `RUNNING` and others.
        exit_code: How it ended last; 0 for well.
    """

    name: str
    state: int
    exit_code: int


def listed() -> list[ListedService]:
    """List all services that are no drivers.

    Raises:
        OSError: The service manager does not tell.
    """
    found: list[ListedService] = []
    buffer = ctypes.create_string_buffer(_BUFFER)
    needed, count, resume = c_uint32(), c_uint32(), c_uint32()
    with manager(SC_MANAGER_CONNECT | _SC_MANAGER_ENUMERATE_SERVICE) as opened:
        while True:
            done = EnumServicesStatusEx(
                opened, 0, _SERVICE_WIN32, _SERVICE_STATE_ALL, buffer, _BUFFER,
                byref(needed), byref(count), byref(resume), None,
            )  # fmt: skip
            code = 0 if done else dll.system.last_error()
            if code not in {0, _ERROR_MORE_DATA}:
                raise dll.error(code, "EnumServicesStatusExW")
            entries = (EnumServiceStatusProcess * count.value).from_buffer(buffer)
            found += (
                ListedService(one.name or "", one.status.state, one.status.exit_code)
                for one in entries
            )
            if not code:
                return found
