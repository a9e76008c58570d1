"""Batteries, as their drivers tell them, and as Windows sums them up.

Sources: Microsoft's reference of poclass.h (`IOCTL_BATTERY_QUERY_TAG`,
`IOCTL_BATTERY_QUERY_INFORMATION`, `IOCTL_BATTERY_QUERY_STATUS` and their structures), winbase.h
(`GetSystemPowerStatus`), powerbase.h (`CallNtPowerInformation`) and winnt.h
(`SYSTEM_BATTERY_STATE`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_ubyte,
    c_uint32,
    c_void_p,
    sizeof,
)
import struct
from typing import NamedTuple
from uuid import UUID

from companion_agent.winapi import devices, dll
from companion_agent.winapi.dll import Function

# BATTERY_STATUS.PowerState
ON_LINE = 0x1
DISCHARGING = 0x2
CHARGING = 0x4

# BATTERY_INFORMATION.Capabilities
SYSTEM_BATTERY = 0x8000_0000
CAPACITY_RELATIVE = 0x4000_0000

UNKNOWN = 0xFFFF_FFFF
"""A capacity or a time that is not known."""
UNKNOWN_RATE = -0x8000_0000

_CLASS = UUID("72631e54-78a4-11d0-bcf7-00aa00b7b32a")
_QUERY_TAG = 0x29_4040
_QUERY_INFORMATION = 0x29_4044
_QUERY_STATUS = 0x29_404C
_INFORMATION = 0
_ESTIMATED_TIME = 3
# BATTERY_QUERY_INFORMATION: tag, level, and the rate that a time is asked for.
_QUESTION = struct.Struct("<IIi")
# BATTERY_INFORMATION
_INFORMATION_LAYOUT = struct.Struct("<IB3x4sIIIIII")
# BATTERY_WAIT_STATUS: tag, time-out, power state, low and high capacity; answered at once.
_WAIT = struct.Struct("<IIIII")
# BATTERY_STATUS
_STATUS = struct.Struct("<IIIi")

_SYSTEM_BATTERY_STATE = 5


class BatteryStatus(NamedTuple):
    """What a battery's driver says.

    Attributes:
        capabilities: `SYSTEM_BATTERY`, `CAPACITY_RELATIVE` and others.
        designed: What it held when it was new, in mWh.
        full: What it holds when it is full, in mWh, or in units of its own.
        state: `ON_LINE`, `DISCHARGING`, `CHARGING`.
        capacity: What it holds now, in the same unit as `full`.
        rate: What flows into it (positive) or out of it, in mW, or in units of its own.
        time: Seconds until it is empty.
    """

    capabilities: int
    designed: int
    full: int
    state: int
    capacity: int
    rate: int
    time: int


class SystemPowerStatus(Structure):
    """SYSTEM_POWER_STATUS.

    Attributes:
        on_line: 1 with external power, 0 without; others where it is not known.
    """

    _fields_ = (
        ("on_line", c_ubyte),
        ("battery", c_ubyte),
        ("percent", c_ubyte),
        ("saver", c_ubyte),
        ("time", c_uint32),
        ("full_time", c_uint32),
    )


class SystemBatteryState(Structure):
    """SYSTEM_BATTERY_STATE: all batteries together.

    Attributes:
        full: What they hold when they are full, in mWh.
        capacity: What they hold now.
        rate: What flows into them (positive) or out of them, in mW.
        time: Seconds until they are empty.
    """

    _fields_ = (
        ("on_line", c_ubyte),
        ("present", c_ubyte),
        ("charging", c_ubyte),
        ("discharging", c_ubyte),
        ("reserved", c_ubyte * 3),
        ("tag", c_ubyte),
        ("full", c_uint32),
        ("capacity", c_uint32),
        ("rate", c_int32),
        ("time", c_uint32),
        ("alert_1", c_uint32),
        ("alert_2", c_uint32),
    )


_GetSystemPowerStatus = Function(
    "kernel32", "GetSystemPowerStatus", c_int, POINTER(SystemPowerStatus)
)
_CallNtPowerInformation = Function(
    "powrprof",
    "CallNtPowerInformation",
    c_int32,
    *(c_int, c_void_p, c_uint32, c_void_p, c_uint32),
)


def paths() -> list[str]:
    """Return the devices that may be batteries, also of bays that are empty.

    Raises:
        OSError: They cannot be listed.
    """
    return devices.interfaces(_CLASS)


def read(path: str) -> BatteryStatus | None:
    """Ask a battery's driver; `None` where there is no battery in it.

    Raises:
        OSError: It has gone, may not be asked, or does not answer.
    """
    with devices.opened(path) as handle:
        try:
            tag = _number(devices.control(handle, _QUERY_TAG, bytes(4), 4))
        except FileNotFoundError:
            return None
        if not tag:
            return None
        question = _QUESTION.pack(tag, _INFORMATION, 0)
        answer = devices.control(handle, _QUERY_INFORMATION, question, _INFORMATION_LAYOUT.size)
        capabilities, _, _, designed, full, *_ = _INFORMATION_LAYOUT.unpack(answer)
        question = _WAIT.pack(tag, 0, 0, 0, 0)
        status = devices.control(handle, _QUERY_STATUS, question, _STATUS.size)
        state, capacity, _, rate = _STATUS.unpack(status)
        time = _time(handle, tag)
    return BatteryStatus(capabilities, designed, full, state, capacity, rate, time)


def _time(handle: int, tag: int) -> int:
    try:
        question = _QUESTION.pack(tag, _ESTIMATED_TIME, 0)
        return _number(devices.control(handle, _QUERY_INFORMATION, question, 4))
    except OSError:
        # Drivers need not tell it.
        return UNKNOWN


def _number(answer: bytes) -> int:
    return int.from_bytes(answer[:4], "little")


def power_status() -> SystemPowerStatus:
    """Read whether there is external power.

    Raises:
        OSError: It cannot be read.
    """
    found = SystemPowerStatus()
    _GetSystemPowerStatus.check(byref(found))
    return found


def system_state() -> SystemBatteryState:
    """Read all batteries together.

    Raises:
        OSError: They cannot be read.
    """
    found = SystemBatteryState()
    size = sizeof(found)
    status = _CallNtPowerInformation(_SYSTEM_BATTERY_STATE, None, 0, byref(found), size)
    if status:
        raise dll.error(status, "CallNtPowerInformation")
    return found
