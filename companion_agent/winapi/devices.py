"""Devices: which there are of a class, and what their drivers answer.

Sources: Microsoft's reference of setupapi.h (`SetupDiGetClassDevsW`,
`SetupDiEnumDeviceInterfaces`, `SetupDiGetDeviceInterfaceDetailW`), fileapi.h (`CreateFileW`) and
ioapiset.h (`DeviceIoControl`).
"""

from __future__ import annotations

from contextlib import contextmanager
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_size_t,
    c_ubyte,
    c_uint32,
    c_void_p,
    c_wchar_p,
    create_string_buffer,
    sizeof,
)
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

GENERIC_READ = 0x8000_0000

_PRESENT = 0x2
_INTERFACES = 0x10
_SHARE_READ_AND_WRITE = 0x3
_OPEN_EXISTING = 3
_INVALID_HANDLE = c_void_p(-1).value
_NO_MORE_ITEMS = 259
# The longest path that the function writes, in bytes.
_LONGEST_PATH = 2 * 1024

_Guid = c_ubyte * 16


class _Interface(Structure):
    """SP_DEVICE_INTERFACE_DATA."""

    _fields_ = (
        ("size", c_uint32),
        ("kind", _Guid),
        ("flags", c_uint32),
        ("reserved", c_size_t),
    )


_GetClassDevs = Function(
    "setupapi",
    "SetupDiGetClassDevsW",
    c_void_p,
    *(POINTER(_Guid), c_wchar_p, c_void_p, c_uint32),
)
_EnumInterfaces = Function(
    "setupapi",
    "SetupDiEnumDeviceInterfaces",
    c_int,
    *(c_void_p, c_void_p, POINTER(_Guid), c_uint32, POINTER(_Interface)),
)
_GetInterfaceDetail = Function(
    "setupapi",
    "SetupDiGetDeviceInterfaceDetailW",
    c_int,
    *(c_void_p, POINTER(_Interface), c_void_p, c_uint32, c_void_p, c_void_p),
)
_DestroyList = Function("setupapi", "SetupDiDestroyDeviceInfoList", c_int, c_void_p)
_CreateFile = Function(
    "kernel32",
    "CreateFileW",
    c_void_p,
    *(c_wchar_p, c_uint32, c_uint32, c_void_p, c_uint32, c_uint32, c_void_p),
)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)
_DeviceIoControl = Function(
    "kernel32",
    "DeviceIoControl",
    c_int,
    *(c_void_p, c_uint32, c_void_p, c_uint32, c_void_p, c_uint32, POINTER(c_uint32), c_void_p),
)


def interfaces(kind: UUID) -> list[str]:
    """Return the paths of the devices of a class that are present.

    Args:
        kind: `GUID_DEVINTERFACE_*`, or that of the class.

    Raises:
        OSError: They cannot be listed.
    """
    guid = _Guid(*kind.bytes_le)
    listed = _GetClassDevs(byref(guid), None, None, _PRESENT | _INTERFACES)
    if listed in {None, _INVALID_HANDLE}:
        raise dll.error(dll.system.last_error(), "SetupDiGetClassDevsW")
    paths: list[str] = []
    try:
        found = _Interface(size=sizeof(_Interface))
        while _EnumInterfaces(listed, None, byref(guid), len(paths), byref(found)):
            paths.append(_path(listed, found))
        code = dll.system.last_error()
        if code != _NO_MORE_ITEMS:
            raise dll.error(code, "SetupDiEnumDeviceInterfaces")
    finally:
        _DestroyList(listed)
    return paths


def _path(listed: int, found: _Interface) -> str:
    # SP_DEVICE_INTERFACE_DETAIL_DATA_W: its size without what follows, which is padded to 8 bytes
    # where pointers have 8, then the path.
    size = 8 if sizeof(c_void_p) == 8 else 6
    detail = create_string_buffer(size.to_bytes(4, "little"), _LONGEST_PATH)
    _GetInterfaceDetail.check(listed, byref(found), byref(detail), len(detail), None, None)
    return detail.raw[4:].decode("utf-16-le", "replace").partition("\0")[0]


@contextmanager
def opened(path: str, access: int = GENERIC_READ) -> Iterator[int]:
    r"""Open a device, and close it at the end of the block.

    Args:
        path: One of `interfaces()`, or a name such as `\\.\PhysicalDrive0`.
        access: What it is opened for; 0 for what needs no right to it.

    Raises:
        OSError: It has gone, or may not be opened.
    """
    handle = _CreateFile(path, access, _SHARE_READ_AND_WRITE, None, _OPEN_EXISTING, 0, None)
    if handle in {None, _INVALID_HANDLE}:
        raise dll.error(dll.system.last_error(), path)
    try:
        yield handle
    finally:
        _CloseHandle(handle)


def control(handle: int, code: int, request: bytes, size: int) -> bytes:
    """Ask a device's driver.

    Args:
        handle: The device, of `opened()`.
        code: `IOCTL_*`.
        request: What it is given.
        size: How many bytes it may answer.

    Raises:
        OSError: The driver does not answer that.
    """
    answer, written = create_string_buffer(max(size, 1)), c_uint32()
    _DeviceIoControl.check(
        handle, code, request, len(request), byref(answer), size, byref(written), None
    )
    return answer.raw[: written.value]
