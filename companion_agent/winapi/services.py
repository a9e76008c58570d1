"""Windows' service manager: services made, changed, asked and removed, and what a service does.

Sources: Microsoft's reference of winsvc.h, "Service Configuration Programs" and "Service
Program Tasks".
"""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
from ctypes import POINTER, byref, c_int, c_uint32, c_void_p, c_wchar_p
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.winapi import dll
from companion_agent.winapi.dll import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# --- Constants -------------------------------------------------------------------------------

SC_MANAGER_CONNECT = 0x1
SC_MANAGER_CREATE_SERVICE = 0x2

SERVICE_QUERY_CONFIG = 0x1
SERVICE_CHANGE_CONFIG = 0x2
SERVICE_QUERY_STATUS = 0x4
SERVICE_START = 0x10
SERVICE_STOP = 0x20
DELETE = 0x10000

SERVICE_WIN32_OWN_PROCESS = 0x10
SERVICE_AUTO_START = 2
SERVICE_DEMAND_START = 3
SERVICE_DISABLED = 4
SERVICE_ERROR_NORMAL = 1

STOPPED = 1
START_PENDING = 2
STOP_PENDING = 3
RUNNING = 4
STATES = {
    STOPPED: "stopped",
    START_PENDING: "starting",
    STOP_PENDING: "stopping",
    RUNNING: "running",
    5: "continuing",
    6: "pausing",
    7: "paused",
}

CONTROL_STOP = 0x1
CONTROL_INTERROGATE = 0x4
CONTROL_SHUTDOWN = 0x5
CONTROL_POWEREVENT = 0xD
CONTROL_SESSIONCHANGE = 0xE
CONTROL_PRESHUTDOWN = 0xF

ACCEPT_STOP = 0x1
ACCEPT_SHUTDOWN = 0x4
ACCEPT_POWEREVENT = 0x40
ACCEPT_SESSIONCHANGE = 0x80
ACCEPT_PRESHUTDOWN = 0x100

SC_ACTION_RESTART = 1
SERVICE_SID_TYPE_UNRESTRICTED = 1

CONFIG_DESCRIPTION = 1
CONFIG_FAILURE_ACTIONS = 2
CONFIG_DELAYED_AUTO_START = 3
CONFIG_FAILURE_ACTIONS_FLAG = 4
CONFIG_SERVICE_SID = 5
CONFIG_REQUIRED_PRIVILEGES = 6
CONFIG_PRESHUTDOWN = 7

ERROR_ACCESS_DENIED = 5
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_INSUFFICIENT_BUFFER = 122
ERROR_INVALID_LEVEL = 124
ERROR_SERVICE_REQUEST_TIMEOUT = 1053
ERROR_SERVICE_ALREADY_RUNNING = 1056
ERROR_SERVICE_DOES_NOT_EXIST = 1060
ERROR_SERVICE_CANNOT_ACCEPT_CONTROL = 1061
ERROR_SERVICE_NOT_ACTIVE = 1062
ERROR_FAILED_SERVICE_CONTROLLER_CONNECT = 1063
ERROR_SERVICE_SPECIFIC = 1066
ERROR_SERVICE_MARKED_FOR_DELETE = 1072

# --- Structures ------------------------------------------------------------------------------


class Status(ctypes.Structure):
    """SERVICE_STATUS."""

    _fields_ = (
        ("type", c_uint32),
        ("state", c_uint32),
        ("accepted", c_uint32),
        ("exit_code", c_uint32),
        ("specific_exit_code", c_uint32),
        ("check_point", c_uint32),
        ("wait_hint", c_uint32),
    )


class StatusProcess(ctypes.Structure):
    """SERVICE_STATUS_PROCESS."""

    _fields_ = (*Status._fields_, ("pid", c_uint32), ("flags", c_uint32))


class TableEntry(ctypes.Structure):
    """SERVICE_TABLE_ENTRYW."""

    _fields_ = (("name", c_wchar_p), ("main", c_void_p))


class QueriedConfig(ctypes.Structure):
    """QUERY_SERVICE_CONFIGW."""

    _fields_ = (
        ("type", c_uint32),
        ("start", c_uint32),
        ("error_control", c_uint32),
        ("path", c_wchar_p),
        ("load_order_group", c_wchar_p),
        ("tag", c_uint32),
        ("dependencies", c_void_p),
        ("account", c_wchar_p),
        ("display_name", c_wchar_p),
    )


