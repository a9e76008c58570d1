"""The window in front, and that another one is.

Source: Microsoft's reference of winuser.h (`GetForegroundWindow`, `SetWinEventHook`,
`GetWindowTextW`, `GetWindowRect`, `MonitorFromWindow`), and winbase.h
(`QueryFullProcessImageNameW`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_uint32,
    c_void_p,
    c_wchar_p,
    create_unicode_buffer,
    sizeof,
)
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

# Events.
CAME_TO_FRONT, MINIMIZED_ENDED, DESKTOP_SWITCHED = 0x3, 0x17, 0x20
MOVED, RENAMED = 0x800B, 0x800C

_OUT_OF_CONTEXT, _NOT_OF_OWN_PROCESS = 0x0, 0x2
_WHOLE_WINDOW = 0
_NEAREST_MONITOR = 2
_QUERY_LIMITED = 0x1000
_LONGEST_TITLE, _LONGEST_PATH, _LONGEST_CLASS = 512, 32_768, 257
# Programs from the Microsoft Store have their window in a frame of another process.
_FRAME, _CONTENT = "ApplicationFrameWindow", "Windows.UI.Core.CoreWindow"
# What is behind all windows fills the screen, and no program does.
_DESKTOP = frozenset({"Progman", "WorkerW"})

_EVENT = dll.callback(None, c_void_p, c_uint32, c_void_p, c_int32, c_int32, c_uint32, c_uint32)


class _Rectangle(Structure):
    """RECT."""

    _fields_ = (("left", c_int32), ("top", c_int32), ("right", c_int32), ("bottom", c_int32))


class _MonitorInfo(Structure):
    """MONITORINFO."""

    _fields_ = (
        ("size", c_uint32),
        ("whole", _Rectangle),
        ("work", _Rectangle),
        ("flags", c_uint32),
    )


_GetForegroundWindow = Function("user32", "GetForegroundWindow", c_void_p)
_GetWindowText = Function("user32", "GetWindowTextW", c_int, c_void_p, c_wchar_p, c_int)
_GetClassName = Function("user32", "GetClassNameW", c_int, c_void_p, c_wchar_p, c_int)
_FindWindowEx = Function(
    "user32", "FindWindowExW", c_void_p, c_void_p, c_void_p, c_wchar_p, c_wchar_p
)
_GetProcess = Function("user32", "GetWindowThreadProcessId", c_uint32, c_void_p, POINTER(c_uint32))
_GetWindowRect = Function("user32", "GetWindowRect", c_int, c_void_p, POINTER(_Rectangle))
_MonitorFromWindow = Function("user32", "MonitorFromWindow", c_void_p, c_void_p, c_uint32)
_GetMonitorInfo = Function("user32", "GetMonitorInfoW", c_int, c_void_p, POINTER(_MonitorInfo))
_SetWinEventHook = Function(
    "user32",
    "SetWinEventHook",
    c_void_p,
    *(c_uint32, c_uint32, c_void_p, _EVENT, c_uint32, c_uint32, c_uint32),
)
_UnhookWinEvent = Function("user32", "UnhookWinEvent", c_int, c_void_p)
_OpenProcess = Function("kernel32", "OpenProcess", c_void_p, c_uint32, c_int, c_uint32)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)
_ImageName = Function(
    "kernel32",
    "QueryFullProcessImageNameW",
    c_int,
    *(c_void_p, c_uint32, c_wchar_p, POINTER(c_uint32)),
)


class Hook:
    """Hears of events of windows, in the thread that has made it and waits for messages.

    Args:
        first: The first event that is told.
        last: The last one.
        heard: Called with an event and its window, 0 where it is of none.
        process: The process whose windows are meant; all of them when 0.

    Raises:
        OSError: Windows does not tell.
    """

    def __init__(
        self, first: int, last: int, heard: Callable[[int, int], None], process: int = 0
    ) -> None:
        def take(_: int, event: int, window: int | None, thing: int, *__: object) -> None:
            # Not what is in a window: a list, a caret.
            if thing == _WHOLE_WINDOW:
                heard(event, window or 0)

        self._kept = _EVENT(take)
        flags = _OUT_OF_CONTEXT | _NOT_OF_OWN_PROCESS
        self._hook: int | None = _SetWinEventHook.check(
            first, last, None, self._kept, process, 0, flags
        )

    def close(self) -> None:
        """Hear no more; in the same thread."""
        if self._hook:
            _UnhookWinEvent(self._hook)
            self._hook = None


def window() -> int:
    """Return the window in front; 0 while there is none, and while the session is locked."""
    return _GetForegroundWindow() or 0


def title(window: int) -> str:
    """Return what stands above a window; no program is asked for it."""
    text = create_unicode_buffer(_LONGEST_TITLE)
    _GetWindowText(window, text, _LONGEST_TITLE)
    return text.value


def process(window: int) -> int:
    """Return the process of a window; 0 for one that has gone."""
    found = c_uint32()
    _GetProcess(window, byref(found))
    return found.value


def program(window: int) -> str:
    """Return the name of a window's program without its ending, `notepad`.

    Raises:
        OSError: Windows does not tell: it has gone, or is one of the system's.
    """
    if _class(window) == _FRAME:
        window = _FindWindowEx(window, None, _CONTENT, None) or window
    return program_of(process(window))


def program_of(number: int) -> str:
    """Return the name of a process's program without its ending, `notepad`.

    Raises:
        OSError: Windows does not tell: it has gone, or is one of the system's.
    """
    handle = _OpenProcess.check(_QUERY_LIMITED, False, number)
    path, size = create_unicode_buffer(_LONGEST_PATH), c_uint32(_LONGEST_PATH)
    try:
        _ImageName.check(handle, 0, path, byref(size))
    finally:
        _CloseHandle(handle)
    return PureWindowsPath(path.value).stem


def fills_screen(window: int) -> bool:
    """Tell whether a window covers the whole of its monitor, the task bar too."""
    where, monitor = _Rectangle(), _MonitorInfo(size=sizeof(_MonitorInfo))
    if _class(window) in _DESKTOP or not _GetWindowRect(window, byref(where)):
        return False
    if not _GetMonitorInfo(_MonitorFromWindow(window, _NEAREST_MONITOR), byref(monitor)):
        return False
    whole = monitor.whole
    return bool(
        where.left <= whole.left
        and where.top <= whole.top
        and where.right >= whole.right
        and where.bottom >= whole.bottom
    )


def _class(window: int) -> str:
    text = create_unicode_buffer(_LONGEST_CLASS)
    _GetClassName(window, text, _LONGEST_CLASS)
    return text.value
