"""What Windows tells a program in a console.

Source: Microsoft's reference of consoleapi.h (`SetConsoleCtrlHandler`, `HandlerRoutine`).
"""

from __future__ import annotations

from ctypes import c_int, c_uint32
from typing import TYPE_CHECKING

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSE = 2
"""The console was closed; Windows ends the program when the handler returns, or after 5 s."""

_HANDLER = dll.callback(c_int, c_uint32)
_SetConsoleCtrlHandler = Function("kernel32", "SetConsoleCtrlHandler", c_int, _HANDLER, c_int)


class Handler:
    """A handler of such events.

    Args:
        handle: Gets `CTRL_*_EVENT` in a thread of Windows'; tells whether no other handler is to
            get it.
    """

    def __init__(self, handle: Callable[[int], bool]) -> None:
        # Windows calls it until it is removed.
        self._kept = _HANDLER(lambda event: int(handle(event)))

    def add(self) -> None:
        """Get them from now on, before handlers that were added earlier."""
        _SetConsoleCtrlHandler(self._kept, True)

    def remove(self) -> None:
        """Get none any more."""
        _SetConsoleCtrlHandler(self._kept, False)
