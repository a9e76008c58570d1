"""The agent's log messages as events of Windows, where it runs as a service.

The texts of a source's events stand in a file that the source names. Windows' own `eventcreate`
has one whose messages 1 to 1000 are whatever an event brings, so none has to be made and installed.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from companion_agent.winapi import event_log

if TYPE_CHECKING:
    from companion_agent.winapi.event_log import Source

MESSAGES = r"%SystemRoot%\System32\EventCreate.exe"
# The number of an event says how grave it is, so that it can be filtered by.
_KINDS = (
    (logging.ERROR, event_log.ERROR, 3),
    (logging.WARNING, event_log.WARNING, 2),
    (logging.INFO, event_log.INFORMATION, 1),
)


class EventLogHandler(logging.Handler):
    """Writes messages from `INFO` on as events.

    Args:
        source: Where they are written.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(logging.INFO)
        self._source = source

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message; one that cannot be written is lost, since nothing else hears it."""
        for level, kind, event_id in _KINDS:
            if record.levelno >= level:
                try:
                    self._source.report(kind, event_id, self.format(record))
                except OSError:
                    return
                return


if sys.platform == "win32":
    import winreg

    _SOURCES = r"SYSTEM\CurrentControlSet\Services\EventLog\Application"
    _ALL_KINDS = event_log.ERROR | event_log.WARNING | event_log.INFORMATION

    def register(name: str) -> None:
        """Make the source known.

        Raises:
            OSError: That did not work.
        """
        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"{_SOURCES}\{name}") as key:
            winreg.SetValueEx(key, "EventMessageFile", 0, winreg.REG_EXPAND_SZ, MESSAGES)
            winreg.SetValueEx(key, "TypesSupported", 0, winreg.REG_DWORD, _ALL_KINDS)

    def remove(name: str) -> bool:
        """Forget the source; tell whether it was known.

        Raises:
            OSError: That did not work.
        """
        try:
            winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, rf"{_SOURCES}\{name}")
        except FileNotFoundError:
            return False
        return True

else:

    def register(name: str) -> None:
        """Fail: only Windows has such a log.

        Raises:
            OSError: Always.
        """
        raise OSError(name)

    def remove(name: str) -> bool:
        """Fail: only Windows has such a log.

        Raises:
            OSError: Always.
        """
        raise OSError(name)
