"""Who is at the other end of a local connection. Source: unix(7), SO_PEERCRED.

Of a pipe's other end `pipe_listener` knows.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")
# What the kernel shows of users that a user namespace does not know (user_namespaces(7)).
OVERFLOW_UID = 65_534


class Peer(NamedTuple):
    """A process, and the user that it ran as when it connected.

    Attributes:
        pid: The process.
        uid: The user's number; -1 where users have none.
        sid: What Windows tells the user's account apart by.
        session: The number of the session that it ran in, on Windows.
    """

    pid: int
    uid: int
    sid: str = ""
    session: int = -1

    @property
    def user(self) -> int | str:
        """What tells its user apart."""
        return self.sid or self.uid


if sys.platform == "linux":

    def peer_of(connection: socket.socket) -> Peer | None:
        """Ask the kernel; `None` for a connection of another family."""
        if connection.family != socket.AF_UNIX:
            return None
        asked = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(asked)
        return Peer(pid, uid)

else:

    def peer_of(_: socket.socket) -> Peer | None:
        """Know nothing."""
        return None
