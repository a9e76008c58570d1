"""An X server of a test's own: as many requests as switching its monitors takes."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_DPMS, _SAVER = 140, 141
_SAVER_EVENT = 92
_ROOT = 0x2F1


class FakeXServer:
    """Serves one client after the other, in a thread.

    Args:
        path: Its socket.
        dpms: The version of DPMS that it has; none by zeroes.
        saver: Whether it can blank the screen.
        obeys: Whether it does what it is asked.
        cookie: What opens it; empty where anything does.

    Attributes:
        level: The level of its monitors: 0 is on, 3 is off.
        enabled: Whether DPMS is on.
        times: After how many seconds its monitors go to standby, to suspend, and off.
        saver_after: After how many seconds its screen is made black.
    """

    def __init__(
        self,
        path: Path,
        *,
        dpms: tuple[int, int] = (1, 2),
        saver: bool = True,
        obeys: bool = True,
        cookie: bytes = b"",
    ) -> None:
        self.level = 0
        self.enabled = False
        self.times = (0, 0, 0)
        self.saver_after = 0
        self._dpms, self._saver, self._obeys, self._cookie = dpms, saver, obeys, cookie
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._client: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.end()

    def end(self) -> None:
        """Hang up, as a server that ends does."""
        if self._client:
            self._client.shutdown(socket.SHUT_RDWR)

    def by_hand(self, level: int, *, enabled: bool = True, tells: str = "DPMS") -> None:
        """Switch the monitors, and say so: as DPMS does, or `saver` does."""
        self.level, self.enabled = level, enabled
        assert self._client
        event = struct.pack("=BBHIHHIHB", 35, _DPMS, 0, 0, 0, 0, 0, level, enabled)
        if tells == "saver":
            event = struct.pack("=BBHIIIBB", _SAVER_EVENT, level != 0, 0, 0, _ROOT, 0, 0, 0)
        self._client.sendall(event.ljust(32, b"\0"))

    def saver_begins(self) -> None:
        """Make the screen black by the saver's time-out; the monitors stay as they are."""
        assert self._client
        event = struct.pack("=BBHIIIBB", _SAVER_EVENT, 1, 0, 0, _ROOT, 0, 0, 0)
        self._client.sendall(event.ljust(32, b"\0"))

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._listener.accept()
            except OSError:
                return
            if self._welcome(self._client):
                self._take_all(self._client)

    def _welcome(self, client: socket.socket) -> bool:
        head = client.recv(12, socket.MSG_WAITALL)
        name, cookie = struct.unpack_from("=HH", head, 6)
        shown = client.recv((name + 3) // 4 * 4 + (cookie + 3) // 4 * 4, socket.MSG_WAITALL)
        if self._cookie and not shown.endswith(self._cookie):
            text = b"No way in\0\0\0"
            client.sendall(struct.pack("=BBHHH", 0, 9, 11, 0, len(text) // 4) + text)
            client.close()
            return False
        body = struct.pack("=IIIIHHBB10x", 0, 0, 0, 0, 4, 65535, 1, 1) + b"Test" + b"\0" * 8
        body += struct.pack("=I", _ROOT)
        client.sendall(struct.pack("=BBHHH", 1, 0, 11, 0, len(body) // 4) + body)
        return True

    def _take_all(self, client: socket.socket) -> None:
        sequence = 0
        while head := client.recv(4, socket.MSG_WAITALL):
            opcode, minor, size = struct.unpack("=BBH", head)
            arguments = client.recv(size * 4 - 4, socket.MSG_WAITALL) if size > 1 else b""
            sequence += 1
            reply = self._answer(opcode, minor, arguments)
            if reply is not None:
                client.sendall(struct.pack("=BBHI", 1, 0, sequence, 0) + reply.ljust(24, b"\0"))

    def _answer(self, opcode: int, minor: int, arguments: bytes) -> bytes | None:
        if opcode == 98:
            name = arguments[4 : 4 + struct.unpack_from("=H", arguments)[0]]
            there = {b"DPMS": self._dpms != (0, 0), b"MIT-SCREEN-SAVER": self._saver}[name]
            number = _DPMS if name == b"DPMS" else _SAVER
            return bytes([there, number, _SAVER_EVENT, 0])
        if opcode == _DPMS:
            return self._answer_dpms(minor, arguments)
        if opcode == 107 and self._obeys:
            (self.saver_after,) = struct.unpack_from("=h", arguments)
        if opcode == 108:
            return struct.pack("=HHBB", self.saver_after, 0, 1, 1)
        return None

    def _answer_dpms(self, minor: int, arguments: bytes) -> bytes | None:
        if minor == 0:
            return struct.pack("=HH", *self._dpms)
        if minor == 1:
            return b"\1"
        if minor == 2:
            return struct.pack("=HHH", *self.times)
        if minor == 3 and self._obeys:
            self.times = struct.unpack_from("=HHH", arguments)
        if minor == 7:
            return struct.pack("=HB", self.level, self.enabled)
        if minor in (4, 5):
            self.enabled = minor == 4
        elif minor == 6 and self._obeys and self.enabled:
            (self.level,) = struct.unpack_from("=H", arguments)
        return None
