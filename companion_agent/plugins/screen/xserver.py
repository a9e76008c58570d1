"""The screen of an X11 session: its monitors' power, or where there is none, its blanking.

Sources: dpmsproto 1.2 ("X Display Power Management Signaling Extension"), saverproto 1.1 ("MIT
Screen Saver Extension"), X Window System Protocol ("ForceScreenSaver", "SetScreenSaver").

A server tells nothing of a time-out that another program sets: it is read when the screen is
switched, by whatever, and when it is set.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
import struct
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.x11 import Extension, X11Client, X11Error
from companion_agent.plugins.screen.power import ALL, ScreenPower

if TYPE_CHECKING:
    from collections.abc import Callable

_GET_VERSION, _CAPABLE, _GET_TIMES, _SET_TIMES = 0, 1, 2, 3
_ENABLE, _DISABLE, _FORCE_LEVEL, _INFO, _SELECT = 4, 5, 6, 7, 8
_LEVEL_ON, _LEVEL_OFF = 0, 3
_INFO_NOTIFY_MASK = 1
_GENERIC = 35

_QUERY_INFO, _SELECT_SAVER = 1, 2
_SAVER_NOTIFY_MASK = 1
_SAVER_ON = (1, 2)
# Seconds by which two timers of a server may be apart.
_TIMERS = 0.5
_SET_SCREEN_SAVER, _GET_SCREEN_SAVER, _FORCE_SCREEN_SAVER = 107, 108, 115


class _Saver(NamedTuple):
    """The settings of the screen saver that every X server has.

    Attributes:
        seconds: When it begins; 0 for never.
        interval: How often it changes what it shows.
        blanks: Whether it makes the screen black, and shows no pattern.
        exposes: Whether windows may have to be drawn anew.
    """

    seconds: int
    interval: int
    blanks: int
    exposes: int


async def _saver(client: X11Client) -> _Saver:
    return _Saver(*struct.unpack_from("=HHBB", await client.ask(_GET_SCREEN_SAVER, 0), 8))


def _set_saver(client: X11Client, saver: _Saver) -> None:
    client.send(_SET_SCREEN_SAVER, 0, struct.pack("=hhBBxx", *saver))


def _earliest(*seconds: int) -> int:
    return min((one for one in seconds if one), default=0)


class DpmsPower(ScreenPower):
    """Switches the monitors off by DPMS.

    A user who has switched DPMS off does so for its time-outs; it is on only while the screen is
    off by a command.
    """

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("X11's DPMS", changed, ended)
        self.no_time_out = ""
        self._client = X11Client(self._on_event, ended)
        self._dpms = Extension(0, 0)
        self._saver: Extension | None = None
        self._enabled_here = False
        # Seconds from the beginning of the screen saver to DPMS; `None` where that does not follow.
        self._dpms_follows: float | None = None
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Ask the server what its monitors can."""
        async with self._client.opening():
            self._dpms = await self._find()
            self._client.send(self._dpms.opcode, _SELECT, struct.pack("=I", _INFO_NOTIFY_MASK))
            # Xorg 21.1.7 (Debian 12) tells nothing of DPMS, but of the screen saver, which it
            # begins and ends in the same moment.
            self._saver = await self._client.extension(b"MIT-SCREEN-SAVER")
            if self._saver:
                arguments = struct.pack("=II", self._client.root, _SAVER_NOTIFY_MASK)
                self._client.send(self._saver.opcode, _SELECT_SAVER, arguments)
            await self._look()

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

    async def set_time_out(self, seconds: int) -> None:
        """Set that of the monitors' power, and with it that of the screen saver.

        Else a saver that begins before would make the screen black, or one that is set to never
        would let it stay on where DPMS is off.
        """
        client, opcode = self._client, self._dpms.opcode
        try:
            client.send(opcode, _SET_TIMES, struct.pack("=HHHxx", 0, 0, seconds))
            _set_saver(client, (await _saver(client))._replace(seconds=seconds))
            _, enabled = await self._info()
            if seconds and (not enabled or self._enabled_here):
                client.send(opcode, _ENABLE)
                self._enabled_here = False
            await self._look()
        except X11Error as error:
            raise CommandError("failed", f"{self.name}: {error}") from error
        if self.time_out != seconds:
            raise CommandError("failed", f"{self.name}: the time-out is still {self.time_out} s")

    def close(self) -> None:
        """Hang up."""
        if self._looking:
            self._looking.cancel()
        self._client.close()

    async def _info(self) -> tuple[int, bool]:
        level, state = struct.unpack_from(
            "=HB", await self._client.ask(self._dpms.opcode, _INFO), 8
        )
        return level, bool(state)

    async def _look(self) -> None:
        level, enabled = await self._info()
        times = struct.unpack_from("=HHH", await self._client.ask(self._dpms.opcode, _GET_TIMES), 8)
        # Switched on by a command alone, DPMS has no time-outs for the user.
        off_after = _earliest(*times) if enabled and not self._enabled_here else 0
        saver = await _saver(self._client)
        self.time_out = _earliest(off_after, saver.seconds if saver.blanks else 0)
        self._dpms_follows = max(0, off_after - saver.seconds) + _TIMERS if off_after else None
        self._take(level, enabled)

    async def _look_again(self, *, saver_begins: bool) -> None:
        # An error here is one of the connection, which tells of its end itself.
        with suppress(X11Error):
            await self._look()
            if saver_begins and self.monitors[ALL] and self._dpms_follows is not None:
                await asyncio.sleep(self._dpms_follows)
                await self._look()

    def _on_event(self, kind: int, message: bytes) -> None:
        if kind == _GENERIC and message[1] == self._dpms.opcode:
            level, state = struct.unpack_from("=HB", message, 16)
            self._take(level, bool(state))
        elif self._saver and kind == self._saver.first_event:
            # Sent before the monitors are switched; asked, the server answers afterwards. Where the
            # saver has begun by its own time-out, nothing tells of the monitors' later one.
            if self._looking:
                self._looking.cancel()
            begins = message[1] in _SAVER_ON
            self._looking = asyncio.create_task(self._look_again(saver_begins=begins))

    def _take(self, level: int, enabled: bool) -> None:
        monitors = {ALL: not enabled or level == _LEVEL_ON}
        if monitors != self.monitors:
            self.monitors = monitors
            self.notice()


class BlankingPower(ScreenPower):
    """Blanks the screen: it is black, and the monitors stay under power."""

    def __init__(self, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        super().__init__("MIT-SCREEN-SAVER (black, not switched off)", changed, ended)
        self.no_time_out = ""
        self._client = X11Client(self._on_event, ended)
        self._saver = Extension(0, 0)

    async def open(self) -> None:
        """Ask the server whether it can blank."""
        async with self._client.opening():
            self._saver = await self._find()
            arguments = struct.pack("=II", self._client.root, _SAVER_NOTIFY_MASK)
            self._client.send(self._saver.opcode, _SELECT_SAVER, arguments)
            await self._look()

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

    async def set_time_out(self, seconds: int) -> None:
        """Set that of the screen saver; it makes the screen black then, and shows no pattern."""
        try:
            saver = await _saver(self._client)
            blanks = 1 if seconds else saver.blanks
            _set_saver(self._client, saver._replace(seconds=seconds, blanks=blanks))
            await self._look()
        except X11Error as error:
            raise CommandError("failed", f"{self.name}: {error}") from error
        if self.time_out != seconds:
            raise CommandError("failed", f"{self.name}: the time-out is still {self.time_out} s")

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def _look(self) -> None:
        saver = await _saver(self._client)
        self.time_out = saver.seconds if saver.blanks else 0
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
