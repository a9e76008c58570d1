"""How `pilot-agent pair` talks to the running service: lines of JSON over a local socket.

A socket rather than a file that the service would have to look for: it costs nothing while nobody
calls, both sides notice at once when the other ends, and the code itself stays in the terminal's
process, which also carries the 15 MiB that SPAKE2 needs. On Linux the socket lies in the state
folder, which only its owner and root may enter. Windows' Python has no such sockets: there it is
a port on the loopback interface, and a token from a file in the state folder opens it.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
import hmac
import json
import logging
import os
import secrets
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from companion_agent.protocol.encoding import dump, load_object
from companion_agent.protocol.errors import ProtocolError
from companion_agent.storage.files import make_private_folder, write_private
from companion_agent.storage.permissions import AS_ADMINISTRATOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

# Windows' Python has no such family.
_AF_UNIX: int = getattr(socket, "AF_UNIX", -1)

MAX_LINE = 32 * 1024
_MAX_CALLERS = 8
_SOCKET = "control.sock"
_ADDRESS = "control.json"
# What sockaddr_un holds, less the final zero (unix(7)).
_MAX_PATH = 107
# Between a request and its answer lies a file to write, nothing more.
_ANSWER_LIMIT = 10.0


class ChannelError(Exception):
    """The service cannot be reached, or has gone; the text says what to do."""


class NotRunningError(ChannelError):
    """There is no service to talk to."""


class Lines:
    """Cuts what arrives on a socket into messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take bytes and yield the messages that are complete.

        Raises:
            ProtocolError: A line is too long or is not a JSON object.
        """
        self._buffer += data
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            yield load_object(line, MAX_LINE)
        if len(self._buffer) > MAX_LINE:
            raise ProtocolError("size", "too long")


class Caller:
    """A terminal that called the service."""

    def __init__(self, connection: socket.socket, *, trusted: bool) -> None:
        self.connection = connection
        self.trusted = trusted
        self.lines = Lines()
        connection.setblocking(False)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a caller that does not read loses it, and notices."""
        with suppress(OSError):
            self.connection.sendall(_encode(message))


class Handler(Protocol):
    """What the service does with messages."""

    def asked(self, caller: Caller, message: dict[str, Any]) -> None:
        """Take a message from a terminal."""

    def gone(self, caller: Caller) -> None:
        """Take note that a terminal has ended."""


