"""Windows' event log: a source's events.

Source: Microsoft's reference of winbase.h (`RegisterEventSourceW`, `ReportEventW`).
"""

from __future__ import annotations

from ctypes import POINTER, c_int, c_uint16, c_uint32, c_void_p, c_wchar_p

from companion_agent.winapi.dll import Function

ERROR = 0x1
WARNING = 0x2
INFORMATION = 0x4

MOST_CHARACTERS = 31_839
"""Of a text of an event."""

RegisterEventSource = Function("advapi32", "RegisterEventSourceW", c_void_p, c_wchar_p, c_wchar_p)
ReportEvent = Function(
    "advapi32", "ReportEventW", c_int,
    c_void_p, c_uint16, c_uint16, c_uint32, c_void_p, c_uint16, c_uint32,
    POINTER(c_wchar_p), c_void_p,
)  # fmt: skip
DeregisterEventSource = Function("advapi32", "DeregisterEventSource", c_int, c_void_p)


class Source:
    """A source of events of this machine's log.

    Args:
        name: What it is registered as.

    Raises:
        OSError: There is no event log.
    """

    def __init__(self, name: str) -> None:
        self._handle: int | None = RegisterEventSource.check(None, name)

    def report(self, kind: int, event_id: int, text: str) -> None:
        """Write an event.

        Args:
            kind: `ERROR`, `WARNING` or `INFORMATION`.
            event_id: Which message of the source's file it is.
            text: What the message holds.

        Raises:
            OSError: That did not work.
        """
        texts = (c_wchar_p * 1)(text.replace("\0", " ")[:MOST_CHARACTERS])
        ReportEvent.check(self._handle, kind, 0, event_id, None, 1, 0, texts, None)

    def close(self) -> None:
        """Write no more."""
        if self._handle:
            DeregisterEventSource(self._handle)
            self._handle = None
