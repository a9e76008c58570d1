"""What this system says of a mistake, in its own words: Windows' are not those of Unix."""

from __future__ import annotations

from pathlib import Path


def _no_such_file() -> str:
    try:
        Path("no such file").stat()
    except FileNotFoundError as error:
        return error.strerror or ""
    raise AssertionError


NO_SUCH_FILE = _no_such_file()
