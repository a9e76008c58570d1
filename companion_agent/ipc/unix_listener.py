"""The socket of session helpers on Linux, in the agent's runtime folder."""

from __future__ import annotations

import asyncio
from contextlib import suppress
import os
import socket
import sys
from typing import TYPE_CHECKING

from companion_agent.ipc.lines import SESSION_SOCKET, unix_path
from companion_agent.ipc.listener import MAX_CONNECTIONS, Listener
from companion_agent.platforms.unix import AF_UNIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from companion_agent.ipc.peer import Peer
    from companion_agent.platforms.control import HostControl, Session


class UnixListener(Listener):
    """Listens at a socket that every user may connect to.

    Args:
        folder: The runtime folder, which every user may enter.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = folder
        self._server: asyncio.Server | None = None

    async def open(self, connect: Callable[[], asyncio.Protocol]) -> None:
        """Make the socket, and begin to listen."""
        listener = self._bind()
        self._server = await asyncio.get_running_loop().create_server(
            connect, sock=listener, backlog=MAX_CONNECTIONS
        )

    def close(self) -> None:
        """Take the socket away."""
        if self._server:
            self._server.close()
            self._server = None
            with suppress(OSError):
                (self._folder / SESSION_SOCKET).unlink()

    def own_user(self) -> int:
        """Return the number of the process's user."""
        return _own_uid()

    def session_of(self, peer: Peer, control: HostControl) -> Session | None:
        """Ask whose session the process belongs to."""
        return control.session_of(peer.pid, peer.uid)

    def _bind(self) -> socket.socket:
        listener = socket.socket(AF_UNIX)
        try:
            with unix_path(self._folder, SESSION_SOCKET) as path:
                # Only one agent holds the folder: a socket that is there is left over.
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108  (may be a path through a descriptor)
                listener.bind(path)
                os.chmod(path, 0o666)  # noqa: PTH101, S103  (admission is by who connects)
        except OSError:
            listener.close()
            raise
        return listener


if sys.platform == "win32":

    def _own_uid() -> int:
        return -1

else:

    def _own_uid() -> int:
        return os.geteuid()
