"""Sockets of servers that are being started."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def accepts(path: Path) -> bool:
    """Tell whether a server listens at a socket, which is there before anything does."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
