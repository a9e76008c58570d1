"""The active window of an X11 session, as its window manager tells it.

Sources: Extended Window Manager Hints 1.5, ICCCM 2.0 ("WM_NAME", "WM_CLASS"), X Window System
Protocol ("InternAtom", "GetProperty", "ChangeWindowAttributes", "PropertyNotify").
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.x11 import X11Client, X11Error
from companion_agent.plugins.window.watch import Window, WindowWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGE_ATTRIBUTES, _INTERN_ATOM, _GET_PROPERTY = 2, 16, 20
_EVENT_MASK, _PROPERTY_CHANGES = 0x800, 1 << 22
_PROPERTY_NOTIFY = 28
# Words of a property that are read: more than is told of a title.
_MOST_WORDS = 1024
_ATOMS = (
    b"_NET_SUPPORTED", b"_NET_ACTIVE_WINDOW", b"_NET_WM_NAME", b"WM_NAME", b"WM_CLASS",
    b"_NET_WM_STATE", b"_NET_WM_STATE_FULLSCREEN",
)  # fmt: skip


class XServerWindows(WindowWatch):
    """Follows what the window manager says of the root window, and what the active one says."""

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("X11's _NET_ACTIVE_WINDOW", changed)
        self._client = X11Client(self._on_event, ended)
        self._atoms: dict[bytes, int] = {}
        self._followed: int | None = None
        self._looking: asyncio.Task[None] | None = None
        self._again = False

    async def open(self) -> None:
        """Ask whether the window manager tells it, and begin to follow."""
        async with self._client.opening():
            await self._begin()

    async def _begin(self) -> None:
        for name in _ATOMS:
            arguments = struct.pack("=HH", len(name), 0) + name
            reply = await self._client.ask(_INTERN_ATOM, 0, arguments)
            (self._atoms[name],) = struct.unpack_from("=I", reply, 8)
        root = self._client.root
        supported = _words(await self._property(root, b"_NET_SUPPORTED"))
        if self._atoms[b"_NET_ACTIVE_WINDOW"] not in supported:
            raise Unavailable("the window manager does not tell which window is active")
        self._follow(root)
        await self._look()

    def close(self) -> None:
        """Hang up."""
        if self._looking:
            self._looking.cancel()
        self._client.close()

    def _follow(self, window: int) -> None:
        arguments = struct.pack("=III", window, _EVENT_MASK, _PROPERTY_CHANGES)
        self._client.send(_CHANGE_ATTRIBUTES, 0, arguments)

    def _on_event(self, kind: int, message: bytes) -> None:
        if kind != _PROPERTY_NOTIFY:
            return
        window, atom = struct.unpack_from("=II", message, 4)
        told = (
            atom == self._atoms[b"_NET_ACTIVE_WINDOW"]
            if window == self._client.root
            else window == self._followed and atom in self._atoms.values()
        )
        if not told:
            return
        self._again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._look()
            except X11Error:
                # The window has gone; the window manager is about to say which comes after it.
                self.take(None)

    async def _look(self) -> None:
        active = _words(await self._property(self._client.root, b"_NET_ACTIVE_WINDOW"))
        window = active[0] if active else 0
        if not window:
            self._followed = None
            self.take(None)
            return
        if window != self._followed:
            self._followed = window
            self._follow(window)
        title = (await self._property(window, b"_NET_WM_NAME")).decode("utf-8", "replace")
        if not title:
            title = (await self._property(window, b"WM_NAME")).decode("latin-1")
        # Its instance, and its class.
        names = (await self._property(window, b"WM_CLASS")).decode("latin-1").split("\0")
        states = _words(await self._property(window, b"_NET_WM_STATE"))
        full_screen = self._atoms[b"_NET_WM_STATE_FULLSCREEN"] in states
        self.take(Window(window, title, names[1] if len(names) > 1 else names[0], full_screen))

    async def _property(self, window: int, name: bytes) -> bytes:
        arguments = struct.pack("=IIIII", window, self._atoms[name], 0, 0, _MOST_WORDS)
        reply = await self._client.ask(_GET_PROPERTY, 0, arguments)
        (count,) = struct.unpack_from("=I", reply, 16)
        return reply[32 : 32 + count * (reply[1] // 8)]


def _words(data: bytes) -> list[int]:
    return [word for (word,) in struct.iter_unpack("=I", data[: len(data) // 4 * 4])]
