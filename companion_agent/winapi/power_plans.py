"""Power plans, and what they say of the processor.

Sources: Microsoft's reference of powersetting.h and powrprof.h (`PowerGetActiveScheme`,
`PowerEnumerate`, `PowerReadACValueIndex`, `PowerSettingAccessCheckEx`), powerbase.h
(`CallNtPowerInformation`), winnt.h (the settings' GUIDs) and "Processor power management options"
(the values of `PERFBOOSTMODE`).
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Array,
    Structure,
    byref,
    c_int,
    c_int32,
    c_ubyte,
    c_uint32,
    c_void_p,
    create_string_buffer,
    sizeof,
)
import os
from uuid import UUID

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

# Plans that Windows brings.
BALANCED = UUID("381b4222-f694-41f0-9685-ff5bb260df2e")
HIGH_PERFORMANCE = UUID("8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c")
POWER_SAVER = UUID("a1841308-3541-4fab-bc81-f71556f20b4a")
ULTIMATE_PERFORMANCE = UUID("e9a42b02-d5df-448d-aa00-03f14749eb61")

# Settings of the processor: percent of its nominal frequency, and how it may exceed that.
MINIMUM = UUID("893dee8e-2bef-41e0-89c6-b55d0929964c")
MAXIMUM = UUID("bc5038f7-23e0-4960-96da-33abaf5935ec")
BOOST_MODE = UUID("be337238-0d82-4146-a960-4f3749d470c7")

BOOST_OFF = 0
BOOST_AGGRESSIVE = 2
"""What Windows sets where a plan does not say otherwise."""

ACCESS_DENIED = 5
DISABLED_BY_POLICY = 1260

_PROCESSOR = UUID("54533251-82be-4824-96c1-47b60b740d00")
_NO_MORE_ITEMS = 259
_ACCESS_SCHEME = 16
_ACCESS_AC_INDEX = 0
_ACCESS_ACTIVE_SCHEME = 19
_KEY_WRITE = 0x20006
_LONGEST_NAME = 1024
_PROCESSOR_INFORMATION = 11

_Guid = c_ubyte * 16
_NO_ROOT = None


class _ProcessorInformation(Structure):
    """PROCESSOR_POWER_INFORMATION."""

    _fields_ = (
        ("number", c_uint32),
        ("maximum", c_uint32),
        ("current", c_uint32),
        ("limit", c_uint32),
        ("deepest_idle", c_uint32),
        ("idle", c_uint32),
    )


_GetActiveScheme = Function(
    "powrprof", "PowerGetActiveScheme", c_uint32, c_void_p, POINTER(c_void_p)
)
_SetActiveScheme = Function("powrprof", "PowerSetActiveScheme", c_uint32, c_void_p, POINTER(_Guid))
_Enumerate = Function(
    "powrprof",
    "PowerEnumerate",
    c_uint32,
    *(c_void_p, c_void_p, c_void_p, c_int, c_uint32, c_void_p, POINTER(c_uint32)),
)
_ReadFriendlyName = Function(
    "powrprof",
    "PowerReadFriendlyName",
    c_uint32,
    *(c_void_p, POINTER(_Guid), c_void_p, c_void_p, c_void_p, POINTER(c_uint32)),
)
_SETTING = (c_void_p, POINTER(_Guid), POINTER(_Guid), POINTER(_Guid))
_READ = {
    True: Function("powrprof", "PowerReadACValueIndex", c_uint32, *_SETTING, POINTER(c_uint32)),
    False: Function("powrprof", "PowerReadDCValueIndex", c_uint32, *_SETTING, POINTER(c_uint32)),
}
_WRITE = {
    True: Function("powrprof", "PowerWriteACValueIndex", c_uint32, *_SETTING, c_uint32),
    False: Function("powrprof", "PowerWriteDCValueIndex", c_uint32, *_SETTING, c_uint32),
}
_AccessCheck = Function(
    "powrprof", "PowerSettingAccessCheckEx", c_uint32, c_int, c_void_p, c_uint32
)
_LocalFree = Function("kernel32", "LocalFree", c_void_p, c_void_p)
_CallNtPowerInformation = Function(
    "powrprof",
    "CallNtPowerInformation",
    c_int32,
    *(c_int, c_void_p, c_uint32, c_void_p, c_uint32),
)


def active() -> UUID:
    """Return the plan that is active.

    Raises:
        OSError: It cannot be read.
    """
    found = c_void_p()
    _check(_GetActiveScheme(_NO_ROOT, byref(found)), "PowerGetActiveScheme")
    try:
        return UUID(bytes_le=bytes(_Guid.from_address(found.value or 0)))
    finally:
        _LocalFree(found)


def activate(plan: UUID) -> None:
    """Make a plan the active one, or have the active one take what was written to it.

    Raises:
        OSError: It was refused, or there is no such plan.
    """
    _check(_SetActiveScheme(_NO_ROOT, byref(_guid(plan))), "PowerSetActiveScheme")


def plans() -> list[UUID]:
    """List the plans.

    Raises:
        OSError: They cannot be listed.
    """
    found: list[UUID] = []
    while True:
        guid, size = _Guid(), c_uint32(sizeof(_Guid))
        code = _Enumerate(
            _NO_ROOT, None, None, _ACCESS_SCHEME, len(found), byref(guid), byref(size)
        )
        if code == _NO_MORE_ITEMS:
            return found
        _check(code, "PowerEnumerate")
        found.append(UUID(bytes_le=bytes(guid)))


def name(plan: UUID) -> str:
    """Return what a plan is called, in the language of Windows.

    Raises:
        OSError: It cannot be read.
    """
    text, size = create_string_buffer(_LONGEST_NAME), c_uint32(_LONGEST_NAME)
    code = _ReadFriendlyName(_NO_ROOT, byref(_guid(plan)), None, None, byref(text), byref(size))
    _check(code, "PowerReadFriendlyName")
    return text.raw[: size.value].decode("utf-16-le", "replace").partition("\0")[0]


def read(plan: UUID, setting: UUID, *, plugged: bool) -> int:
    """Return what a plan says of the processor.

    Args:
        plan: The plan.
        setting: `MINIMUM`, `MAXIMUM` or `BOOST_MODE`.
        plugged: Whether that with external power is meant, or that on the battery.

    Raises:
        OSError: It does not say it.
    """
    value = c_uint32()
    function = _READ[plugged]
    _check(function(_NO_ROOT, *_place(plan, setting), byref(value)), function.name)
    return value.value


def write(plan: UUID, setting: UUID, value: int, *, plugged: bool) -> None:
    """Have a plan say something else of the processor; it counts from the next `activate()` on.

    Raises:
        OSError: It was refused.
    """
    function = _WRITE[plugged]
    _check(function(_NO_ROOT, *_place(plan, setting), value), function.name)


def refusal(setting: UUID | None = None) -> int:
    """Return the error that writing a setting, or choosing a plan, would end in; 0 for none.

    Raises:
        OSError: Windows does not tell.
    """
    access = _ACCESS_ACTIVE_SCHEME if setting is None else _ACCESS_AC_INDEX
    guid = None if setting is None else byref(_guid(setting))
    return int(_AccessCheck(access, guid, _KEY_WRITE))


def nominal_frequency() -> int:
    """Return the frequency of the processor that is 100 %, in MHz.

    Raises:
        OSError: It cannot be read.
    """
    found = (_ProcessorInformation * (os.cpu_count() or 1))()
    size = sizeof(found)
    status = _CallNtPowerInformation(_PROCESSOR_INFORMATION, None, 0, byref(found), size)
    _check(status, "CallNtPowerInformation")
    return max(int(one.maximum) for one in found)


def _guid(value: UUID) -> Array[c_ubyte]:
    return _Guid(*value.bytes_le)


def _place(plan: UUID, setting: UUID) -> tuple[object, ...]:
    return tuple(byref(_guid(one)) for one in (plan, _PROCESSOR, setting))


def _check(code: int, what: str) -> None:
    if code:
        raise dll.error(code, what)
