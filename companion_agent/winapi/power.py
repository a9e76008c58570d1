"""Sleep, shutdown and what a machine can of it.

Sources: Microsoft's reference of powrprof.h (`GetPwrCapabilities`, `SetSuspendState`), winnt.h
(`SYSTEM_POWER_CAPABILITIES`), winreg.h (`InitiateSystemShutdownExW`, `AbortSystemShutdownW`),
winuser.h (`WM_POWERBROADCAST`, `LockWorkStation`).
"""

from __future__ import annotations

from ctypes import POINTER, Structure, byref, c_int, c_ubyte, c_uint32, c_wchar_p

from companion_agent.winapi.dll import Function

# What WM_POWERBROADCAST and SERVICE_CONTROL_POWEREVENT say.
APM_SUSPEND = 0x4
APM_RESUME_CRITICAL = 0x6
APM_RESUME_SUSPEND = 0x7
APM_POWER_STATUS_CHANGE = 0xA
APM_RESUME_AUTOMATIC = 0x12

# Errors of the functions here, winerror.h.
SHUTDOWN_IN_PROGRESS = 1115
NO_SHUTDOWN_IN_PROGRESS = 1116
SHUTDOWN_IS_SCHEDULED = 1190
SHUTDOWN_USERS_LOGGED_ON = 1191
MACHINE_LOCKED = 1271

# SHTDN_REASON_MAJOR_OTHER and _MINOR_OTHER are 0; the flag says that it was planned, so that
# Windows asks no user for a reason afterwards.
REASON_PLANNED = 0x8000_0000


class PowerCapabilities(Structure):
    """SYSTEM_POWER_CAPABILITIES.

    Attributes:
        s1: It can sleep as S1; so can the next two.
        s4: It can hibernate, if there is a file for it.
        hibernation_file: There is.
        always_on: Its sleep is modern standby: with the screen off it sleeps by itself.
    """

    _fields_ = (
        ("power_button", c_ubyte),
        ("sleep_button", c_ubyte),
        ("lid", c_ubyte),
        ("s1", c_ubyte),
        ("s2", c_ubyte),
        ("s3", c_ubyte),
        ("s4", c_ubyte),
        ("s5", c_ubyte),
        ("hibernation_file", c_ubyte),
        ("full_wake", c_ubyte),
        ("video_dim", c_ubyte),
        ("apm", c_ubyte),
        ("ups", c_ubyte),
        ("thermal_control", c_ubyte),
        ("processor_throttle", c_ubyte),
        ("processor_throttle_minimum", c_ubyte),
        ("processor_throttle_maximum", c_ubyte),
        ("fast_s4", c_ubyte),
        ("hiberboot", c_ubyte),
        ("wake_alarm", c_ubyte),
        ("always_on", c_ubyte),
        ("disk_spin_down", c_ubyte),
        ("hibernation_file_type", c_ubyte),
        ("always_on_connected", c_ubyte),
        ("reserved", c_ubyte * 6),
        ("batteries", c_ubyte),
        ("batteries_short_term", c_ubyte),
        ("battery_scale", c_uint32 * 6),
        ("wake_states", c_uint32 * 5),
    )


_GetPwrCapabilities = Function(
    "powrprof", "GetPwrCapabilities", c_ubyte, POINTER(PowerCapabilities)
)
_SetSuspendState = Function("powrprof", "SetSuspendState", c_ubyte, c_ubyte, c_ubyte, c_ubyte)
_InitiateSystemShutdown = Function(
    "advapi32",
    "InitiateSystemShutdownExW",
    c_int,
    c_wchar_p,
    c_wchar_p,
    c_uint32,
    c_int,
    c_int,
    c_uint32,
)
_AbortSystemShutdown = Function("advapi32", "AbortSystemShutdownW", c_int, c_wchar_p)
_LockWorkStation = Function("user32", "LockWorkStation", c_int)

_THIS_MACHINE = None


def capabilities() -> PowerCapabilities:
    """Read what this machine can.

    Raises:
        OSError: It cannot be read.
    """
    found = PowerCapabilities()
    _GetPwrCapabilities.check(byref(found))
    return found


def suspend(*, hibernate: bool) -> None:
    """Sleep or hibernate, and return when the machine is awake again.

    Raises:
        OSError: Windows refused it.
    """
    _SetSuspendState.check(hibernate, False, False)


def initiate_shutdown(message: str, delay: int, *, force: bool, reboot: bool) -> None:
    """Begin to shut down, without Windows' fast startup; return when that is accepted.

    Args:
        message: What users read meanwhile.
        delay: Seconds until then; users see the message only where it is not 0.
        force: Close programs that have something unsaved, or do not answer.
        reboot: Start again.

    Raises:
        OSError: Windows refused it, or one has begun already.
    """
    _InitiateSystemShutdown.check(_THIS_MACHINE, message, delay, force, reboot, REASON_PLANNED)


def abort_shutdown() -> None:
    """Call off a shutdown whose delay has not passed.

    Raises:
        OSError: There is none, or it was refused.
    """
    _AbortSystemShutdown.check(_THIS_MACHINE)


def lock_workstation() -> None:
    """Have the session of this process locked; return when that was begun.

    Raises:
        OSError: It was refused; in the session of services always.
    """
    _LockWorkStation.check()
