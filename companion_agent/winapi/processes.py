"""Other processes: waiting for their end.

Source: Microsoft's reference of processthreadsapi.h (`OpenProcess`) and synchapi.h
(`WaitForSingleObject`).
"""

from __future__ import annotations

from contextlib import contextmanager
from ctypes import c_int, c_uint32, c_void_p
from typing import TYPE_CHECKING

from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYNCHRONIZE = 0x100000

OpenProcess = Function("kernel32", "OpenProcess", c_void_p, c_uint32, c_int, c_uint32)
WaitForSingleObject = Function("kernel32", "WaitForSingleObject", c_uint32, c_void_p, c_uint32)
CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)


@contextmanager
def gone_afterwards(pid: int, limit: float) -> Iterator[None]:
    """Wait after the block until a process has ended, which is open from before the block on.

    One that cannot be opened is not waited for: it has ended, or is another user's.

    Args:
        pid: The process.
        limit: Seconds to wait at most.
    """
    handle = OpenProcess(_SYNCHRONIZE, 0, pid)
    try:
        yield
        if handle:
            WaitForSingleObject(handle, round(limit * 1000))
    finally:
        if handle:
            CloseHandle(handle)
