"""The file that the log is written to where one is configured."""

from __future__ import annotations

import errno
from logging.handlers import RotatingFileHandler
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from pathlib import Path

# Windows has no pipes among its files.
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)


class LogFile(RotatingFileHandler):
    """A file that is begun anew when it is full.

    What it does not take (its disk is full) is said once on standard error, and lost.

    Args:
        path: The file, or a pipe that something reads.
        max_size: Bytes after which a new one is begun.
        keep: How many full ones are kept.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: Path, max_size: int, keep: int) -> None:
        try:
            # Opening a pipe that nothing reads would wait for a reader.
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_WAIT, 0o666))
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise OSError(error.errno, "it is a pipe that nothing reads") from error
            raise
        self._failed = self._said = False
        super().__init__(
            path, maxBytes=max_size, backupCount=keep, encoding="utf-8", errors="backslashreplace"
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        self._failed = False
        super().emit(record)
        if not self._failed:
            self._said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Say that a message was not written, unless the one before was not either."""
        self._failed = True
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._said and sys.stderr:
            self._said = True
            why = error.strerror or error
            print(f"The log cannot be written to {self.baseFilename}: {why}", file=sys.stderr)
