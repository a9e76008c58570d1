"""A Wayland compositor of a test's own that tells any number of clients of idleness and windows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import count
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

from companion_agent.platforms.linux.wayland import text, uint

if TYPE_CHECKING:
    from pathlib import Path

SEAT = "wl_seat"
NOTIFIER = "ext_idle_notifier_v1"
WINDOWS = "zwlr_foreign_toplevel_manager_v1"

_HEADER = struct.Struct("=II")
_DISPLAY = 1
# Objects of the compositor's own have numbers from here on.
_OWN = 0xFF000000


@dataclass
class FakeWindow:
    """A window.

    Attributes:
        title: What stands above it.
        program: What it is of.
        states: Its states: 2 is active, 3 fills the screen.
    """

    title: str
    program: str
    states: tuple[int, ...] = ()
    number: int = 0


class _Client:
    """A client, and the numbers that it has given to what it uses."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.registry = 0
        self.ids: dict[str, int] = {}
        self.notification = 0

    def say(self, sender: int, opcode: int, arguments: bytes) -> None:
        # It may have hung up.
        with suppress(OSError):
            self.connection.sendall(
                _HEADER.pack(sender, (8 + len(arguments)) << 16 | opcode) + arguments
            )


class FakeDesktop:
    """Serves clients, each in a thread.

    Args:
        path: Its socket.
        versions: The interfaces that it has, with their versions.
        windows: The windows.

    Attributes:
        asked: How it was asked for idleness: the request, and the milliseconds.
        bound: The interfaces that clients have asked for.
    """

    def __init__(self, path: Path, versions: dict[str, int], *windows: FakeWindow) -> None:
        self.windows = list(windows)
        self.asked: list[tuple[int, int]] = []
        self.bound: list[str] = []
        self._versions = list(versions.items())
        self._numbers = count(_OWN)
        for window in windows:
            window.number = next(self._numbers)
        self._clients: list[_Client] = []
        self._lock = threading.RLock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.end()

    def end(self) -> None:
        """Hang up, as a compositor that ends does."""
        for client in self._clients:
            with suppress(OSError):
                client.connection.shutdown(socket.SHUT_RDWR)

    def idle(self, *, idle: bool) -> None:
        """Say that nothing was touched for the time, or that something is."""
        with self._lock:
            for client in self._clients:
                if client.notification:
                    client.say(client.notification, 0 if idle else 1, b"")

    def show(self, window: FakeWindow) -> None:
        """Open a window."""
        window.number = next(self._numbers)
        with self._lock:
            self.windows.append(window)
            for client in self._clients:
                self._say_new(client, window)

    def change(self, window: FakeWindow) -> None:
        """Say what a window is now."""
        with self._lock:
            for client in self._clients:
                self._say_window(client, window)

    def shut(self, window: FakeWindow) -> None:
        with self._lock:
            self.windows.remove(window)
            for client in self._clients:
                if WINDOWS in client.ids:
                    client.say(window.number, 6, b"")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            client = _Client(connection)
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: _Client) -> None:
        data = b""
        with suppress(OSError):
            while received := client.connection.recv(65536):
                data += received
                while len(data) >= 8 and len(data) >= (size := _HEADER.unpack_from(data)[1] >> 16):
                    receiver, word = _HEADER.unpack_from(data)
                    with self._lock:
                        self._take(client, receiver, word & 0xFFFF, data[8:size])
                    data = data[size:]

    def _take(self, client: _Client, receiver: int, opcode: int, arguments: bytes) -> None:
        words = [word for (word,) in struct.iter_unpack("=I", arguments)]
        if (receiver, opcode) == (_DISPLAY, 0):
            client.say(words[0], 0, uint(0))
        elif (receiver, opcode) == (_DISPLAY, 1):
            client.registry = words[0]
            for number, (interface, version) in enumerate(self._versions, 1):
                client.say(words[0], 0, uint(number) + text(interface) + uint(version))
        elif receiver == client.registry:
            interface, _ = self._versions[words[0] - 1]
            self.bound.append(interface)
            client.ids[interface] = words[-1]
            if interface == WINDOWS:
                for window in self.windows:
                    self._say_new(client, window)
        elif receiver == client.ids.get(NOTIFIER):
            client.notification = words[0]
            self.asked.append((opcode, words[1]))

    def _say_new(self, client: _Client, window: FakeWindow) -> None:
        if WINDOWS in client.ids:
            client.say(client.ids[WINDOWS], 0, uint(window.number))
            self._say_window(client, window)

    @staticmethod
    def _say_window(client: _Client, window: FakeWindow) -> None:
        if WINDOWS in client.ids:
            client.say(window.number, 0, text(window.title))
            client.say(window.number, 1, text(window.program))
            states = struct.pack(f"={len(window.states)}I", *window.states)
            client.say(window.number, 4, uint(len(states)) + states)
            client.say(window.number, 5, b"")
