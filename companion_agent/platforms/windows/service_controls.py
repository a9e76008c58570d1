"""What Windows tells the service, on its way from the service's handler to those who follow it.

The handler runs in a thread of Windows' (`HandlerEx`), or in the process that supervises this one;
the agent lives in its event loop. Source: Microsoft's reference of `LPHANDLER_FUNCTION_EX`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

STOP = 0x1
SHUTDOWN = 0x5
POWER_EVENT = 0xD
SESSION_CHANGE = 0xE
PRESHUTDOWN = 0xF


class ServiceControl(NamedTuple):
    """A control as the service's handler got it.

    Attributes:
        control: `SERVICE_CONTROL_*`.
        event_type: `PBT_*` of a power event, `WTS_*` of a session's change, else 0.
        data: What `lpEventData` points to: of a power event with a setting the
            `POWERBROADCAST_SETTING` with its data, of a session's change the
            `WTSSESSION_NOTIFICATION` (size and session, two DWORDs); else empty.
    """

    control: int
    event_type: int = 0
    data: bytes = b""


class ServiceControls:
    """Controls that wait for who follows them; safe from any thread."""

    def __init__(self) -> None:
        self._waiting: list[ServiceControl] = []
        self._wake: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._let_go = threading.Event()
        self._let_go.set()
        self.from_windows = False
        """Whether this process is the service, or a child of it: controls come at all."""

    def put(self, control: ServiceControl, *, hold: bool = False) -> None:
        """Hand one on; without a follower it is dropped.

        Args:
            control: What Windows said.
            hold: Whether Windows waits until `let_go()`, as before sleep and shutdown.
        """
        with self._lock:
            wake = self._wake
            if wake is None:
                return
            self._waiting.append(control)
            if hold:
                self._let_go.clear()
        wake()

    def wait(self, limit: float) -> bool:
        """Wait until what is held is let go; return whether it was, within these seconds."""
        return self._let_go.wait(limit)

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Follow them from now on; `wake` is called, in any thread, when `take()` has some."""
        with self._lock:
            self._wake = wake

    def take(self) -> list[ServiceControl]:
        """Return those that came since the last call, in order."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def let_go(self) -> None:
        """Let Windows sleep or shut down; nothing where it does not wait."""
        self._let_go.set()

    def unsubscribe(self) -> None:
        """Follow them no more, and hold up nothing."""
        with self._lock:
            self._wake = None
            self._waiting.clear()
        self._let_go.set()


controls = ServiceControls()
"""Those of this process."""
