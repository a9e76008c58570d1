"""Wakes a loop that waits in `select`, from another thread or from a signal."""

from __future__ import annotations

from contextlib import suppress
import signal
import socket
from typing import Self


class Waker:
    """A pair of sockets: what is written to one wakes whoever selects on the other."""

    def __init__(self) -> None:
        # Windows can select on sockets only, so this is not a pipe.
        self.socket, self._far = socket.socketpair()
        self.socket.setblocking(False)
        self._far.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._far.close()

    def wake(self) -> None:
        """Wake the loop; safe from any thread, and after the end."""
        # A full buffer wakes the loop as well.
        with suppress(OSError):
            self._far.send(b"\0")

    def listen_to_signals(self) -> None:
        """Let every signal that Python handles wake the loop; only from the main thread."""
        signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)

    def drain(self) -> None:
        """Take what woke the loop."""
        with suppress(BlockingIOError):
            while len(self.socket.recv(4096)) == 4096:
                pass
