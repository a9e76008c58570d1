"""What Python's winreg does not do: keys that are gone after the next boot.

Source: Microsoft's reference of winreg.h, `RegCreateKeyExW`.
"""

from __future__ import annotations

from ctypes import POINTER, byref, c_long, c_size_t, c_uint32, c_void_p, c_wchar_p

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

CURRENT_USER = 0xFFFFFFFF80000001  # HKEY_CURRENT_USER, extended by its sign
_VOLATILE = 1
_ALL_BUT_SPECIAL = 0x20019 | 0x20006  # KEY_READ | KEY_WRITE

RegCreateKeyEx = Function(
    "advapi32", "RegCreateKeyExW", c_long,
    c_size_t, c_wchar_p, c_uint32, c_wchar_p, c_uint32, c_uint32, c_void_p,
    POINTER(c_void_p), POINTER(c_uint32),
)  # fmt: skip
RegCloseKey = Function("advapi32", "RegCloseKey", c_long, c_void_p)


def make_volatile_key(root: int, path: str) -> None:
    """Make a key that lasts until the machine is booted anew, unless it is there.

    Raises:
        OSError: That did not work.
    """
    key, how = c_void_p(), c_uint32()
    code = RegCreateKeyEx(
        root, path, 0, None, _VOLATILE, _ALL_BUT_SPECIAL, None, byref(key), byref(how)
    )
    if code:
        raise dll.error(code, path)
    RegCloseKey(key)
