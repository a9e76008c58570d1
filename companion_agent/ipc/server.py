"""The service's end of the local socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
import hmac
import logging
import os
import secrets
import socket
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

from companion_agent.ipc.lines import (
    ADDRESS,
    MAX_ANSWER,
    MAX_LINE,
    SOCKET,
    LineDecoder,
    encode,
    unix_path,
)
from companion_agent.ipc.peer import Peer, peer_of
from companion_agent.platforms.unix import AF_UNIX
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.errors import ProtocolError
from companion_agent.storage.files import make_private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_MAX_CONNECTIONS = 8
# One that does not read as much as an answer may have does not read at all.
_MAX_UNREAD = MAX_ANSWER


class Handler(Protocol):
    """What the service does with messages."""

    def received(self, connection: Connection, message: dict[str, Any]) -> None:
        """Take a message from a terminal."""

    def gone(self, connection: Connection) -> None:
        """Take note that a terminal has ended."""


class Connection(asyncio.Protocol):
    """A terminal that is connected to the service.

    Attributes:
        trusted: Whether it may ask for something.

    Args:
        handler: Takes its messages.
        token: What one that is not trusted has to show first.
        trusted: Whether it may ask for something without the token.
        opened: Called when it is there.
        closed: Called when it has gone.
        limit: How many bytes a message of its may have.
    """

    def __init__(
        self,
        handler: Handler,
        token: str,
        *,
        trusted: bool,
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
        limit: int = MAX_LINE,
    ) -> None:
        self.trusted = trusted
        self._handler = handler
        self._token = token
        self._opened = opened
        self._closed = closed
        self._lines = LineDecoder(limit)
        self._transport: asyncio.Transport | None = None

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one that does not read is hung up on."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(encode(message))
        if self._transport.get_write_buffer_size() > _MAX_UNREAD:
            self._transport.abort()

    def hang_up(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.close()

    def hold(self) -> None:
        """Read nothing of it until `go_on()`, which must not come in the same turn of the loop.

        Not at once: Python 3.11.2 (Debian 12) begins to read after `connection_made()` all the
        same.
        """
        asyncio.get_running_loop().call_soon(self._pause)

    def _pause(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read what it says."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def peer(self) -> Peer | None:
        """Which process is at the other end; `None` where the system does not tell."""
        if self._transport is None:
            return None
        connection = self._transport.get_extra_info("socket")
        return peer_of(connection) if connection else self._transport.get_extra_info("peer")

    # --- What asyncio calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        try:
            for message in self._lines.feed(data):
                self._check_token(message)
                self._handler.received(self, message)
                if self._transport and self._transport.is_closing():
                    return
        except ProtocolError as error:
            _LOGGER.debug("A local connection was refused: %s", error)
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._closed(self)
        self._handler.gone(self)

    def _check_token(self, message: dict[str, Any]) -> None:
        token = message.pop("token", "")
        if not self.trusted and isinstance(token, str):
            shown = token.encode("utf-8", "replace")
            self.trusted = hmac.compare_digest(shown, self._token.encode())
        if not self.trusted:
            raise ProtocolError("token", "not the token")


class LocalServer:
    """Listens to the terminals of this host.

    Args:
        folder: The state folder.
        handler: Takes the messages.
        unix: Whether to use a socket in the folder instead of a loopback port.
    """

    def __init__(
        self, folder: Path, handler: Handler, *, unix: bool = sys.platform != "win32"
    ) -> None:
        self._folder = folder
        self._handler = handler
        self._unix = unix
        self._token = secrets.token_hex(32)
        self._server: asyncio.Server | None = None
        self._connections: list[Connection] = []

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: That did not work.
        """
        make_private_folder(self._folder)
        listener = self._bind_unix() if self._unix else self._bind_loopback()
        self._server = await asyncio.get_running_loop().create_server(
            self._connect, sock=listener, backlog=_MAX_CONNECTIONS
        )

    def close(self) -> None:
        """Hang up and listen no more."""
        if self._server:
            self._server.close()
            self._server = None
            with suppress(OSError):
                (self._folder / (SOCKET if self._unix else ADDRESS)).unlink()
        for connection in self._connections:
            connection.hang_up()

    def _connect(self) -> Connection:
        return Connection(
            self._handler,
            self._token,
            trusted=self._unix,
            opened=self._opened,
            closed=self._lost,
        )

    def _opened(self, connection: Connection) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            # The one that has waited longest; every program on this machine may open a loopback
            # port.
            oldest = self._oldest()
            self._lost(oldest)
            oldest.hang_up()
        self._connections.append(connection)

    def _lost(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)

    def _oldest(self) -> Connection:
        strangers = [one for one in self._connections if not one.trusted]
        return (strangers or self._connections)[0]

    def _bind_unix(self) -> socket.socket:
        listener = socket.socket(AF_UNIX)
        with unix_path(self._folder) as path:
            # Only one agent holds the folder: a socket that is there is left over.
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  (may be a path through a descriptor)
            listener.bind(path)
            os.chmod(path, 0o600)  # noqa: PTH101
        return listener

    def _bind_loopback(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET)
        if sys.platform == "win32":
            # No other program may listen on the same port and catch the token.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind(("127.0.0.1", 0))
        address = {
            "port": listener.getsockname()[1],
            "token": self._token,
            "pid": os.getpid(),
        }
        write_private(self._folder / ADDRESS, dump(address))
        return listener