class Description(ctypes.Structure):
    """SERVICE_DESCRIPTIONW."""

    _fields_ = (("text", c_wchar_p),)


class Action(ctypes.Structure):
    """SC_ACTION; the delay in milliseconds."""

    _fields_ = (("type", c_uint32), ("delay", c_uint32))


class FailureActions(ctypes.Structure):
    """SERVICE_FAILURE_ACTIONSW; the reset period in seconds."""

    _fields_ = (
        ("reset_period", c_uint32),
        ("reboot_message", c_wchar_p),
        ("command", c_wchar_p),
        ("count", c_uint32),
        ("actions", POINTER(Action)),
    )


class Switch(ctypes.Structure):
    """A BOOL: SERVICE_DELAYED_AUTO_START_INFO and SERVICE_FAILURE_ACTIONS_FLAG."""

    _fields_ = (("on", c_int),)


class Number(ctypes.Structure):
    """A DWORD: SERVICE_SID_INFO, and SERVICE_PRESHUTDOWN_INFO in milliseconds."""

    _fields_ = (("value", c_uint32),)


class RequiredPrivileges(ctypes.Structure):
    """SERVICE_REQUIRED_PRIVILEGES_INFOW: texts that end with a zero each, and one more zero."""

    _fields_ = (("names", c_void_p),)


# --- Functions -------------------------------------------------------------------------------

ServiceMain = dll.callback(None, c_uint32, c_void_p)
"""LPSERVICE_MAIN_FUNCTIONW."""
Handler = dll.callback(c_uint32, c_uint32, c_uint32, c_void_p, c_void_p)
"""LPHANDLER_FUNCTION_EX."""

OpenSCManager = Function("advapi32", "OpenSCManagerW", c_void_p, c_wchar_p, c_wchar_p, c_uint32)
OpenService = Function("advapi32", "OpenServiceW", c_void_p, c_void_p, c_wchar_p, c_uint32)
CloseServiceHandle = Function("advapi32", "CloseServiceHandle", c_int, c_void_p)
CreateService = Function(
    "advapi32", "CreateServiceW", c_void_p,
    c_void_p, c_wchar_p, c_wchar_p, c_uint32, c_uint32, c_uint32, c_uint32, c_wchar_p,
    c_wchar_p, c_void_p, c_wchar_p, c_wchar_p, c_wchar_p,
)  # fmt: skip
ChangeServiceConfig = Function(
    "advapi32", "ChangeServiceConfigW", c_int,
    c_void_p, c_uint32, c_uint32, c_uint32, c_wchar_p,
    c_wchar_p, c_void_p, c_wchar_p, c_wchar_p, c_wchar_p, c_wchar_p,
)  # fmt: skip
ChangeServiceConfig2 = Function(
    "advapi32", "ChangeServiceConfig2W", c_int, c_void_p, c_uint32, c_void_p
)
QueryServiceConfig = Function(
    "advapi32", "QueryServiceConfigW", c_int, c_void_p, c_void_p, c_uint32, POINTER(c_uint32)
)
QueryServiceStatusEx = Function(
    "advapi32", "QueryServiceStatusEx", c_int,
    c_void_p, c_int, POINTER(StatusProcess), c_uint32, POINTER(c_uint32),
)  # fmt: skip
StartService = Function("advapi32", "StartServiceW", c_int, c_void_p, c_uint32, c_void_p)
ControlService = Function("advapi32", "ControlService", c_int, c_void_p, c_uint32, POINTER(Status))
DeleteService = Function("advapi32", "DeleteService", c_int, c_void_p)
StartServiceCtrlDispatcher = Function(
    "advapi32", "StartServiceCtrlDispatcherW", c_int, POINTER(TableEntry)
)
RegisterServiceCtrlHandlerEx = Function(
    "advapi32", "RegisterServiceCtrlHandlerExW", c_void_p, c_wchar_p, Handler, c_void_p
)
SetServiceStatus = Function("advapi32", "SetServiceStatus", c_int, c_void_p, POINTER(Status))

# --- Looking after services ------------------------------------------------------------------


class Config(NamedTuple):
    """How a service is set up.

    Attributes:
        path: Its command line (`ImagePath`).
        account: What it runs as.
        start: `SERVICE_AUTO_START` and others.
        display_name: What people call it.
    """

    path: str
    account: str
    start: int
    display_name: str


@contextmanager
def manager(access: int) -> Iterator[int]:
    """Open the service manager of this machine.

    Raises:
        OSError: It cannot be; 5 for what only an administrator may.
    """
    handle = OpenSCManager.check(None, None, access)
    try:
        yield handle
    finally:
        CloseServiceHandle(handle)


