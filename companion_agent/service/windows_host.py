"""This process as a service of Windows.

Windows' dispatcher has a thread of its own, and the agent the main one, which alone gets signals.
The service manager sees one service from its start to its end, whichever version of the agent
runs meanwhile. Source: Microsoft's "Service Program Tasks".
"""

from __future__ import annotations

from ctypes import byref
from functools import partial
import math
import threading
from typing import TYPE_CHECKING

from companion_agent.platforms.windows.service_controls import ServiceControl, ServiceControls
from companion_agent.winapi import services

if TYPE_CHECKING:
    from collections.abc import Callable

# What the service manager is told that a step takes at most, in seconds.
_START_LIMIT = 60
_STOP_LIMIT = 25
# How long Windows waits for an agent that says good-bye. Before sleep it gives services and
# programs about two seconds together; before shutdown ten (PRESHUTDOWN, since Windows 10 1703).
_SUSPEND_LIMIT = 1.8
_PRESHUTDOWN_LIMIT = 5.0

_SUSPEND = 0x4  # PBT_APMSUSPEND
_SETTING_CHANGE = 0x8013  # PBT_POWERSETTINGCHANGE
_SETTING_HEAD = 20  # POWERBROADCAST_SETTING: a GUID, and how many bytes follow
_SESSION_NOTIFICATION = 8  # WTSSESSION_NOTIFICATION

_ACCEPTED = (
    services.ACCEPT_STOP
    | services.ACCEPT_SHUTDOWN
    | services.ACCEPT_PRESHUTDOWN
    | services.ACCEPT_POWEREVENT
    | services.ACCEPT_SESSIONCHANGE
)
# A configuration with mistakes is not better after a restart, so that end is no failure to
# Windows, whose recovery would start the agent again.
BAD_CONFIGURATION = 2


class ServiceHost:
    """The service, seen from inside; also the `Channel` by which the agent says how it is.

    Args:
        name: The service's name.
        end: Asks the agent to end; safe from any thread.
        controls: Who follows the machine's sleep, shutdown and sessions.
    """

    limit = math.inf

    def __init__(self, name: str, end: Callable[[], None], controls: ServiceControls) -> None:
        self._name = name
        self._end = end
        self._controls = controls
        self._status = services.Status(services.SERVICE_WIN32_OWN_PROCESS)
        self._handle: int | None = None
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._over = threading.Event()
        self._trouble: OSError | None = None
        # Windows keeps calling them: they must live as long as this.
        self._main = services.ServiceMain(self._begin)
        self._handler = services.Handler(self._handle_control)

    def run(self, work: Callable[[], int]) -> int:
        """Do the service's work in this thread; return its exit code.

        Args:
            work: What the service is for; returns an exit code.

        Raises:
            OSError: This is no service: 1063 where something else than Windows' service manager
                started this process.
        """
        dispatcher = threading.Thread(target=self._dispatch, name="service", daemon=True)
        dispatcher.start()
        self._known.wait()
        if self._trouble:
            raise self._trouble
        self._controls.from_windows = True
        code = 1
        try:
            code = work()
        finally:
            self._stopped(code)
            dispatcher.join(_STOP_LIMIT)
        return code

    # --- What the agent says -------------------------------------------------------------

    def send(self, message: str) -> None:
        """Tell Windows that the agent is ready, or about to end."""
        if message == "READY=1" and self._status.state == services.START_PENDING:
            self._report(services.RUNNING)
        elif message == "STOPPING=1":
            self._report(services.STOP_PENDING, _STOP_LIMIT)

    # --- In Windows' threads -------------------------------------------------------------

    def _dispatch(self) -> None:
        try:
            services.dispatch(self._name, self._main)
        except OSError as error:
            self._trouble = error
        finally:
            self._known.set()

    def _begin(self, _count: int, _arguments: int | None) -> None:
        self._handle = services.RegisterServiceCtrlHandlerEx(self._name, self._handler, None)
        self._report(services.START_PENDING, _START_LIMIT)
        self._known.set()
        self._over.wait()

    def _handle_control(
        self, control: int, event_type: int, data: int | None, _context: int | None
    ) -> int:
        match control:
            case services.CONTROL_STOP | services.CONTROL_SHUTDOWN:
                self._report(services.STOP_PENDING, _STOP_LIMIT)
                self._end()
            case services.CONTROL_PRESHUTDOWN:
                self._report(services.STOP_PENDING, _STOP_LIMIT)
                farewell = partial(self._say_farewell, ServiceControl(control))
                threading.Thread(target=farewell, name="shutdown", daemon=True).start()
            case services.CONTROL_POWEREVENT:
                content = _power_data(data) if event_type == _SETTING_CHANGE else b""
                held = event_type == _SUSPEND
                self._controls.put(ServiceControl(control, event_type, content), hold=held)
                if held:
                    self._controls.wait(_SUSPEND_LIMIT)
            case services.CONTROL_SESSIONCHANGE:
                content = services.bytes_at(data, _SESSION_NOTIFICATION)
                self._controls.put(ServiceControl(control, event_type, content))
            case services.CONTROL_INTERROGATE:
                pass
            case _:
                return services.ERROR_CALL_NOT_IMPLEMENTED
        return 0

    def _say_farewell(self, control: ServiceControl) -> None:
        self._controls.put(control, hold=True)
        self._controls.wait(_PRESHUTDOWN_LIMIT)
        self._end()

    # --- What Windows is told ------------------------------------------------------------

    def _report(self, state: int, within: float = 0) -> None:
        with self._lock:
            status = self._status
            if status.state in {services.STOP_PENDING, services.STOPPED} and state in {
                services.START_PENDING,
                services.RUNNING,
            }:
                # An agent that was asked to end while it started.
                return
            pending = state in {services.START_PENDING, services.STOP_PENDING}
            status.check_point = status.check_point + 1 if pending else 0
            status.state = state
            status.accepted = _ACCEPTED if state == services.RUNNING else 0
            if state == services.START_PENDING:
                # One that hangs while it starts can be stopped.
                status.accepted = services.ACCEPT_STOP
            status.wait_hint = round(within * 1000)
            services.SetServiceStatus(self._handle, byref(status))

    def _stopped(self, code: int) -> None:
        if code not in {0, BAD_CONFIGURATION}:
            self._status.exit_code = services.ERROR_SERVICE_SPECIFIC
            self._status.specific_exit_code = code & 0xFFFFFFFF
        self._report(services.STOPPED)
        self._over.set()


def _power_data(address: int | None) -> bytes:
    head = services.bytes_at(address, _SETTING_HEAD)
    size = int.from_bytes(head[16:20], "little")
    # Settings are a DWORD, or little more.
    return services.bytes_at(address, _SETTING_HEAD + min(size, 4096))
