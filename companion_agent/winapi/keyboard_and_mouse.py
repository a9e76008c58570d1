"""Keys and movements: when there was one last, that there is one now, and hotkeys.

Which key it was is asked for nowhere. Source: Microsoft's reference of winuser.h
(`GetLastInputInfo`, `RegisterRawInputDevices`, `RegisterHotKey`, `SendInput`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_size_t,
    c_uint16,
    c_uint32,
    c_void_p,
    sizeof,
)

from companion_agent.winapi.dll import Function

# Modifiers of hotkeys.
ALT, CONTROL, SHIFT, WINDOWS_KEY = 0x1, 0x2, 0x4, 0x8
NO_REPEAT = 0x4000
"""A key that is held down is told once."""
HOTKEY_TAKEN = 1409
"""ERROR_HOTKEY_ALREADY_REGISTERED"""

# Usage pages and usages of USB's HID tables: mouse, keyboard, pen, touch screen.
_DEVICES = ((0x01, 0x02), (0x01, 0x06), (0x0D, 0x02), (0x0D, 0x04))
_IN_BACKGROUND, _REMOVE = 0x100, 0x1
_MOUSE, _MOVE = 0, 0x1


class _LastInput(Structure):
    """LASTINPUTINFO."""

    _fields_ = (("size", c_uint32), ("time", c_uint32))


class _RawDevice(Structure):
    """RAWINPUTDEVICE."""

    _fields_ = (
        ("usage_page", c_uint16),
        ("usage", c_uint16),
        ("flags", c_uint32),
        ("window", c_void_p),
    )


class _MouseInput(Structure):
    """INPUT with a MOUSEINPUT."""

    _fields_ = (
        ("kind", c_uint32),
        ("x", c_int32),
        ("y", c_int32),
        ("data", c_uint32),
        ("flags", c_uint32),
        ("time", c_uint32),
        ("extra", c_size_t),
    )


_GetLastInputInfo = Function("user32", "GetLastInputInfo", c_int, POINTER(_LastInput))
_GetTickCount = Function("kernel32", "GetTickCount", c_uint32)
_RegisterRawInput = Function(
    "user32", "RegisterRawInputDevices", c_int, c_void_p, c_uint32, c_uint32
)
_SendInput = Function("user32", "SendInput", c_uint32, c_uint32, c_void_p, c_int)
_RegisterHotKey = Function("user32", "RegisterHotKey", c_int, c_void_p, c_int, c_uint32, c_uint32)
_UnregisterHotKey = Function("user32", "UnregisterHotKey", c_int, c_void_p, c_int)


def idle_time() -> float:
    """Return the seconds since the last key or movement in this session.

    Raises:
        OSError: Windows does not tell.
    """
    found = _LastInput(sizeof(_LastInput))
    _GetLastInputInfo.check(byref(found))
    # Both count milliseconds in 32 bits, and begin anew after 49.7 days.
    return float((_GetTickCount() - found.time) & 0xFFFF_FFFF) / 1000


def follow(window: int) -> None:
    """Have a window told by WM_INPUT of every key and movement.

    Raises:
        OSError: That did not work.
    """
    _register(_IN_BACKGROUND, window)


def follow_no_more() -> None:
    """Have it told no more.

    Raises:
        OSError: That did not work.
    """
    _register(_REMOVE, None)


def nudge_mouse() -> None:
    """Move the pointer away and back, as a hand does that wakes the screen."""
    moves = (_MouseInput * 2)(
        _MouseInput(_MOUSE, 1, 0, 0, _MOVE, 0, 0), _MouseInput(_MOUSE, -1, 0, 0, _MOVE, 0, 0)
    )
    _SendInput(len(moves), byref(moves), sizeof(_MouseInput))


def bind(window: int, number: int, modifiers: int, key: int) -> None:
    """Have a window told by WM_HOTKEY when keys are pressed; in the window's thread.

    Args:
        window: The window.
        number: What tells the hotkey from others of the window.
        modifiers: The modifiers.
        key: The virtual key.

    Raises:
        OSError: Another program has these keys, or Windows keeps them for itself.
    """
    _RegisterHotKey.check(window, number, modifiers, key)


def give_back(window: int, number: int) -> None:
    """Have it told no more; in the window's thread."""
    _UnregisterHotKey(window, number)


def _register(flags: int, window: int | None) -> None:
    devices = (_RawDevice * len(_DEVICES))(
        *(_RawDevice(page, usage, flags, window) for page, usage in _DEVICES)
    )
    _RegisterRawInput.check(byref(devices), len(devices), sizeof(_RawDevice))
