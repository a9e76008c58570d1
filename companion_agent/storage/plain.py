"""Opens files that others name or put there: plain files only, which cannot make a reader wait.

A pipe blocks until something is written into it, a device may never end, and opening some of
them (`/dev/watchdog`) already does something. Source: open(2), inode(7).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

# Not all systems have them; Windows alone has O_BINARY.
_FLAGS: int = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_plain(path: Path) -> BufferedReader:
    """Open a plain file, or a link to one, for reading.

    Raises:
        OSError: It cannot be opened, or is something else; `strerror` says what.
    """
    _check(path.stat().st_mode, path)
    handle = os.open(path, _FLAGS)
    try:
        # It may have been replaced since.
        _check(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def is_there(path: Path) -> bool:
    """Tell whether something lies at a path.

    Not where this user may not look, or where nothing can lie: a name that is too long. Up to
    Python 3.13 `Path.exists()` raises an error for both.
    """
    return os.path.exists(path)  # noqa: PTH110


def read_plain(path: Path, limit: int) -> bytes:
    """Read at most `limit` bytes from the beginning of a plain file.

    Raises:
        OSError: As `open_plain()`.
    """
    with open_plain(path) as file:
        return file.read(limit)


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
