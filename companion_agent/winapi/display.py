"""Monitors: which there are, whether they are on, and how bright they are.

Sources: Microsoft's reference of winuser.h (`EnumDisplayMonitors`, `GetMonitorInfoW`,
`EnumDisplayDevicesW`, `RegisterPowerSettingNotification`, `WM_SYSCOMMAND`), winnt.h ("Power Setting
GUIDs"), physicalmonitorenumerationapi.h and highlevelmonitorconfigurationapi.h (DDC/CI), and of
ntddvdeo.h ("Backlight Control Interface").
"""

from __future__ import annotations

from contextlib import contextmanager
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_int,
    c_int32,
    c_ssize_t,
    c_ubyte,
    c_uint32,
    c_void_p,
    c_wchar,
    c_wchar_p,
    cast,
    sizeof,
)
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

# Power settings; what they are set to is a number of 32 bits.
CONSOLE_DISPLAY_STATE = UUID("6fe69556-704a-47a0-8f24-c28d936fda47")
"""Of the machine's screen: `DISPLAY_OFF`, on, or dimmed before it is switched off."""
MONITOR_BRIGHTNESS = UUID("8ffee2c6-2d01-46be-adb9-398addc5b4ff")
"""Of the built-in screen, in percent."""
DISPLAY_OFF = 0

POWER_SETTING_CHANGE = 0x8013
"""First parameter of WM_POWERBROADCAST; the second is the address for `power_setting()`."""

MONITOR_POWER = 0xF170
"""SC_MONITORPOWER, the first parameter of WM_SYSCOMMAND."""
MONITOR_ON, MONITOR_OFF = -1, 2

_MONITOR_LIST = dll.callback(c_int, c_void_p, c_void_p, c_void_p, c_ssize_t)
_REMOTE_SESSION = 0x1000
_DISPLAY_REQUIRED = 0x2
_OPEN_EXISTING = 3
_READ_WRITE = 0xC000_0000
_SHARED = 0x3
_INVALID = c_void_p(-1).value
# IOCTL_VIDEO_QUERY_SUPPORTED_BRIGHTNESS and the next two.
_QUERY_LEVELS, _QUERY_BRIGHTNESS, _SET_BRIGHTNESS = 0x230494, 0x230498, 0x23049C
# DISPLAYPOLICY_DC and DISPLAYPOLICY_BOTH.
_BATTERY, _BOTH = 2, 3
_MOST_LEVELS = 256


class _Guid(Structure):
    """GUID."""

    _fields_ = (("data", c_ubyte * 16),)


class _PowerSetting(Structure):
    """POWERBROADCAST_SETTING of a number."""

    _fields_ = (("setting", _Guid), ("size", c_uint32), ("value", c_uint32))


class _Rectangle(Structure):
    """RECT."""

    _fields_ = (("left", c_int32), ("top", c_int32), ("right", c_int32), ("bottom", c_int32))


class _MonitorInfo(Structure):
    """MONITORINFOEXW."""

    _fields_ = (
        ("size", c_uint32),
        ("whole", _Rectangle),
        ("work", _Rectangle),
        ("flags", c_uint32),
        ("device", c_wchar * 32),
    )


class _PhysicalMonitor(Structure):
    """PHYSICAL_MONITOR, whose fields follow each other without a gap."""

    _pack_ = 1
    _fields_ = (("handle", c_void_p), ("description", c_wchar * 128))


_RegisterPowerSetting = Function(
    "user32", "RegisterPowerSettingNotification", c_void_p, c_void_p, POINTER(_Guid), c_uint32
)
_UnregisterPowerSetting = Function("user32", "UnregisterPowerSettingNotification", c_int, c_void_p)
_EnumDisplayMonitors = Function(
    "user32", "EnumDisplayMonitors", c_int, c_void_p, c_void_p, _MONITOR_LIST, c_ssize_t
)
_GetMonitorInfo = Function("user32", "GetMonitorInfoW", c_int, c_void_p, POINTER(_MonitorInfo))
_GetSystemMetrics = Function("user32", "GetSystemMetrics", c_int, c_int)
_SetThreadExecutionState = Function("kernel32", "SetThreadExecutionState", c_uint32, c_uint32)
_CountPhysical = Function(
    "dxva2", "GetNumberOfPhysicalMonitorsFromHMONITOR", c_int, c_void_p, POINTER(c_uint32)
)
_GetPhysical = Function(
    "dxva2",
    "GetPhysicalMonitorsFromHMONITOR",
    c_int,
    *(c_void_p, c_uint32, POINTER(_PhysicalMonitor)),
)
_DestroyPhysical = Function(
    "dxva2", "DestroyPhysicalMonitors", c_int, c_uint32, POINTER(_PhysicalMonitor)
)
_GetBrightness = Function(
    "dxva2",
    "GetMonitorBrightness",
    c_int,
    *(c_void_p, POINTER(c_uint32), POINTER(c_uint32), POINTER(c_uint32)),
)
_SetBrightness = Function("dxva2", "SetMonitorBrightness", c_int, c_void_p, c_uint32)
_CreateFile = Function(
    "kernel32",
    "CreateFileW",
    c_void_p,
    *(c_wchar_p, c_uint32, c_uint32, c_void_p, c_uint32, c_uint32, c_void_p),
)
_DeviceIoControl = Function(
    "kernel32",
    "DeviceIoControl",
    c_int,
    *(c_void_p, c_uint32, c_void_p, c_uint32, c_void_p, c_uint32, POINTER(c_uint32), c_void_p),
)
_CloseHandle = Function("kernel32", "CloseHandle", c_int, c_void_p)


