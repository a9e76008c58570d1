"""A lock between processes, so that two runs never build the same thing at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .console import StackError, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def file_lock(path: Path, what: str, *, refuse: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file.

    The kernel releases the lock with the file, so a killed process leaves nothing
    to clean up.

    Args:
        path: The file; it is made where it is missing.
        what: Names the work for those who wait.
        refuse: Do not wait, but raise an error with this text.

    Raises:
        StackError: Another process holds it, and ``refuse`` was given.

    """
    import fcntl  # noqa: PLC0415  (what else is here is imported on Windows too)

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if refuse is not None:
                raise StackError(refuse) from None
            say(f"waiting for another run that is at work on {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
