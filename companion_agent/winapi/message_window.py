"""An invisible window, to which Windows tells what it tells windows.

It is a top-level window, since those for messages alone get no broadcasts. Sources: Microsoft's
reference of winuser.h (`RegisterClassExW`, `CreateWindowExW`, `GetMessageW`, `WM_POWERBROADCAST`,
`WM_QUERYENDSESSION`, `WM_ENDSESSION`, `WM_WTSSESSION_CHANGE`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_size_t,
    c_ssize_t,
    c_uint32,
    c_void_p,
    c_wchar_p,
    sizeof,
)
from itertools import count
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

WM_DESTROY = 0x2
WM_CLOSE = 0x10
WM_QUERYENDSESSION = 0x11
WM_ENDSESSION = 0x16
WM_DISPLAYCHANGE = 0x7E
WM_INPUT = 0xFF
WM_SYSCOMMAND = 0x112
WM_POWERBROADCAST = 0x218
WM_WTSSESSION_CHANGE = 0x2B1
WM_HOTKEY = 0x312
WM_APP = 0x8000
"""From here on a program's own messages."""

ENDSESSION_LOGOFF = 0x8000_0000
"""In the second parameter of WM_ENDSESSION: the user logs out, and the machine goes on."""

_POPUP = 0x8000_0000
# In no task bar, and never in front.
_TOOL_WINDOW = 0x80
_NO_ACTIVATE = 0x0800_0000

# A class is known to the whole process until its window has gone.
_numbers = count(1)

_WINDOW_PROCEDURE = dll.callback(c_ssize_t, c_void_p, c_uint32, c_size_t, c_ssize_t)


class _WindowClass(Structure):
    """WNDCLASSEXW."""

    _fields_ = (
        ("size", c_uint32),
        ("style", c_uint32),
        ("procedure", _WINDOW_PROCEDURE),
        ("class_extra", c_int),
        ("window_extra", c_int),
        ("instance", c_void_p),
        ("icon", c_void_p),
        ("cursor", c_void_p),
        ("background", c_void_p),
        ("menu", c_wchar_p),
        ("name", c_wchar_p),
        ("small_icon", c_void_p),
    )


class _Message(Structure):
    """MSG."""

    _fields_ = (
        ("window", c_void_p),
        ("message", c_uint32),
        ("first", c_size_t),
        ("second", c_ssize_t),
        ("time", c_uint32),
        ("x", c_int32),
        ("y", c_int32),
    )


_GetModuleHandle = Function("kernel32", "GetModuleHandleW", c_void_p, c_wchar_p)
_RegisterClass = Function("user32", "RegisterClassExW", c_uint32, POINTER(_WindowClass))
_UnregisterClass = Function("user32", "UnregisterClassW", c_int, c_wchar_p, c_void_p)
_CreateWindow = Function(
    "user32",
    "CreateWindowExW",
    c_void_p,
    c_uint32,
    c_wchar_p,
    c_wchar_p,
    c_uint32,
    c_int,
    c_int,
    c_int,
    c_int,
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
)
_DestroyWindow = Function("user32", "DestroyWindow", c_int, c_void_p)
_DefWindowProc = Function(
    "user32", "DefWindowProcW", c_ssize_t, c_void_p, c_uint32, c_size_t, c_ssize_t
)
_GetMessage = Function(
    "user32", "GetMessageW", c_int, POINTER(_Message), c_void_p, c_uint32, c_uint32
)
_DispatchMessage = Function("user32", "DispatchMessageW", c_ssize_t, POINTER(_Message))
_PostQuitMessage = Function("user32", "PostQuitMessage", None, c_int)
_PostMessage = Function("user32", "PostMessageW", c_int, c_void_p, c_uint32, c_size_t, c_ssize_t)


def run(
    name: str,
    handle: Callable[[int, int, int], int | None],
    opened: Callable[[int], None],
) -> None:
    """Make the window, and hand its messages on until it is closed; in a thread of its own.

    Args:
        name: What it is called.
        handle: Gets a message and its two parameters; `None` for what Windows does with it.
        opened: Called with the window once it is there.

    Raises:
        OSError: This session has no windows.
    """

    def procedure(window: int, message: int, first: int, second: int) -> int:
        answer = handle(message, first, second)
        if answer is not None:
            return answer
        if message == WM_CLOSE:
            _DestroyWindow(window)
            return 0
        if message == WM_DESTROY:
            _PostQuitMessage(0)
            return 0
        default: int = _DefWindowProc(window, message, first, second)
        return default

    kept = _WINDOW_PROCEDURE(procedure)
    instance = _GetModuleHandle(None)
    kind = f"{name} {next(_numbers)}"
    made = _WindowClass(size=sizeof(_WindowClass), procedure=kept, instance=instance, name=kind)
    _RegisterClass.check(byref(made))
    try:
        window = _CreateWindow.check(
            _TOOL_WINDOW | _NO_ACTIVATE, kind, name, _POPUP, 0, 0, 0, 0, None, None, instance, None
        )
        opened(window)
        message = _Message()
        while _GetMessage(byref(message), None, 0, 0) > 0:
            _DispatchMessage(byref(message))
    finally:
        _UnregisterClass(kind, instance)


def close(window: int) -> None:
    """Have a window of `run()` closed; safe from any thread, and after its end."""
    post(window, WM_CLOSE)


def post(window: int, message: int, first: int = 0, second: int = 0) -> bool:
    """Put a message among those of a window, from any thread; tell whether that worked."""
    return bool(_PostMessage(window, message, first, second))


def treat_as_usual(window: int, message: int, first: int, second: int) -> int:
    """Have Windows do what it does with a message; in the window's thread."""
    answer: int = _DefWindowProc(window, message, first, second)
    return answer
