"""How `pilot-agent pair` and others talk to the running service; blocking."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from companion_agent import identity
from companion_agent.ipc.lines import ADDRESS, MAX_ANSWER, LineDecoder, encode, unix_path
from companion_agent.platforms.unix import AF_UNIX
from companion_agent.protocol.errors import ProtocolError
from companion_agent.storage.files import read_json
from companion_agent.storage.permissions import AS_ADMINISTRATOR

if TYPE_CHECKING:
    from pathlib import Path

# Between a request and its answer lies a file to write, nothing more.
_ANSWER_LIMIT = 10.0


class ChannelError(Exception):
    """The service cannot be reached, or has gone; the text says what to do."""


class NotRunningError(ChannelError):
    """There is no service to talk to."""


class LocalClient:
    """A terminal's end.

    Args:
        folder: The state folder.
        unix: Whether the service uses a socket in the folder.

    Raises:
        ChannelError: The service does not run, or this user may not talk to it.
    """

    def __init__(self, folder: Path, *, unix: bool = sys.platform != "win32") -> None:
        self._lines = LineDecoder(MAX_ANSWER)
        self._messages: list[dict[str, Any]] = []
        self._token = ""
        try:
            self._connection = _call_unix(folder) if unix else self._call_loopback(folder)
        except PermissionError as error:
            text = f"no access to the agent's state in {folder}; {AS_ADMINISTRATOR}"
            raise ChannelError(text) from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
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
            self._connection.sendall(encode(message))
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
        address = read_json(folder / ADDRESS)
        # A killed agent leaves the file behind, and any program may listen at its port then.
        if (agent := identity.holder(folder)) is None or address.get("pid", agent) != agent:
            raise ValueError("the agent that wrote it has ended")
        self._token = str(address["token"])
        return socket.create_connection(("127.0.0.1", int(address["port"])), timeout=5)


def _call_unix(folder: Path) -> socket.socket:
    connection = socket.socket(AF_UNIX)
    connection.settimeout(5)
    try:
        with unix_path(folder) as path:
            connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
