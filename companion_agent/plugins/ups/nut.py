"""The text protocol of Network UPS Tools, as far as it is read.

Source: Network UPS Tools' developer guide, "Network protocol information". A library is not used:
it is two requests, and those on PyPI bring asyncio (aionut) or telnetlib (PyNUTClient), which
Python has no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import PilotError
from companion_agent.platforms import limited_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    import socket

# Seconds for all answers; the server has what drivers told it, and asks no device.
TIME_LIMIT = 5.0
_MOST_BYTES = 256 * 1024
_MOST = 32
_NAME = re.compile(r"[A-Za-z0-9_.@:-]{1,64}")
_UPS = re.compile(r'UPS (\S+) "((?:[^"\\]|\\.)*)"')
_VARIABLE = re.compile(r'VAR (\S+) (\S+) "((?:[^"\\]|\\.)*)"')


class RefusedError(PilotError):
    """The server refused a request, or its answer is none; the text says which."""


class Ups(NamedTuple):
    """A power supply.

    Attributes:
        name: What the server calls it.
        description: What its owner calls it; empty where that is not told.
        variables: What it says, by NUT's names.
        failure: Why it says nothing now; empty when it does.
    """

    name: str
    description: str
    variables: Mapping[str, str]
    failure: str = ""


def read(
    host: str, port: int, wanted: Callable[[str], bool], limit: float = TIME_LIMIT
) -> list[Ups]:
    """Read the power supplies that are wanted by name.

    Raises:
        OSError: The server cannot be reached, or does not answer.
        RefusedError: What it answers cannot be read.
    """
    with limited_socket.connect(host, port, limit) as connection:
        lines = _Lines(connection)
        listed = [_UPS.fullmatch(line) for line in lines.ask("LIST UPS")]
        names = {found[1]: _unquoted(found[2]) for found in listed if found}
        return [
            _read_one(lines, name, description)
            for name, description in names.items()
            # Of what has another form, no request could be made.
            if _NAME.fullmatch(name) and wanted(name)
        ][:_MOST]


def _read_one(lines: _Lines, name: str, description: str) -> Ups:
    description = "" if description == "Unavailable" else description
    try:
        listed = [_VARIABLE.fullmatch(line) for line in lines.ask(f"LIST VAR {name}")]
    except RefusedError as error:
        return Ups(name, description, {}, str(error))
    found = {one[2]: _unquoted(one[3]) for one in listed if one and one[1] == name}
    if found.get("ups.status") == "WAIT":
        return Ups(name, description, {}, "the driver has not heard of it yet")
    return Ups(name, description, found)


class _Lines:
    """A conversation with the server, line by line."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        self._left = _MOST_BYTES

    def ask(self, request: str) -> Iterator[str]:
        """Ask for a list, and return its lines.

        Raises:
            OSError: No answer comes.
            RefusedError: It is refused, or no list comes.
        """
        self._connection.sendall(f"{request}\n".encode())
        first = self._line()
        if first.startswith("ERR "):
            raise RefusedError(f"the server says {first[4:100]}")
        if first != f"BEGIN {request}":
            raise RefusedError("this is no server of Network UPS Tools")
        return self._until(f"END {request}")

    def _until(self, end: str) -> Iterator[str]:
        while (line := self._line()) != end:
            yield line

    def _line(self) -> str:
        while b"\n" not in self._rest:
            more = self._connection.recv(4096)
            self._left -= len(more)
            if not more:
                raise RefusedError("the server has ended the connection")
            if self._left < 0:
                raise RefusedError("the server says too much")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
