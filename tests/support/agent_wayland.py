"""A Wayland compositor of a test's own: as many messages as switching monitors takes."""

from __future__ import annotations

from dataclasses import dataclass
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

from companion_agent.platforms.linux.wayland import text, uint

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = struct.Struct("=II")


@dataclass
class FakeMonitor:
    """A monitor.

    Attributes:
        name: What it is called.
        on: Whether it is on.
        obeys: Whether it does what it is asked.
        switchable: Whether the compositor says that it can be switched.
    """

    name: str
    on: bool = True
    obeys: bool = True
    switchable: bool = True
    number: int = 0
    output: int = 0
    switch: int = 0


class FakeCompositor:
    """Serves one client, in a thread.

    Args:
        path: Its socket.
        manager: The interface by which monitors are switched; empty for none.
        monitors: The monitors.
    """

    def __init__(self, path: Path, manager: str, *monitors: FakeMonitor) -> None:
        self.kde = "kde" in manager
        self.monitors = list(monitors)
        self._manager = manager
        self._registry = self._manager_id = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._client: socket.socket | None = None
        self._numbers = iter(range(10, 1000))
        self._lock = threading.RLock()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.end()

    def end(self) -> None:
        """Hang up, as a compositor that ends does."""
        if self._client:
            self._client.shutdown(socket.SHUT_RDWR)

    def by_hand(self, monitor: FakeMonitor, *, on: bool) -> None:
        """Switch a monitor, and say so."""
        with self._lock:
            monitor.on = on
            self._say_mode(monitor)

    def plug(self, monitor: FakeMonitor) -> None:
        with self._lock:
            self.monitors.append(monitor)
            self._announce(monitor)

    def unplug(self, monitor: FakeMonitor) -> None:
        with self._lock:
            self.monitors.remove(monitor)
            self._say(self._registry, 1, uint(monitor.number))

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._listener.accept()
            except OSError:
                return
            data = b""
            while received := self._client.recv(65536):
                data += received
                while len(data) >= 8 and len(data) >= (size := _HEADER.unpack_from(data)[1] >> 16):
                    receiver, word = _HEADER.unpack_from(data)
                    with self._lock:
                        self._take(receiver, word & 0xFFFF, data[8:size])
                    data = data[size:]

    def _take(self, receiver: int, opcode: int, arguments: bytes) -> None:
        words = [word for (word,) in struct.iter_unpack("=I", arguments)]
        if (receiver, opcode) == (1, 0):
            self._say(words[0], 0, uint(0))
        elif (receiver, opcode) == (1, 1):
            self._registry = words[0]
            if self._manager:
                self._say(words[0], 0, uint(1) + text(self._manager) + uint(1))
            for monitor in self.monitors:
                self._announce(monitor)
        elif receiver == self._registry:
            self._bind(words[0], words[-1])
        elif receiver == self._manager_id:
            monitor = next(one for one in self.monitors if one.output == words[1])
            monitor.switch = words[0]
            self._say_what_it_is(monitor)
        else:
            found = [one for one in self.monitors if one.switch == receiver]
            if found and opcode == 0 and found[0].obeys:
                self.by_hand(found[0], on=words[0] == (0 if self.kde else 1))

    def _bind(self, number: int, made: int) -> None:
        if number == 1:
            self._manager_id = made
            return
        monitor = next(one for one in self.monitors if one.number == number)
        monitor.output = made
        self._say(made, 4, text(monitor.name))

    def _announce(self, monitor: FakeMonitor) -> None:
        monitor.number = next(self._numbers)
        self._say(self._registry, 0, uint(monitor.number) + text("wl_output") + uint(4))

    def _say_what_it_is(self, monitor: FakeMonitor) -> None:
        if self.kde:
            self._say(monitor.switch, 0, uint(monitor.switchable))
        elif not monitor.switchable:
            self._say(monitor.switch, 1, b"")
            return
        self._say_mode(monitor)

    def _say_mode(self, monitor: FakeMonitor) -> None:
        if self.kde:
            self._say(monitor.switch, 1, uint(0 if monitor.on else 3))
        else:
            self._say(monitor.switch, 0, uint(monitor.on))

    def _say(self, sender: int, opcode: int, arguments: bytes) -> None:
        assert self._client
        self._client.sendall(_HEADER.pack(sender, (8 + len(arguments)) << 16 | opcode) + arguments)
