"""Folders that Windows knows by an id, whatever the environment says.

Sources: Microsoft's reference of shlobj_core.h (`SHGetKnownFolderPath`), of `KNOWNFOLDERID`, and of
userenv.h (`GetProfilesDirectoryW`).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int32, c_uint32, c_void_p
from pathlib import Path
from uuid import UUID

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

PROGRAM_DATA = UUID("62AB5D82-FDC1-4DC3-A9DD-070D1D495D97")
LOCAL_APP_DATA = UUID("F1B32785-6FBA-4FCF-9D55-7B8E7F157091")

SHGetKnownFolderPath = Function(
    "shell32", "SHGetKnownFolderPath", c_int32, c_void_p, c_uint32, c_void_p, POINTER(c_void_p)
)
CoTaskMemFree = Function("ole32", "CoTaskMemFree", None, c_void_p)
GetProfilesDirectory = Function(
    "userenv", "GetProfilesDirectoryW", c_int32, c_void_p, POINTER(c_uint32)
)

_LONGEST_PATH = 32_768


def known(folder: UUID) -> Path:
    """Return where a folder is, for the user that this process runs as.

    Raises:
        OSError: Windows does not tell; `winerror` has the HRESULT.
    """
    found = c_void_p()
    wanted = ctypes.create_string_buffer(folder.bytes_le, 16)
    result = SHGetKnownFolderPath(wanted, 0, None, byref(found))
    try:
        if result or not found.value:
            raise dll.error(result, "SHGetKnownFolderPath")
        return Path(ctypes.wstring_at(found.value))
    finally:
        CoTaskMemFree(found)


def profiles() -> Path:
    """Return the folder of all users' folders.

    Raises:
        OSError: Windows does not tell.
    """
    text, size = ctypes.create_unicode_buffer(_LONGEST_PATH), c_uint32(_LONGEST_PATH)
    GetProfilesDirectory.check(text, byref(size))
    return Path(text.value)