class LocalServer:
    """The service's end. Its sockets belong into the loop's selector.

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
        self._listener: socket.socket | None = None
        self._callers: dict[socket.socket, Caller] = {}

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets to wait for."""
        return [*([self._listener] if self._listener else []), *self._callers]

    def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: That did not work.
        """
        make_private_folder(self._folder)
        self._listener = self._bind_unix() if self._unix else self._bind_loopback()
        self._listener.setblocking(False)
        self._listener.listen(_MAX_CALLERS)

    def close(self) -> None:
        """Hang up and listen no more."""
        for caller in list(self._callers.values()):
            self._hang_up(caller)
        if self._listener:
            self._listener.close()
            self._listener = None
            with suppress(OSError):
                (self._folder / (_SOCKET if self._unix else _ADDRESS)).unlink()

    def readable(self, ready: socket.socket) -> None:
        """Take what arrived on one of the sockets."""
        if ready is self._listener:
            self._accept(ready)
        elif caller := self._callers.get(ready):
            self._read(caller)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if len(self._callers) >= _MAX_CALLERS:
            # Whoever has waited longest; anybody on this machine may knock at a loopback port.
            self._hang_up(self._oldest())
        self._callers[connection] = Caller(connection, trusted=self._unix)

    def _oldest(self) -> Caller:
        strangers = [caller for caller in self._callers.values() if not caller.trusted]
        return (strangers or list(self._callers.values()))[0]

    def _read(self, caller: Caller) -> None:
        try:
            data = caller.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(caller)
            return
        try:
            for message in caller.lines.feed(data):
                self._check_token(caller, message)
                self._handler.asked(caller, message)
        except ProtocolError as error:
            _LOGGER.debug("A local caller was refused: %s", error)
            self._hang_up(caller)

    def _check_token(self, caller: Caller, message: dict[str, Any]) -> None:
        token = message.pop("token", "")
        if not caller.trusted and isinstance(token, str):
            shown = token.encode("utf-8", "replace")
            caller.trusted = hmac.compare_digest(shown, self._token.encode())
        if not caller.trusted:
            raise ProtocolError("token", "not the token")

    def _hang_up(self, caller: Caller) -> None:
        self._callers.pop(caller.connection, None)
        caller.connection.close()
        self._handler.gone(caller)

    def _bind_unix(self) -> socket.socket:
        listener = socket.socket(_AF_UNIX)
        with _unix_path(self._folder) as path:
            # Only one agent holds the folder: a socket that is there is left over.
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  (may be a path through a descriptor)
            listener.bind(path)
            os.chmod(path, 0o600)  # noqa: PTH101
        return listener

    def _bind_loopback(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET)
        if sys.platform == "win32":
            # Nobody else may listen on the same port and catch the token.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind(("127.0.0.1", 0))
        address = {"port": listener.getsockname()[1], "token": self._token}
        write_private(self._folder / _ADDRESS, dump(address))
        return listener


class LocalClient:
    """A terminal's end.

    Args:
        folder: The state folder.
        unix: Whether the service uses a socket in the folder.

    Raises:
        ChannelError: The service does not run, or this user may not talk to it.
    """

    def __init__(self, folder: Path, *, unix: bool = sys.platform != "win32") -> None:
        self._lines = Lines()
        self._messages: list[dict[str, Any]] = []
        self._token = ""
        try:
            self._connection = _call_unix(folder) if unix else self._call_loopback(folder)
        except PermissionError as error:
            text = f"no access to the agent's state in {folder}; {AS_ADMINISTRATOR}"
            raise ChannelError(text) from error
        except (OSError, ValueError, KeyError) as error:
            text = f"no agent is running with the state folder {folder}; start it first"
            raise NotRunningError(text) from error

    def send(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            ChannelError: The service has gone.
        """
        if self._token:
            message, self._token = {"token": self._token, **message}, ""
        try:
            self._connection.sendall(_encode(message))
        except OSError as error:
            raise ChannelError("the agent has stopped") from error

    def receive(self, limit: float) -> dict[str, Any] | None:
        """Wait for a message.

        Args:
            limit: Seconds to wait.

        Returns:
            The message; `None` when there was none in time.

        Raises:
            ChannelError: The service has gone.
        """
        deadline = time.monotonic() + limit
        while not self._messages:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._connection.settimeout(left)
            try:
                data = self._connection.recv(65536)
            except TimeoutError:
                return None
            except OSError as error:
                raise ChannelError("the agent has stopped") from error
            if not data:
                raise ChannelError("the agent has stopped")
            self._take(data)
        return self._messages.pop(0)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return its answer.

        Raises:
            ChannelError: The service has gone, does not answer, or answers with an error.
        """
        self.send(message)
        answer = self.receive(_ANSWER_LIMIT)
        if answer is None:
            raise ChannelError("the agent does not answer")
        if "error" in answer:
            raise ChannelError(str(answer["error"]))
        return answer

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _take(self, data: bytes) -> None:
        try:
            self._messages.extend(self._lines.feed(data))
        except ProtocolError as error:
            raise ChannelError("the agent and this command are of different versions") from error

    def _call_loopback(self, folder: Path) -> socket.socket:
        address = json.loads((folder / _ADDRESS).read_text("utf-8"))
        self._token = str(address["token"])
        return socket.create_connection(("127.0.0.1", int(address["port"])), timeout=5)


def _encode(message: dict[str, Any]) -> bytes:
    return dump(message).encode() + b"\n"


def _call_unix(folder: Path) -> socket.socket:
    connection = socket.socket(_AF_UNIX)
    connection.settimeout(5)
    try:
        with _unix_path(folder) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _unix_path(folder: Path) -> Iterator[str]:
    """Name the socket in a folder, also one whose path is longer than such names may be."""
    path = str(folder / _SOCKET)
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
