"""advapi32: who may do what with a file, as SDDL, Windows' notation for owners and access rules.

Sources: Microsoft's reference of sddl.h (ConvertStringSecurityDescriptorToSecurityDescriptorW,
ConvertSecurityDescriptorToStringSecurityDescriptorW) and of winbase.h (SetFileSecurityW,
GetFileSecurityW, LocalFree).
"""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
from ctypes import POINTER, byref, c_int32, c_uint32, c_void_p, c_wchar_p
import re
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = 0x1
DACL = 0x4
PROTECTED_DACL = 0x80000000

_REVISION = 1
_INSUFFICIENT_BUFFER = 122

_LocalFree = Function("kernel32", "LocalFree", c_void_p, c_void_p)
_DescriptorOfText = Function(
    "advapi32",
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    c_int32,
    *(c_wchar_p, c_uint32, POINTER(c_void_p), POINTER(c_uint32)),
)
_TextOfDescriptor = Function(
    "advapi32",
    "ConvertSecurityDescriptorToStringSecurityDescriptorW",
    c_int32,
    *(c_void_p, c_uint32, c_uint32, POINTER(c_void_p), POINTER(c_uint32)),
)
_SetFileSecurity = Function("advapi32", "SetFileSecurityW", c_int32, c_wchar_p, c_uint32, c_void_p)
_GetFileSecurity = Function(
    "advapi32",
    "GetFileSecurityW",
    c_int32,
    *(c_wchar_p, c_uint32, c_void_p, c_uint32, POINTER(c_uint32)),
)


@contextmanager
def descriptor(sddl: str) -> Iterator[c_void_p]:
    """Make a security descriptor of SDDL text, which is freed at the end of the block.

    Raises:
        OSError: The text is no SDDL.
    """
    made = c_void_p()
    _DescriptorOfText.check(sddl, _REVISION, byref(made), None)
    try:
        yield made
    finally:
        _LocalFree(made)


def set_file_rules(path: str, sddl: str) -> None:
    """Replace the access rules of a file or folder; none come from the folder above any more.

    Raises:
        OSError: That did not work.
    """
    with descriptor(sddl) as rules:
        _SetFileSecurity.check(path, DACL | PROTECTED_DACL, rules)


def file_rules(path: str) -> str:
    """Return owner and access rules of a file or folder as SDDL.

    Raises:
        OSError: They cannot be read.
    """
    wanted = OWNER | DACL
    size = c_uint32()
    if not _GetFileSecurity(path, wanted, None, 0, byref(size)):
        code = dll.system.last_error()
        if code != _INSUFFICIENT_BUFFER:
            raise dll.error(code, path)
    found = ctypes.create_string_buffer(max(size.value, 1))
    _GetFileSecurity.check(path, wanted, found, size.value, byref(size))
    text = c_void_p()
    _TextOfDescriptor.check(found, _REVISION, wanted, byref(text), None)
    try:
        return ctypes.wstring_at(text.value) if text.value else ""
    finally:
        _LocalFree(text)


class SecurityAttributes(ctypes.Structure):
    """SECURITY_ATTRIBUTES (minwinbase.h)."""

    _fields_ = (("size", c_uint32), ("descriptor", c_void_p), ("inherit", c_int32))


_CreateDirectory = Function(
    "kernel32", "CreateDirectoryW", c_int32, c_wchar_p, POINTER(SecurityAttributes)
)


def make_folder(path: str, sddl: str) -> None:
    """Make a folder that has its owner and its access rules from the first moment on.

    Raises:
        OSError: It is there, or cannot be made.
    """
    with descriptor(sddl) as made:
        attributes = SecurityAttributes(ctypes.sizeof(SecurityAttributes), made, 0)
        _CreateDirectory.check(path, byref(attributes))


def set_file_owner_and_rules(path: str, sddl: str) -> None:
    """Replace owner and access rules of a file or folder.

    Raises:
        OSError: That did not work.
    """
    with descriptor(sddl) as made:
        _SetFileSecurity.check(path, OWNER, made)
        _SetFileSecurity.check(path, DACL | PROTECTED_DACL, made)


def owner_of(sddl: str) -> str:
    """Return the owner that SDDL names: a SID, or two letters for a well-known one."""
    found = re.match(r"O:(S-[0-9-]+|[A-Z]{2})", sddl)
    return found[1] if found else ""
