"""wlanapi: the Wi-Fi interfaces, as the service WLAN AutoConfig knows them.

Windows Server has this DLL only with the feature "Wireless LAN".

Sources: Microsoft's reference of wlanapi.h (WlanOpenHandle, WlanEnumInterfaces,
WLAN_INTERFACE_INFO_LIST, WlanQueryInterface, WLAN_INTF_OPCODE).
"""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
from ctypes import POINTER, byref, c_ubyte, c_uint16, c_uint32, c_void_p
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

CURRENT_CONNECTION = 7
"""Asks for WLAN_CONNECTION_ATTRIBUTES."""
RSSI = 0x10000102
"""Asks for a signed number of 32 bits, in dBm."""
ACCESS_DENIED = 5

_CLIENT_VERSION = 2

Guid = c_ubyte * 16


class InterfaceInfo(ctypes.Structure):
    """WLAN_INTERFACE_INFO."""

    _fields_ = (
        ("guid", Guid),
        ("description", c_uint16 * 256),
        ("state", c_uint32),
    )


_WlanOpenHandle = Function(
    "wlanapi",
    "WlanOpenHandle",
    c_uint32,
    *(c_uint32, c_void_p, POINTER(c_uint32), POINTER(c_void_p)),
)
_WlanCloseHandle = Function("wlanapi", "WlanCloseHandle", c_uint32, c_void_p, c_void_p)
_WlanFreeMemory = Function("wlanapi", "WlanFreeMemory", None, c_void_p)
_WlanEnumInterfaces = Function(
    "wlanapi", "WlanEnumInterfaces", c_uint32, c_void_p, c_void_p, POINTER(c_void_p)
)
_WlanQueryInterface = Function(
    "wlanapi",
    "WlanQueryInterface",
    c_uint32,
    *(c_void_p, POINTER(Guid), c_uint32, c_void_p),
    *(POINTER(c_uint32), POINTER(c_void_p), c_void_p),
)


@contextmanager
def client() -> Iterator[c_void_p]:
    """Open a handle to the service, which is closed at the end of the block.

    Raises:
        MissingError: This Windows has no Wi-Fi.
        OSError: The service does not run.
    """
    handle, version = c_void_p(), c_uint32()
    if code := _WlanOpenHandle(_CLIENT_VERSION, None, byref(version), byref(handle)):
        raise dll.error(code, "WlanOpenHandle")
    try:
        yield handle
    finally:
        _WlanCloseHandle(handle, None)


def interfaces(handle: c_void_p) -> list[tuple[str, bytes]]:
    """Return the interfaces, each with its description and its GUID.

    Raises:
        OSError: The service does not tell.
    """
    found = c_void_p()
    if code := _WlanEnumInterfaces(handle, None, byref(found)):
        raise dll.error(code, "WlanEnumInterfaces")
    if not found.value:
        return []
    try:
        count = c_uint32.from_address(found.value).value
        # The list follows two numbers: how many there are, and an index.
        infos = (InterfaceInfo * count).from_address(found.value + 8)
        return [(_text(info.description), bytes(info.guid)) for info in infos]
    finally:
        _WlanFreeMemory(found)


def query(handle: c_void_p, guid: bytes, what: int) -> bytes:
    """Ask for something about an interface, `CURRENT_CONNECTION` or `RSSI`.

    Raises:
        OSError: It is not connected, the driver does not know, or this program may not ask;
            `winerror` is then `ACCESS_DENIED`.
    """
    size, answer = c_uint32(), c_void_p()
    code = _WlanQueryInterface(
        handle, byref(Guid(*guid)), what, None, byref(size), byref(answer), None
    )
    if code:
        raise dll.error(code, "WlanQueryInterface")
    if not answer.value:
        return b""
    try:
        return ctypes.string_at(answer.value, size.value)
    finally:
        _WlanFreeMemory(answer)


def _text(wide: ctypes.Array[c_uint16]) -> str:
    return bytes(wide).decode("utf-16-le", "replace").split("\0", 1)[0]
