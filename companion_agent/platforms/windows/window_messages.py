"""The messages of an invisible window, handed on as the controls that a service would get.

For an agent that runs in a user's session, from a console or at its start.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    PRESHUTDOWN,
    SESSION_CHANGE,
    ServiceControl,
)
from companion_agent.winapi import console, message_window, power, wts
from companion_agent.winapi.message_window import (
    ENDSESSION_LOGOFF,
    WM_ENDSESSION,
    WM_POWERBROADCAST,
    WM_QUERYENDSESSION,
    WM_WTSSESSION_CHANGE,
)

if TYPE_CHECKING:
    from companion_agent.platforms.windows.service_controls import ServiceControls

_LOGGER = logging.getLogger(__name__)

WINDOW = "Pilot agent"
"""What the window is called."""

# Windows waits two seconds before sleep, and five before it ends a program that does not answer.
_SLEEP_WAITS = 1.8
_END_WAITS = 4.0
_YES = 1
# WTSSESSION_NOTIFICATION is two numbers of four bytes, its own size the first.
_NOTIFICATION_SIZE = 8


class WindowMessages:
    """Puts what Windows tells a window, and the console, among the controls.

    Args:
        controls: Where they go.

    Attributes:
        opened: Set when the window is there, or cannot be.
    """

    def __init__(self, controls: ServiceControls) -> None:
        self.opened = threading.Event()
        self._controls = controls
        self._window = 0
        self._closed = False
        self._console = console.Handler(self._hear_console)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._console.add()
        threading.Thread(target=self._run, name="window messages", daemon=True).start()

    def close(self) -> None:
        """Hand on no more."""
        self._closed = True
        self._console.remove()
        if self._window:
            message_window.close(self._window)

    def _run(self) -> None:
        try:
            message_window.run(WINDOW, self._hear, self._take_window)
        except OSError as error:
            _LOGGER.warning("Sleep, shutdown and sessions are not noticed: %s", error)
        finally:
            self.opened.set()

    def _take_window(self, window: int) -> None:
        self._window = window
        for whose in (wts.NOTIFY_FOR_ALL_SESSIONS, wts.NOTIFY_FOR_THIS_SESSION):
            if wts.WTSRegisterSessionNotification(window, whose):
                break
        else:
            _LOGGER.info("Sessions are only looked at now and then: Windows does not tell of them")
        self.opened.set()
        if self._closed:
            message_window.close(window)

    def _hear(self, message: int, first: int, second: int) -> int | None:
        if message == WM_POWERBROADCAST:
            suspends = first == power.APM_SUSPEND
            self._put(ServiceControl(POWER_EVENT, first), _SLEEP_WAITS if suspends else 0)
            return _YES
        if message == WM_WTSSESSION_CHANGE:
            data = _NOTIFICATION_SIZE.to_bytes(4, "little") + second.to_bytes(4, "little")
            self._put(ServiceControl(SESSION_CHANGE, first, data))
            return 0
        if message == WM_QUERYENDSESSION:
            return _YES
        if message == WM_ENDSESSION:
            if first and second & ENDSESSION_LOGOFF:
                self._end()
            elif first:
                self._put(ServiceControl(PRESHUTDOWN), _END_WAITS)
            return 0
        return None

    def _hear_console(self, event: int) -> bool:
        if event != console.CLOSE:
            return False
        self._end()
        return True

    def _put(self, control: ServiceControl, hold: float = 0) -> None:
        self._controls.put(control, hold=bool(hold))
        if hold:
            self._controls.wait(hold)

    @staticmethod
    def _end() -> None:
        """Have this process end in order, before Windows ends it: what returns from here is ended.

        The machine goes on, so that this is no shutdown.
        """
        signal.raise_signal(signal.SIGTERM)
        threading.main_thread().join(_END_WAITS)