@contextmanager
def service(name: str, access: int) -> Iterator[int]:
    """Open a service.

    Raises:
        OSError: It cannot be; 1060 where there is none of this name.
    """
    with manager(SC_MANAGER_CONNECT) as opened:
        handle = OpenService.check(opened, name, access)
        try:
            yield handle
        finally:
            CloseServiceHandle(handle)


def create(name: str, config: Config) -> None:
    """Make a service that has a process of its own.

    Raises:
        OSError: That did not work.
    """
    with manager(SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE) as opened:
        handle = CreateService.check(
            opened, name, config.display_name, SERVICE_QUERY_STATUS, SERVICE_WIN32_OWN_PROCESS,
            config.start, SERVICE_ERROR_NORMAL, config.path, None, None, None, config.account, None,
        )  # fmt: skip
        CloseServiceHandle(handle)


def change(handle: int, config: Config) -> None:
    """Change how a service is set up.

    Raises:
        OSError: That did not work.
    """
    ChangeServiceConfig.check(
        handle, SERVICE_WIN32_OWN_PROCESS, config.start, SERVICE_ERROR_NORMAL, config.path,
        None, None, None, config.account, None, config.display_name,
    )  # fmt: skip


def config_of(handle: int) -> Config:
    """Return how a service is set up.

    Raises:
        OSError: It cannot be read.
    """
    needed = c_uint32()
    if not QueryServiceConfig(handle, None, 0, byref(needed)):
        code = dll.system.last_error()
        if code != ERROR_INSUFFICIENT_BUFFER:
            raise dll.error(code, "QueryServiceConfigW")
    buffer = ctypes.create_string_buffer(max(needed.value, ctypes.sizeof(QueriedConfig)))
    QueryServiceConfig.check(handle, buffer, len(buffer), byref(needed))
    found = QueriedConfig.from_buffer(buffer)
    return Config(found.path or "", found.account or "", found.start, found.display_name or "")


def set_more(handle: int, level: int, info: ctypes.Structure) -> None:
    """Change one of the things that `ChangeServiceConfig2` knows.

    Raises:
        OSError: That did not work.
    """
    ChangeServiceConfig2.check(handle, level, byref(info))


def restarts(delays: Sequence[float], reset_period: int) -> FailureActions:
    """Return the recovery that restarts a service.

    Args:
        delays: Seconds before the first restart, the second and every later one.
        reset_period: Seconds without a failure after which the next one is the first again.
    """
    actions = (Action * len(delays))(
        *(Action(SC_ACTION_RESTART, round(delay * 1000)) for delay in delays)
    )
    return FailureActions(reset_period, None, None, len(delays), actions)


def required_privileges(names: Sequence[str]) -> tuple[RequiredPrivileges, object]:
    """Return the structure, and the texts that it points to, which have to outlive it."""
    texts = ctypes.create_unicode_buffer("\0".join(names) + "\0")
    return RequiredPrivileges(ctypes.addressof(texts)), texts


def status_of(handle: int) -> StatusProcess:
    """Return how a service is.

    Raises:
        OSError: It cannot be asked.
    """
    found, needed = StatusProcess(), c_uint32()
    QueryServiceStatusEx.check(handle, 0, byref(found), ctypes.sizeof(found), byref(needed))
    return found


def start(handle: int) -> None:
    """Start a service; it may take its time to run.

    Raises:
        OSError: It does not start.
    """
    StartService.check(handle, 0, None)


def stop(handle: int) -> None:
    """Ask a service to stop.

    Raises:
        OSError: That did not work; 1062 where it does not run.
    """
    ControlService.check(handle, CONTROL_STOP, byref(Status()))


# --- Being a service -------------------------------------------------------------------------


def dispatch(name: str, main: Callable[..., Any]) -> None:
    """Have Windows call `main` (a `ServiceMain`), and come back when the service has stopped.

    Raises:
        OSError: That did not work; 1063 where the service manager did not start this process.
    """
    table = (TableEntry * 2)(TableEntry(name, ctypes.cast(main, c_void_p)), TableEntry(None, None))  # type: ignore[arg-type]
    StartServiceCtrlDispatcher.check(table)


def bytes_at(address: int | None, size: int) -> bytes:
    """Return what lies at an address that Windows gave."""
    return ctypes.string_at(address, size) if address else b""
