"""The screen of an X11 session: its monitors' power, or where there is none, its blanking.

Sources: dpmsproto 1.2 ("X Display Power Management Signaling Extension"), saverproto 1.1 ("MIT
Screen Saver Extension"), X Window System Protocol ("ForceScreenSaver").
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
import struct
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.x11 import Extension, X11Client, X11Error
from companion_agent.plugins.screen.power import ALL, ScreenPower

if TYPE_CHECKING:
    from collections.abc import Callable

_GET_VERSION, _CAPABLE, _ENABLE, _DISABLE, _FORCE_LEVEL, _INFO, _SELECT = 0, 1, 4, 5, 6, 7, 8
_LEVEL_ON, _LEVEL_OFF = 0, 3
_INFO_NOTIFY_MASK = 1
_GENERIC = 35

_QUERY_INFO, _SELECT_SAVER = 1, 2
_SAVER_NOTIFY_MASK = 1
_SAVER_ON = (1, 2)
_FORCE_SCREEN_SAVER = 115


class DpmsPower(ScreenPower):
    """Switches the monitors off by DPMS.

    A user who has switched DPMS off does so for its time-outs; it is on only while the screen is
    off by a command.
    """

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("X11's DPMS", changed, ended)
        self._client = X11Client(self._on_event, ended)
        self._dpms = Extension(0, 0)
        self._saver: Extension | None = None
        self._enabled_here = False
        self._looks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Ask the server what its monitors can."""
        await self._client.open()
        try:
            self._dpms = await self._find()
            self._client.send(self._dpms.opcode, _SELECT, struct.pack("=I", _INFO_NOTIFY_MASK))
            # Xorg 21.1.7 (Debian 12) tells nothing of DPMS, but of the screen saver, which it
            # begins and ends in the same moment.
            self._saver = await self._client.extension(b"MIT-SCREEN-SAVER")
            if self._saver:
                arguments = struct.pack("=II", self._client.root, _SAVER_NOTIFY_MASK)
                self._client.send(self._saver.opcode, _SELECT_SAVER, arguments)
            await self._look()
        except X11Error as error:
            self._client.close()
            raise Unavailable(str(error)) from error
        except Unavailable:
            self._client.close()
            raise

    async def _find(self) -> Extension:
        client = self._client
        found = await client.extension(b"DPMS")
        if found is None or not (await client.ask(found.opcode, _CAPABLE))[8]:
            raise Unavailable("this X server cannot switch its monitors (no DPMS)")
        version = await client.ask(found.opcode, _GET_VERSION, struct.pack("=HH", 1, 2))
        if struct.unpack_from("=HH", version, 8) < (1, 2):
            # Nothing would tell when they are switched otherwise.
            raise Unavailable("this X server does not tell of switching (DPMS before 1.2)")
        return found

    async def switch(self, monitor: str, *, on: bool) -> None:
        """Switch them; what was done by hand may not have been told."""
        try:
            await self._look()
        except X11Error as error:
            raise CommandError("failed", f"{self.name}: {error}") from error
        await super().switch(monitor, on=on)

    async def request(self, monitor: str, *, on: bool) -> None:
        """Force the level."""
        opcode = self._dpms.opcode
        try:
            _, enabled = await self._info()
            if not on and not enabled:
                self._client.send(opcode, _ENABLE)
                self._enabled_here = True
            level = struct.pack("=Hxx", _LEVEL_ON if on else _LEVEL_OFF)
            self._client.send(opcode, _FORCE_LEVEL, level)
            await self._look()
            if on and self._enabled_here:
                self._client.send(opcode, _DISABLE)
                self._enabled_here = False
        except X11Error as error:
            raise CommandError("failed", f"{self.name}: {error}") from error

    def close(self) -> None:
        """Hang up."""
        for task in self._looks:
            task.cancel()
        self._client.close()

    async def _info(self) -> tuple[int, bool]:
        level, state = struct.unpack_from(
            "=HB", await self._client.ask(self._dpms.opcode, _INFO), 8
        )
        return level, bool(state)

    async def _look(self) -> None:
        self._take(*await self._info())

    async def _look_again(self) -> None:
        # An error here is one of the connection, which tells of its end itself.
        with suppress(X11Error):
            await self._look()

    def _on_event(self, kind: int, message: bytes) -> None:
        if kind == _GENERIC and message[1] == self._dpms.opcode:
            level, state = struct.unpack_from("=HB", message, 16)
            self._take(level, bool(state))
        elif self._saver and kind == self._saver.first_event:
            # Sent before the monitors are switched; asked, the server answers afterwards.
            task = asyncio.ensure_future(self._look_again())
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    def _take(self, level: int, enabled: bool) -> None:
        monitors = {ALL: not enabled or level == _LEVEL_ON}
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()


class BlankingPower(ScreenPower):
    """Blanks the screen: it is black, and the monitors stay under power."""

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("MIT-SCREEN-SAVER (black, not switched off)", changed, ended)
        self._client = X11Client(self._on_event, ended)
        self._saver = Extension(0, 0)

    async def open(self) -> None:
        """Ask the server whether it can blank."""
        await self._client.open()
        try:
            self._saver = await self._find()
            arguments = struct.pack("=II", self._client.root, _SAVER_NOTIFY_MASK)
            self._client.send(self._saver.opcode, _SELECT_SAVER, arguments)
            await self._look()
        except X11Error as error:
            self._client.close()
            raise Unavailable(str(error)) from error
        except Unavailable:
            self._client.close()
            raise

    async def _find(self) -> Extension:
        found = await self._client.extension(b"MIT-SCREEN-SAVER")
        if found is None:
            raise Unavailable("this X server cannot blank its screen (no MIT-SCREEN-SAVER)")
        return found

    async def request(self, monitor: str, *, on: bool) -> None:
        """Force the screen saver."""
        try:
            self._client.send(_FORCE_SCREEN_SAVER, 0 if on else 1)
            await self._look()
        except X11Error as error:
            raise CommandError("failed", f"{self.name}: {error}") from error

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def _look(self) -> None:
        arguments = struct.pack("=I", self._client.root)
        self._take((await self._client.ask(self._saver.opcode, _QUERY_INFO, arguments))[1])

    def _on_event(self, kind: int, message: bytes) -> None:
        if kind == self._saver.first_event:
            self._take(message[1])

    def _take(self, state: int) -> None:
        monitors = {ALL: state not in _SAVER_ON}
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()
