"""Drives, by their letters.

Source: Microsoft's reference of fileapi.h (`GetLogicalDrives`, `GetDriveTypeW`,
`GetVolumeInformationW`, `QueryDosDeviceW`), winnetwk.h (`WNetGetConnectionW`) and errhandlingapi.h
(`SetThreadErrorMode`).
"""

from __future__ import annotations

from ctypes import POINTER, byref, c_int, c_uint32, c_void_p, c_wchar_p, create_unicode_buffer
import string

from companion_agent.winapi.dll import Function

# GetDriveTypeW
REMOVABLE = 2
FIXED = 3
REMOTE = 4
DISC = 5
MEMORY = 6

_FAIL_CRITICAL_ERRORS = 0x1
_LONGEST_NAME = 261
# What stands for a folder of another drive begins so, see `subst`.
_SUBSTITUTE = "\\??\\"

_GetLogicalDrives = Function("kernel32", "GetLogicalDrives", c_uint32)
_GetDriveType = Function("kernel32", "GetDriveTypeW", c_uint32, c_wchar_p)
_GetVolumeInformation = Function(
    "kernel32",
    "GetVolumeInformationW",
    c_int,
    *(c_wchar_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_void_p, c_uint32),
)
_QueryDosDevice = Function("kernel32", "QueryDosDeviceW", c_uint32, c_wchar_p, c_void_p, c_uint32)
_WNetGetConnection = Function(
    "mpr", "WNetGetConnectionW", c_uint32, c_wchar_p, c_void_p, POINTER(c_uint32)
)
_SetThreadErrorMode = Function("kernel32", "SetThreadErrorMode", c_int, c_uint32, c_void_p)


def drives() -> dict[str, int]:
    """Return the drives, "C:", and of which type each is; asks none of them.

    Raises:
        OSError: They cannot be listed.
    """
    letters = _GetLogicalDrives.check()
    names = [f"{letter}:" for at, letter in enumerate(string.ascii_uppercase) if letters >> at & 1]
    return {name: int(_GetDriveType(f"{name}\\")) for name in names}


def label(name: str) -> str | None:
    """Return what a drive is called, which may be nothing; may take as long as its device does.

    `None` where nothing can be read of it: it is empty, or locked.
    """
    # Else Windows asks the user to put something in.
    _SetThreadErrorMode(_FAIL_CRITICAL_ERRORS, None)
    text = create_unicode_buffer(_LONGEST_NAME)
    nothing = (None, None, None, None, 0)
    return text.value if _GetVolumeInformation(f"{name}\\", text, len(text), *nothing) else None


def share(name: str) -> str:
    """Return the share that a network drive is, by its UNC name; no server is asked.

    Empty where it is of another logon session, or of none.
    """
    text, size = create_unicode_buffer(_LONGEST_NAME), c_uint32(_LONGEST_NAME)
    failed = _WNetGetConnection(name, text, byref(size))
    return "" if failed else text.value


def is_substitute(name: str) -> bool:
    """Tell whether a drive is a folder of another one."""
    device = create_unicode_buffer(_LONGEST_NAME)
    _QueryDosDevice(name, byref(device), len(device))
    return device.value.startswith(_SUBSTITUTE)
