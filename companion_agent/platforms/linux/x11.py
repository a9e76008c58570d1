"""An X11 client of a few requests, for asyncio. Source: X Window System Protocol, appendix B.

A library is not used: python-xlib has had no release since 2022, xcffib needs a compiler, and what
is needed here is a dozen requests of fixed size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
import os
from pathlib import Path
import re
import socket
import struct
import sys
from typing import NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.unix import AF_UNIX

_COOKIE = b"MIT-MAGIC-COOKIE-1"
_FAMILY_LOCAL, _FAMILY_WILD = 256, 65_535
_SOCKETS = Path("/tmp/.X11-unix")  # noqa: S108  (where every X server has it)
_QUERY_EXTENSION = 98
_ERROR, _REPLY, _GENERIC = 0, 1, 35
_SMALLEST = 32
_ANSWER_LIMIT = 5.0


class Extension(NamedTuple):
    """An extension of the server: the number of its requests, and of its first event."""

    opcode: int
    first_event: int


class X11Error(Exception):
    """The server answered with an error, or not at all."""


OnEvent = Callable[[int, bytes], None]
"""Takes an event: its number, and all of it."""


class X11Client:
    """A connection to the local X server of this session.

    Args:
        event: Takes events.
        gone: Called when the server has gone, with the reason.

    Attributes:
        root: The window that covers the first screen.
    """

    def __init__(self, event: OnEvent, gone: Callable[[str], None]) -> None:
        self.root = 0
        self._event = event
        self._gone = gone
        self._socket: socket.socket | None = None
        self._sequence = 0
        self._ids = count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._received = b""

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: There is no local server, or it lets this user not in.
        """
        number = display_number(os.environ.get("DISPLAY", ""))
        connection = socket.socket(AF_UNIX)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                await loop.sock_connect(connection, str(_SOCKETS / f"X{number}"))
                await loop.sock_sendall(connection, _greeting(number))
                self.root, first, step = await _read_welcome(loop, connection)
                self._ids = count(first, step)
        except (OSError, TimeoutError, X11Error, struct.error) as error:
            connection.close()
            raise Unavailable(f"the X server :{number} cannot be asked ({error})") from error
        except BaseException:
            connection.close()
            raise
        self._socket = connection
        loop.add_reader(connection, self._read)

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Connect, and hang up again where the block does not find what it needs.

        Raises:
            Unavailable: As for `open()`, or the server refuses what the block asks for.
        """
        await self.open()
        try:
            yield
        except X11Error as error:
            self.close()
            raise Unavailable(str(error)) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(X11Error("the X server has gone"))
        self._waiting.clear()

    def new_id(self) -> int:
        """Return a number for something that this client makes at the server."""
        return next(self._ids)

    async def extension(self, name: bytes) -> Extension | None:
        """Return an extension; `None` where the server does not have it."""
        arguments = struct.pack("=HH", len(name), 0) + name
        reply = await self.ask(_QUERY_EXTENSION, 0, arguments)
        return Extension(reply[9], reply[10]) if reply[8] else None

    async def ask(self, opcode: int, minor: int, arguments: bytes = b"") -> bytes:
        """Send a request and return its reply.

        Args:
            opcode: The request, or the extension that it is of.
            minor: The request of the extension, or the byte that the request has in its head.
            arguments: What follows the head.

        Raises:
            X11Error: The server answered with an error, or not in time.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        sequence = self.send(opcode, minor, arguments)
        self._waiting[sequence] = answer
        try:
            return await asyncio.wait_for(answer, _ANSWER_LIMIT)
        except TimeoutError:
            raise X11Error("the X server does not answer") from None
        finally:
            self._waiting.pop(sequence, None)

    def send(self, opcode: int, minor: int, arguments: bytes = b"") -> int:
        """Send a request without a reply; return its number.

        Raises:
            X11Error: The server has gone.
        """
        if self._socket is None:
            raise X11Error("the X server has gone")
        arguments += b"\0" * (-len(arguments) % 4)
        self._sequence = (self._sequence + 1) & 0xFFFF
        head = struct.pack("=BBH", opcode, minor, 1 + len(arguments) // 4)
        try:
            self._socket.sendall(head + arguments)
        except OSError as error:
            raise X11Error(f"the X server has gone ({error.strerror})") from error
        return self._sequence

    def _read(self) -> None:
        assert self._socket
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._gone("the X server has gone")
            return
        self._received += data
        while len(self._received) >= _SMALLEST:
            kind = self._received[0] & 0x7F
            more = struct.unpack_from("=I", self._received, 4)[0] * 4
            size = _SMALLEST + (more if kind in (_REPLY, _GENERIC) else 0)
            if len(self._received) < size:
                return
            message, self._received = self._received[:size], self._received[size:]
            self._take(kind, message)

    def _take(self, kind: int, message: bytes) -> None:
        if kind not in (_ERROR, _REPLY):
            self._event(kind, message)
            return
        waiting = self._waiting.get(struct.unpack_from("=H", message, 2)[0])
        if waiting is None or waiting.done():
            return
        if kind == _REPLY:
            waiting.set_result(message)
        else:
            waiting.set_exception(X11Error(f"the X server refuses (error {message[1]})"))


def display_number(display: str) -> int:
    """Return the number of a local display.

    Raises:
        Unavailable: There is none, or it is another machine's.
    """
    if not display:
        raise Unavailable("this is no X11 session (DISPLAY is not set)")
    found = re.fullmatch(r"(?:unix)?:(\d+)(?:\.\d+)?", display)
    if not found:
        raise Unavailable(f"the display {display} is not this machine's")
    return int(found[1])


def find_cookie(data: bytes, number: int) -> bytes:
    """Return what opens a display, from an Xauthority file; empty where nothing does.

    Source: xau(3): entries of a family, and of address, number, name and data with their lengths.
    """
    place = 0
    while place + 2 <= len(data):
        (family,) = struct.unpack_from(">H", data, place)
        place += 2
        fields = []
        for _ in range(4):
            if place + 2 > len(data):
                return b""
            (size,) = struct.unpack_from(">H", data, place)
            fields.append(data[place + 2 : place + 2 + size])
            place += 2 + size
        _, display, name, cookie = fields
        local = family in (_FAMILY_LOCAL, _FAMILY_WILD)
        if local and name == _COOKIE and display in (b"", str(number).encode()):
            return cookie
    return b""


def _greeting(number: int) -> bytes:
    path = Path(os.environ.get("XAUTHORITY") or Path.home() / ".Xauthority")
    try:
        cookie = find_cookie(path.read_bytes(), number)
    except OSError:
        cookie = b""
    name = _COOKIE if cookie else b""
    order = b"l" if sys.byteorder == "little" else b"B"
    head = struct.pack("=cxHHHHxx", order, 11, 0, len(name), len(cookie))
    return head + _padded(name) + _padded(cookie)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


async def _read_welcome(
    loop: asyncio.AbstractEventLoop, connection: socket.socket
) -> tuple[int, int, int]:
    """Read the server's greeting.

    Returns:
        Its first root window, and the first of this client's own numbers with the step to the next.

    Raises:
        X11Error: It does not let this user in.
    """

    async def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = await loop.sock_recv(connection, size - len(data))
            if not received:
                raise X11Error("it hangs up")
            data += received
        return data

    status, told, _, _, more = struct.unpack("=BBHHH", await read(8))
    body = await read(more * 4)
    if status != 1:
        raise X11Error(body[:told].decode("latin-1").strip() or "it asks for another login")
    first, mask = struct.unpack_from("=II", body, 4)
    vendor, formats = struct.unpack_from("=H", body, 16)[0], body[21]
    root: int = struct.unpack_from("=I", body, 32 + len(_padded(b" " * vendor)) + 8 * formats)[0]
    # The numbers are made of the bits of the mask, which are in one piece.
    return root, first, mask & -mask or 1
