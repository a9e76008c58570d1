"""A release's end of the line to its supervisor on Windows (`windows_supervisor.py`).

The line is standard input and output, since these alone reach a process however it is started.
Nothing else of the release is to read or write there.
"""

from __future__ import annotations

from contextlib import suppress
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from companion_agent import logs
from companion_agent.platforms.windows.service_controls import ServiceControl, controls
from companion_agent.service.event_log import EventLogHandler
from companion_agent.service.sd_notify import Notifier
from companion_agent.signals import end_request
from companion_agent.winapi.event_log import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.windows.service_controls import ServiceControls
    from companion_agent.signals import EndRequest

LET_GO = "LET_GO=1"
"""What a release says when Windows may sleep or shut down."""
_LOGGER = logging.getLogger(__name__)
# Longer than the supervisor's own process holds Windows up.
_HOLD_LIMIT = 5.0


class Line:
    """The line to the supervisor; a `Channel` by which the agent says how it is.

    Args:
        heard: The descriptor that the supervisor's words are read from.
        said: The descriptor that this release's are written to.
        limit: Seconds after which the supervisor takes silence for death.
        ends: Asks this process to end.
        followers: Who follows Windows' controls.
    """

    def __init__(
        self,
        heard: int,
        said: int,
        limit: float,
        ends: EndRequest = end_request,
        followers: ServiceControls = controls,
    ) -> None:
        self.limit = limit
        self._heard = heard
        self._said = said
        self._ends = ends
        self._followers = followers

    def send(self, message: str) -> None:
        """Tell the supervisor.

        Raises:
            OSError: It has gone.
        """
        os.write(self._said, f"{message}\n".encode("utf-8", "replace"))

    def listen(self) -> None:
        """Take what the supervisor says, until it hangs up: then this process is to end."""
        rest = b""
        # Not by a file: one that a thread reads from cannot be closed at the end.
        while data := self._read():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                with suppress(ValueError, TypeError, KeyError):
                    self._take(json.loads(line))
        self._ends.ask()

    def _read(self) -> bytes:
        try:
            return os.read(self._heard, 4096)
        except OSError:
            return b""

    def _take(self, told: Mapping[str, Any]) -> None:
        control = ServiceControl(
            int(told["control"]), int(told["event_type"]), bytes.fromhex(told["data"])
        )
        held = told["hold"] is True
        self._followers.put(control, hold=held)
        if held:
            self._followers.wait(_HOLD_LIMIT)
            with suppress(OSError):
                self.send(LET_GO)


def begin(limit: float, source: str) -> Callable[[], Notifier]:
    """Take the line; return what makes the agent's notifiers.

    Args:
        limit: Seconds after which the supervisor takes silence for death.
        source: The service's source of events; empty where this is no service.
    """
    if source:
        try:
            logs.also(EventLogHandler(Source(source)))
        except OSError as error:
            _LOGGER.warning("Windows' event log cannot be written: %s", error)
    controls.from_windows = bool(source)
    line = Line(os.dup(0), os.dup(1), limit)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    threading.Thread(target=line.listen, name="supervisor", daemon=True).start()
    return lambda: Notifier(channel=line)
