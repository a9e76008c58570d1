"""The helper's end of the connection to the agent, on Linux; Windows brings another."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from companion_agent.desktop.messages import (
    MAX_MESSAGE,
    FromAgent,
    FromHelper,
    encode_message,
    parse_from_agent,
)
from companion_agent.ipc import runtime_folder
from companion_agent.ipc.lines import SESSION_SOCKET, LineDecoder, encode, unix_path
from companion_agent.ipc.peer import peer_of
from companion_agent.ipc.runtime_folder import UntrustedError
from companion_agent.platforms.unix import AF_UNIX
from companion_agent.protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class AwayError(Exception):
    """No agent listens here now; the text says where it was looked for."""


class Link(asyncio.Protocol):
    """A connection to the agent.

    Args:
        received: Takes what the agent says.
    """

    def __init__(self, received: Callable[[FromAgent], None]) -> None:
        self.gone = asyncio.Event()
        self._received = received
        self._lines = LineDecoder(MAX_MESSAGE)
        self._transport: asyncio.Transport | None = None

    def send(self, message: FromHelper) -> None:
        """Send a message."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(encode(encode_message(message)))

    def hang_up(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.abort()

    # --- What asyncio calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a server that does not keep to the protocol is left."""
        try:
            for line in self._lines.feed(data):
                if (message := parse_from_agent(line)) is not None:
                    self._received(message)
        except ProtocolError:
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it has gone."""
        self.gone.set()


async def connect(
    received: Callable[[FromAgent], None], folders: Iterable[Path] | None = None
) -> Link:
    """Connect to the agent of this machine.

    Args:
        received: Takes what the agent says.
        folders: Where it may be; where it usually is when left out.

    Raises:
        AwayError: None listens, or what does is not the agent.
    """
    looked = []
    for folder in runtime_folder.candidates() if folders is None else folders:
        try:
            connection = _open(folder)
        except UntrustedError as error:
            looked.append(f"what is there is not the agent: {error}")
        except OSError as error:
            looked.append(f"{folder / SESSION_SOCKET}: {error.strerror}")
        else:
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(lambda: Link(received), sock=connection)
            return link
    raise AwayError("; ".join(looked) or "this system has no place for it")


def _open(folder: Path) -> socket.socket:
    """Connect to a socket that only the agent can have made, and look who answers."""
    owner = runtime_folder.check(folder, SESSION_SOCKET)
    connection = socket.socket(AF_UNIX)
    try:
        connection.settimeout(5)
        with unix_path(folder, SESSION_SOCKET) as path:
            connection.connect(path)
        _check_server(connection, folder, owner)
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_server(connection: socket.socket, folder: Path, owner: int) -> None:
    server = peer_of(connection)
    if server is None or server.uid not in (0, owner):
        raise UntrustedError(f"{folder} is served by the user {server.uid if server else '?'}")
