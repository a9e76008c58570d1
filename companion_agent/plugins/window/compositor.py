"""The active window as wlroots' compositors tell it: sway, labwc, Hyprland, COSMIC and others.

Source: wlr-foreign-toplevel-management-unstable-v1.xml.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
import struct
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.wayland import WaylandClient, read_text, read_uint
from companion_agent.plugins.window.watch import Window, WindowWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_MANAGER = "zwlr_foreign_toplevel_manager_v1"
# Version 2 tells what fills the screen.
_VERSION = 2
_TOPLEVEL = 0
_TITLE, _APP_ID, _STATE, _DONE, _CLOSED = 0, 1, 4, 5, 6
_DESTROY = 7
_ACTIVATED, _FULL_SCREEN = 2, 3


@dataclass(slots=True)
class _Toplevel:
    title: str = ""
    program: str = ""
    states: frozenset[int] = field(default_factory=frozenset)


class CompositorWindows(WindowWatch):
    """Hears of every window, and keeps which is active."""

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("wlr-foreign-toplevel-management", changed)
        self._client = WaylandClient(lambda _: None, ended)
        self._windows: dict[int, _Toplevel] = {}

    async def open(self) -> None:
        """Have the compositor list its windows."""
        await self._client.open()
        try:
            await self._list()
        except Unavailable:
            self._client.close()
            raise

    async def _list(self) -> None:
        client = self._client
        found = [one for one in client.globals.values() if one.interface == _MANAGER]
        if not found:
            raise Unavailable("this compositor has no wlr-foreign-toplevel-management")
        client.bind(found[0], _VERSION, self._manager_event)
        # Windows say what they are once they are known.
        await client.roundtrip()
        await client.roundtrip()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _manager_event(self, opcode: int, arguments: bytes) -> None:
        if opcode == _TOPLEVEL:
            number = read_uint(arguments)
            self._windows[number] = _Toplevel()
            self._client.adopt(number, partial(self._window_event, number))

    def _window_event(self, number: int, opcode: int, arguments: bytes) -> None:
        window = self._windows.get(number)
        if window is None:
            return
        if opcode == _TITLE:
            window.title = read_text(arguments)
        elif opcode == _APP_ID:
            window.program = read_text(arguments)
        elif opcode == _STATE:
            size = read_uint(arguments)
            states = struct.iter_unpack("=I", arguments[4 : 4 + size])
            window.states = frozenset(state for (state,) in states)
        elif opcode == _CLOSED:
            del self._windows[number]
            self._client.request(number, _DESTROY)
            self._client.forget(number)
            self._look()
        elif opcode == _DONE:
            self._look()

    def _look(self) -> None:
        active = next((one for one in self._windows.items() if _ACTIVATED in one[1].states), None)
        if active is None:
            self.take(None)
            return
        number, window = active
        full_screen = _FULL_SCREEN in window.states
        self.take(Window(number, window.title, window.program, full_screen))
