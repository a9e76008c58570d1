"""A TCP connection that is read for so many seconds altogether.

A socket's own time limit begins anew with each piece that arrives: a program that sends a byte now
and then would be waited for without an end.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Zero would mean not to wait, which ends otherwise.
_SHORTEST = 0.001


class LimitedSocket(socket.socket):
    """The connection; what comes too late raises `TimeoutError`."""

    until: float
    """When its time is over, in monotonic seconds."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive what there is."""
        self._hurry()
        return super().recv(size, flags)

    def recv_into(self, buffer: WriteableBuffer, size: int = 0, flags: int = 0) -> int:
        """Receive what there is; files of the socket read by this."""
        self._hurry()
        return super().recv_into(buffer, size, flags)

    def _hurry(self) -> None:
        self.settimeout(max(self.until - time.monotonic(), _SHORTEST))


def connect(host: str, port: int, limit: float) -> LimitedSocket:
    """Connect.

    Args:
        host: Where to.
        port: Its TCP port.
        limit: Seconds for this, and for all that is read.

    Raises:
        OSError: That did not work in time.
    """
    until = time.monotonic() + limit
    connected = LimitedSocket(fileno=socket.create_connection((host, port), limit).detach())
    connected.until = until
    connected.settimeout(limit)
    return connected
