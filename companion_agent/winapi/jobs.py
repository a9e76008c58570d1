"""Jobs: processes that end together.

Source: Microsoft's reference of jobapi2.h and of `JOBOBJECT_EXTENDED_LIMIT_INFORMATION`.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p, c_wchar_p

from companion_agent.winapi.dll import Function

_EXTENDED_LIMITS = 9
_KILL_ON_CLOSE = 0x2000


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", c_int64),
        ("job_time", c_int64),
        ("flags", c_uint32),
        ("smallest_set", c_size_t),
        ("largest_set", c_size_t),
        ("processes", c_uint32),
        ("affinity", c_size_t),
        ("priority", c_uint32),
        ("scheduling", c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, whose IO_COUNTERS are six numbers."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io", c_uint64 * 6),
        ("process_memory", c_size_t),
        ("job_memory", c_size_t),
        ("peak_process_memory", c_size_t),
        ("peak_job_memory", c_size_t),
    )


CreateJobObject = Function("kernel32", "CreateJobObjectW", c_void_p, c_void_p, c_wchar_p)
SetInformationJobObject = Function(
    "kernel32", "SetInformationJobObject", c_int, c_void_p, c_int, c_void_p, c_uint32
)
AssignProcessToJobObject = Function(
    "kernel32", "AssignProcessToJobObject", c_int, c_void_p, c_void_p
)
TerminateJobObject = Function("kernel32", "TerminateJobObject", c_int, c_void_p, c_uint32)
CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)


class Job:
    """Processes that end when this object is closed, or the process that has it ends.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self) -> None:
        self._handle: int | None = CreateJobObject.check(None, None)
        limits = ExtendedLimits()
        limits.basic.flags = _KILL_ON_CLOSE
        SetInformationJobObject.check(
            self._handle, _EXTENDED_LIMITS, byref(limits), ctypes.sizeof(limits)
        )

    def take(self, process: int) -> None:
        """Take a process, by its handle, with all that it starts from now on.

        Raises:
            OSError: That did not work.
        """
        AssignProcessToJobObject.check(self._handle, process)

    def end(self, code: int) -> None:
        """End all of them with an exit code.

        Raises:
            OSError: That did not work.
        """
        TerminateJobObject.check(self._handle, code)

    def close(self) -> None:
        """End all that still run."""
        if self._handle:
            CloseHandle(self._handle)
            self._handle = None
