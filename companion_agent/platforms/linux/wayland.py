"""A Wayland client of a few messages, for asyncio. Source: the Wayland protocol, "Wire format".

A library is not used: pywayland needs a compiler, and python-wayland loads the descriptions of all
protocols that there are, for the five interfaces that are needed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
import os
from pathlib import Path
import socket
import struct
from typing import NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.unix import AF_UNIX

_HEADER = struct.Struct("=II")
_UINT = struct.Struct("=I")
_DISPLAY = 1
_SYNC, _GET_REGISTRY = 0, 1
_ERROR, _DELETE_ID = 0, 1
_BIND = 0
_GLOBAL, _GLOBAL_REMOVE = 0, 1
# A compositor answers in microseconds, unless it has just begun.
_ROUNDTRIP_LIMIT = 5.0


class Global(NamedTuple):
    """Something that the compositor has: its number, interface and version."""

    number: int
    interface: str
    version: int


OnEvent = Callable[[int, bytes], None]
"""Takes an event of an object: its number in the interface, and its arguments."""


class WaylandGoneError(Exception):
    """The compositor has hung up, or said that something was wrong."""


class WaylandClient:
    """A connection to the compositor of this session.

    Args:
        changed: Called when a global has appeared (with it) or gone (with its number).
        gone: Called when the compositor has gone.

    Attributes:
        globals: What the compositor has, by number.
    """

    def __init__(
        self, changed: Callable[[Global | int], None], gone: Callable[[str], None]
    ) -> None:
        self.globals: dict[int, Global] = {}
        self._changed = changed
        self._gone = gone
        self._socket: socket.socket | None = None
        self._objects: dict[int, OnEvent] = {_DISPLAY: self._display_event}
        self._last = _DISPLAY
        self._received = b""
        self._settled = False

    async def open(self) -> None:
        """Connect, and learn what there is.

        Raises:
            Unavailable: There is no compositor, or it does not answer.
        """
        path = display_path()
        connection = socket.socket(AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            raise Unavailable(f"no Wayland compositor at {path} ({error.strerror})") from error
        connection.setblocking(False)
        self._socket = connection
        asyncio.get_running_loop().add_reader(connection, self._read)
        registry = self.make(self._registry_event)
        self.request(_DISPLAY, _GET_REGISTRY, uint(registry))
        self._registry = registry
        await self.roundtrip()
        self._settled = True

    def close(self) -> None:
        """Hang up."""
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def make(self, events: OnEvent) -> int:
        """Return a new object's id; its events go to a function."""
        # Ids are not used again: these connections make few, and 4 thousand million there are.
        self._last += 1
        self._objects[self._last] = events
        return self._last

    def adopt(self, made: int, events: OnEvent) -> None:
        """Have the events of an object that the compositor has made go to a function."""
        self._objects[made] = events

    def forget(self, made: int) -> None:
        """Hear no more of an object."""
        self._objects.pop(made, None)

    def bind(self, found: Global, version: int, events: OnEvent) -> int:
        """Return a new object for a global, in this version of its interface at most."""
        made = self.make(events)
        version = min(version, found.version)
        arguments = uint(found.number) + text(found.interface) + uint(version) + uint(made)
        self.request(self._registry, _BIND, arguments)
        return made

    def request(self, receiver: int, opcode: int, arguments: bytes = b"") -> None:
        """Send a request; what comes of it is heard, or nothing if the compositor has gone."""
        if self._socket is None:
            return
        size = _HEADER.size + len(arguments)
        with suppress(OSError):
            self._socket.sendall(_HEADER.pack(receiver, size << 16 | opcode) + arguments)

    async def roundtrip(self) -> None:
        """Wait until the compositor has taken every request, and said what follows at once.

        Raises:
            Unavailable: It does not answer.
        """
        done = asyncio.Event()
        callback = self.make(lambda *_: done.set())
        self.request(_DISPLAY, _SYNC, uint(callback))
        try:
            await asyncio.wait_for(done.wait(), _ROUNDTRIP_LIMIT)
        except TimeoutError:
            raise Unavailable("the Wayland compositor does not answer") from None
        finally:
            self.forget(callback)

    # --- What arrives --------------------------------------------------------------------

    def _read(self) -> None:
        assert self._socket
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        if not data:
            self._end("the Wayland compositor has gone")
            return
        self._received += data
        try:
            self._take()
        except (WaylandGoneError, struct.error, ValueError) as error:
            self._end(str(error))

    def _take(self) -> None:
        while len(self._received) >= _HEADER.size:
            sender, word = _HEADER.unpack_from(self._received)
            size, opcode = word >> 16, word & 0xFFFF
            if size < _HEADER.size:
                raise WaylandGoneError("the Wayland compositor says something odd")
            if len(self._received) < size:
                return
            arguments = self._received[_HEADER.size : size]
            self._received = self._received[size:]
            if events := self._objects.get(sender):
                events(opcode, arguments)

    def _display_event(self, opcode: int, arguments: bytes) -> None:
        if opcode == _ERROR:
            raise WaylandGoneError(f"the Wayland compositor refuses: {read_text(arguments[8:])}")

    def _registry_event(self, opcode: int, arguments: bytes) -> None:
        number = read_uint(arguments)
        if opcode == _GLOBAL:
            interface = read_text(arguments[4:])
            version = read_uint(arguments[-4:])
            found = self.globals[number] = Global(number, interface, version)
            if self._settled:
                self._changed(found)
        elif opcode == _GLOBAL_REMOVE and number in self.globals:
            del self.globals[number]
            self._changed(number)

    def _end(self, reason: str) -> None:
        self.close()
        self._gone(reason)


def display_path() -> Path:
    """Return where the compositor of this session listens.

    Raises:
        Unavailable: This is no Wayland session.
    """
    name = os.environ.get("WAYLAND_DISPLAY", "")
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if not name or not (folder or name.startswith("/")):
        raise Unavailable("this is no Wayland session (WAYLAND_DISPLAY is not set)")
    return Path(folder, name)


def uint(value: int) -> bytes:
    """Return a number as an argument."""
    return _UINT.pack(value)


def text(value: str) -> bytes:
    """Return a text as an argument: its length with the final zero, padded to words."""
    data = value.encode() + b"\0"
    return _UINT.pack(len(data)) + data + b"\0" * (-len(data) % 4)


def read_uint(arguments: bytes) -> int:
    """Return the number that arguments begin with."""
    (value,) = _UINT.unpack_from(arguments)
    return int(value)


def read_text(arguments: bytes) -> str:
    """Return the text that arguments begin with."""
    size = read_uint(arguments)
    return arguments[4 : 4 + size].rstrip(b"\0").decode("utf-8", "replace")