class Monitor(NamedTuple):
    """A monitor of this session.

    Attributes:
        handle: Names it until monitors come or go.
        name: What Windows calls its place, `DISPLAY1`.
        left: Where it is on the desktop; so are the next three.
    """

    handle: int
    name: str
    left: int
    top: int
    right: int
    bottom: int


class Level(NamedTuple):
    """The brightness of a monitor, and between what it can be."""

    lowest: int
    now: int
    highest: int


# --- Power -------------------------------------------------------------------------------


def follow(window: int, setting: UUID) -> int:
    """Have a window told of a power setting, at once of what it is set to.

    Raises:
        OSError: Windows does not know it.
    """
    made: int = _RegisterPowerSetting.check(window, byref(_guid(setting)), 0)
    return made


def follow_no_more(followed: int) -> None:
    """Have it told no more."""
    _UnregisterPowerSetting(followed)


def power_setting(address: int) -> tuple[UUID, int]:
    """Return which power setting is set to what, while WM_POWERBROADCAST is handled."""
    found = cast(address, POINTER(_PowerSetting)).contents
    return UUID(bytes_le=bytes(found.setting.data)), found.value


def need_display() -> None:
    """Reset the time after which the screen is switched off."""
    _SetThreadExecutionState(_DISPLAY_REQUIRED)


def is_remote_session() -> bool:
    """Tell whether this session is shown on another computer."""
    return bool(_GetSystemMetrics(_REMOTE_SESSION))


# --- Monitors ----------------------------------------------------------------------------


def monitors() -> list[Monitor]:
    """List the monitors of this session.

    Raises:
        OSError: It has none that can be listed.
    """
    found: list[Monitor] = []

    def take(handle: int, *_: object) -> int:
        info = _MonitorInfo(size=sizeof(_MonitorInfo))
        if _GetMonitorInfo(handle, byref(info)):
            where = info.whole
            name = info.device.removeprefix("\\\\.\\")
            found.append(Monitor(handle, name, where.left, where.top, where.right, where.bottom))
        return True

    _EnumDisplayMonitors.check(None, None, _MONITOR_LIST(take), 0)
    return found


def brightness(monitor: int) -> Level:
    """Ask a monitor for its brightness by DDC/CI; that takes its cable for 40 ms and more.

    Raises:
        OSError: It does not answer.
    """
    lowest, now, highest = c_uint32(), c_uint32(), c_uint32()
    with _physical(monitor) as handle:
        _GetBrightness.check(handle, byref(lowest), byref(now), byref(highest))
    return Level(lowest.value, now.value, highest.value)


def set_brightness(monitor: int, level: int) -> None:
    """Set a monitor's brightness by DDC/CI.

    Raises:
        OSError: It does not answer.
    """
    with _physical(monitor) as handle:
        _SetBrightness.check(handle, level)


@contextmanager
def _physical(monitor: int) -> Iterator[int]:
    """Open the first of the devices behind a monitor: several show the same picture."""
    count = c_uint32()
    _CountPhysical.check(monitor, byref(count))
    found = (_PhysicalMonitor * max(count.value, 1))()
    _GetPhysical.check(monitor, len(found), found)
    try:
        yield found[0].handle
    finally:
        _DestroyPhysical(len(found), found)


# --- The built-in screen -----------------------------------------------------------------


def panel_levels() -> list[int]:
    """Return the percentages that the built-in screen can be dimmed to.

    Raises:
        OSError: There is none, or its driver does not let itself be asked.
    """
    found = (c_ubyte * _MOST_LEVELS)()
    size = _ask_panel(_QUERY_LEVELS, None, found)
    return list(bytes(found)[:size])


def panel_brightness() -> int:
    """Return the percentage that the built-in screen is at.

    Raises:
        OSError: As for `panel_levels()`.
    """
    # DISPLAY_BRIGHTNESS: which of the two counts now, that of mains, that of the battery.
    found = (c_ubyte * 3)()
    _ask_panel(_QUERY_BRIGHTNESS, None, found)
    return found[2] if found[0] == _BATTERY else found[1]


def set_panel_brightness(percent: int) -> None:
    """Dim the built-in screen, on mains and on battery.

    Raises:
        OSError: As for `panel_levels()`.
    """
    _ask_panel(_SET_BRIGHTNESS, (c_ubyte * 3)(_BOTH, percent, percent), None)


def _ask_panel(what: int, given: object, found: object) -> int:
    panel = _CreateFile(r"\\.\LCD", _READ_WRITE, _SHARED, None, _OPEN_EXISTING, 0, None)
    if panel is None or panel == _INVALID:
        raise dll.error(dll.system.last_error(), r"\\.\LCD")
    size = c_uint32()
    try:
        _DeviceIoControl.check(
            panel, what, given, _sizeof(given), found, _sizeof(found), byref(size), None
        )
    finally:
        _CloseHandle(panel)
    return size.value


def _sizeof(given: object) -> int:
    return sizeof(given) if given is not None else 0  # type: ignore[arg-type]


def _guid(setting: UUID) -> _Guid:
    return _Guid.from_buffer_copy(setting.bytes_le)
