"""Unix sockets, which Windows' Python does not have."""

from __future__ import annotations

import socket

AF_UNIX: int = getattr(socket, "AF_UNIX", -1)
"""The family of Unix sockets; on Windows a number of none."""
