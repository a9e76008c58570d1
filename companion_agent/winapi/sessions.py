"""Ending the session of this process.

Source: Microsoft's reference of winuser.h (`ExitWindowsEx`) and "System Shutdown Reason Codes".
"""

from __future__ import annotations

from ctypes import c_int, c_uint32

from companion_agent.winapi.dll import Function

_LOG_OFF = 0x0
# Programs that do not answer are ended; one that asks about something unsaved is not.
_FORCE_IF_HUNG = 0x10
# SHTDN_REASON_MAJOR_OTHER and _MINOR_OTHER, planned.
_PLANNED = 0x8000_0000

_ExitWindows = Function("user32", "ExitWindowsEx", c_int, c_uint32, c_uint32)


def log_out() -> None:
    """Begin to end the session; return before programs have been asked.

    Raises:
        OSError: Windows refuses it.
    """
    _ExitWindows.check(_LOG_OFF | _FORCE_IF_HUNG, _PLANNED)
