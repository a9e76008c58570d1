"""kernel32: the machine as a whole, its clocks and its processor.

Sources: Microsoft's reference of realtimeapiset.h (QueryUnbiasedInterruptTime), sysinfoapi.h
(GetTickCount64, GetNativeSystemInfo, SYSTEM_INFO).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_int32, c_uint16, c_uint32, c_uint64, c_void_p

from companion_agent.winapi.dll import Function

# PROCESSOR_ARCHITECTURE_*, and what Windows itself calls them in %PROCESSOR_ARCHITECTURE%.
_ARCHITECTURES = {0: "x86", 5: "ARM", 6: "IA64", 9: "AMD64", 12: "ARM64"}

_UNITS_PER_SECOND = 10_000_000


class SystemInfo(ctypes.Structure):
    """SYSTEM_INFO."""

    _fields_ = (
        ("architecture", c_uint16),
        ("reserved", c_uint16),
        ("page_size", c_uint32),
        ("minimum_address", c_void_p),
        ("maximum_address", c_void_p),
        ("active_processors", c_void_p),
        ("processors", c_uint32),
        ("processor_type", c_uint32),
        ("allocation_granularity", c_uint32),
        ("processor_level", c_uint16),
        ("processor_revision", c_uint16),
    )


_GetTickCount64 = Function("kernel32", "GetTickCount64", c_uint64)
_QueryUnbiasedInterruptTime = Function(
    "kernel32", "QueryUnbiasedInterruptTime", c_int32, POINTER(c_uint64)
)
_GetNativeSystemInfo = Function("kernel32", "GetNativeSystemInfo", None, POINTER(SystemInfo))


def time_since_boot() -> float:
    """Return seconds since the system started, sleep included; in steps of 16 ms."""
    return int(_GetTickCount64()) / 1000


def time_awake() -> float:
    """Return seconds since the system started, without those that it slept.

    Raises:
        OSError: Windows does not say.
    """
    awake = c_uint64()
    _QueryUnbiasedInterruptTime.check(byref(awake))
    return awake.value / _UNITS_PER_SECOND


def architecture() -> str:
    """Return which programs the processor runs, "AMD64"; empty for one that is not known."""
    info = SystemInfo()
    _GetNativeSystemInfo(byref(info))
    return _ARCHITECTURES.get(info.architecture, "")
