"""Lines of JSON over a local socket: what both ends of it share.

A socket rather than a file that the service would have to look for: it costs nothing while it is
not called, both sides notice at once when the other ends, and the code itself stays in the
terminal's process, which also carries the 15 MiB that SPAKE2 needs. On Linux the socket lies in
the state folder, which only its owner and root may enter. Windows' Python has no such sockets:
there it is a port on the loopback interface, and a token from a file in the state folder opens it.
Session helpers have a socket of their own, in the runtime folder, which every user may enter.
"""

from __future__ import annotations

from contextlib import contextmanager
import os
from typing import TYPE_CHECKING, Any

from companion_agent.protocol.encoding import dump, load_object
from companion_agent.protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LINE = 32 * 1024
# What the service sees of a host with thousands of readings.
MAX_ANSWER = 1024 * 1024
SOCKET = "control.sock"
ADDRESS = "control.json"
SESSION_SOCKET = "session.sock"
# What sockaddr_un holds, less the final zero (unix(7)).
_MAX_PATH = 107


class LineDecoder:
    """Cuts what arrives on a socket into messages.

    Args:
        limit: How many bytes a message may have.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take bytes and yield the messages that are complete.

        Raises:
            ProtocolError: A line is too long or is not a JSON object.
        """
        self._buffer += data
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            yield load_object(line, self._limit)
        if len(self._buffer) > self._limit:
            raise ProtocolError("size", "too long")


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as a line."""
    return dump(message).encode() + b"\n"


@contextmanager
def unix_path(folder: Path, name: str = SOCKET) -> Iterator[str]:
    """Name a socket in a folder, also one whose path is longer than such names may be."""
    path = str(folder / name)
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
