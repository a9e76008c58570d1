"""What orders everything that this host says, across all its starts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from companion_agent.storage.files import read_bytes, write_private

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_FILE = "starts"
# Keeps what a broken clock or file says within what JSON's readers keep exact.
_MOST = 2**52
HIGHEST_ASKED = 2**34
"""The highest start that a controller can have accepted of a clock: of the year 2514."""


def next_start(folder: Path, now: float) -> int:
    """Return a number above that of every earlier start, and keep it.

    It follows the clock where it can: a host that was installed anew has no kept number, and a
    controller would refuse all it says if it began at one again.

    Args:
        folder: The state folder.
        now: The time in seconds since 1970.
    """
    path = folder / _FILE
    try:
        kept = int(read_bytes(path)[:20])
    except FileNotFoundError:
        kept = 0
    except (OSError, ValueError) as error:
        _LOGGER.warning("%s does not hold the number of starts: %s", path, error)
        kept = 0
    start = max(kept + 1 if 0 <= kept < _MOST else 1, int(now))
    keep_start(folder, start)
    return start


def keep_start(folder: Path, start: int) -> None:
    """Keep the number of this start; the next one gets a higher one.

    Args:
        folder: The state folder.
        start: The number.
    """
    path = folder / _FILE
    try:
        write_private(path, f"{start}\n")
    except OSError as error:
        _LOGGER.warning("The number of starts cannot be kept in %s: %s", path, error)
