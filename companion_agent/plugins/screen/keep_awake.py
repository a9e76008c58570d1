"""Keeps a session from going idle, and the machine from sleeping by itself, while that is wanted.

logind is asked, which every service of the system heeds, and beside it the desktop's own service
where it has one, since GNOME and KDE do not look at logind before they blank the screen. Sources:
org.freedesktop.login1(5), "Inhibit()"; org.gnome.SessionManager; the Idle Inhibition Service draft.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.linux.dbus import BusError, Target, take_descriptor

if TYPE_CHECKING:
    from companion_agent.platforms.linux.async_bus import AsyncBus

_LOGIND = Target(
    "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
)
_GNOME = Target("org.gnome.SessionManager", "/org/gnome/SessionManager", "org.gnome.SessionManager")
_FREEDESKTOP = Target(
    "org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"
)
# Seconds in which logind notices that an inhibitor's pipe was closed, and between two looks.
LETS_GO, LOOK_AGAIN = 2.0, 0.05
_WHAT = {"idle", "sleep"}
_WHO = "Pilot"
# It is told apart from those of other sessions' helpers by this.
_WHY = f"Asked for through Home Assistant (process {os.getpid()})"
# org.gnome.SessionManager: inhibit suspending (4) and the session being marked as idle (8).
_GNOME_IDLE = 8
_GNOME_FLAGS = 4 | _GNOME_IDLE


class KeepAwake:
    """Holds inhibitors; they end with this process, whatever becomes of it.

    Args:
        system: The system bus.
        session: The session bus; `None` where there is none.
    """

    def __init__(self, system: AsyncBus, session: AsyncBus | None) -> None:
        self._system = system
        self._session = session
        self._descriptor: int | None = None
        self._cookie: tuple[Target, int] | None = None

    async def probe(self) -> str:
        """Return by what it is done.

        Raises:
            Unavailable: logind does not answer.
        """
        try:
            await self.on()
        except BusError as error:
            raise Unavailable(f"logind cannot be asked: {error.text}") from error
        beside = await self._service()
        return f"logind and {beside.service}" if beside else "logind"

    async def on(self) -> bool:
        """Read back whether logind holds our inhibitor."""
        (inhibitors,) = await self._system.call(_LOGIND, "ListInhibitors")
        return any(
            (set(what.split(":")), why, mode) == (_WHAT, _WHY, "block")
            for what, _, why, mode, *_ in inhibitors
        )

    async def switch(self, *, on: bool) -> bool:
        """Hold inhibitors or let them go; return what was read back.

        Raises:
            CommandError: They are refused, or not held all the same.
        """
        try:
            if on and self._descriptor is None:
                await self._hold()
            elif not on:
                await self._let_go()
            held = await self._read_back(on=on)
        except BusError as error:
            raise CommandError("failed", error.text) from error
        if held != on:
            raise CommandError("failed", f"logind {'holds' if held else 'does not hold'} it")
        return held

    async def _read_back(self, *, on: bool) -> bool:
        """Return what logind holds: it answers calls before it notices what was let go."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LETS_GO
        # No signal tells the end of a single inhibitor.
        while (held := await self.on()) and not on and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN)
        return held

    def close(self) -> None:
        """Let go of logind's inhibitor; the other service notices the end of the connection."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def _hold(self) -> None:
        reply = await self._system.call(
            _LOGIND, "Inhibit", "ssss", ":".join(sorted(_WHAT)), _WHO, _WHY, "block"
        )
        self._descriptor = take_descriptor(reply[0])
        service = await self._service()
        if service is None or self._session is None:
            return
        if service is _GNOME:
            args: tuple[Any, ...] = ("susu", _WHO, 0, _WHY, _GNOME_FLAGS)
        else:
            args = ("ss", _WHO, _WHY)
        (cookie,) = await self._session.call(service, "Inhibit", *args)
        self._cookie = service, cookie

    async def _let_go(self) -> None:
        self.close()
        if self._cookie and self._session:
            (service, cookie), self._cookie = self._cookie, None
            method = "Uninhibit" if service is _GNOME else "UnInhibit"
            await self._session.call(service, method, "u", cookie)

    async def _service(self) -> Target | None:
        if self._session is None:
            return None
        for service in (_GNOME, _FREEDESKTOP):
            if await self._session.owner(service.service):
                return service
        return None
