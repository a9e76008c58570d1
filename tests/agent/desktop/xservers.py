"""A real X server for tests, and what other programs do at it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Self

import pytest

from companion_agent.platforms.linux.x11 import X11Client
from support.event_loop import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREATE_WINDOW, _INTERN_ATOM, _CHANGE_PROPERTY, _DESTROY_WINDOW = 1, 16, 18, 4
_ATOM, _CARDINAL, _STRING, _WINDOW = 4, 6, 31, 33
_FAKE_INPUT, _MOTION = 2, 6


def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start Xvfb as the X server of the session, and yield its display."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed (Debian: apt install xvfb)")
    process = subprocess.Popen(
        [program, "-displayfd", "1", "-nolisten", "tcp", "-noreset"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    display = f":{process.stdout.readline().strip()}"
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    yield display
    process.terminate()
    process.wait(PATIENCE)


class XPrograms:
    """A window manager and a program, as far as others hear of them."""

    def __init__(self) -> None:
        self._client = X11Client(lambda *_: None, lambda _: None)

    async def __aenter__(self) -> Self:
        await self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def settle(self) -> None:
        """Wait until the server has done what was asked."""
        await self._client.extension(b"SYNC")

    async def move_the_mouse(self) -> None:
        found = await self._client.extension(b"XTEST")
        assert found
        for place in (5, 9):
            arguments = struct.pack(
                "=BBxxIIQhhQ", _MOTION, 0, 0, self._client.root, 0, place, place, 0
            )
            self._client.send(found.opcode, _FAKE_INPUT, arguments)
        await self.settle()

    async def manage(self) -> None:
        """Say what a window manager says that keeps to the hints."""
        await self.set(self._client.root, b"_NET_SUPPORTED", _ATOM, b"_NET_ACTIVE_WINDOW")
        await self.settle()

    async def open_window(self, title: str, program: str) -> int:
        window = self._client.new_id()
        arguments = struct.pack("=IIhhHHHHII", window, self._client.root, 0, 0, 9, 9, 0, 1, 0, 0)
        self._client.send(_CREATE_WINDOW, 0, arguments)
        await self.set_title(window, title)
        name = program.encode("latin-1")
        await self.set(window, b"WM_CLASS", _STRING, text=name.lower() + b"\0" + name + b"\0")
        return window

    async def set_title(self, window: int, title: str) -> None:
        utf8 = await self._atom(b"UTF8_STRING")
        await self.set(window, b"_NET_WM_NAME", utf8, text=title.encode())
        await self.settle()

    async def fill_the_screen(self, window: int) -> None:
        await self.set(window, b"_NET_WM_STATE", _ATOM, b"_NET_WM_STATE_FULLSCREEN")
        await self.settle()

    async def activate(self, window: int) -> None:
        """Say which window is active; 0 for none."""
        root = self._client.root
        await self.set(root, b"_NET_ACTIVE_WINDOW", _WINDOW, number=window)
        await self.settle()

    async def set(
        self, window: int, name: bytes, kind: int, *atoms: bytes, text: bytes = b"",
        number: int | None = None,
    ) -> None:  # fmt: skip
        words = [await self._atom(atom) for atom in atoms]
        words += [] if number is None else [number]
        data = struct.pack(f"={len(words)}I", *words) if words else text
        size, count = (32, len(words)) if words else (8, len(text))
        head = struct.pack("=IIIBxxxI", window, await self._atom(name), kind, size, count)
        self._client.send(_CHANGE_PROPERTY, 0, head + data)

    async def _atom(self, name: bytes) -> int:
        arguments = struct.pack("=HH", len(name), 0) + name
        reply = await self._client.ask(_INTERN_ATOM, 0, arguments)
        return int(struct.unpack_from("=I", reply, 8)[0])
