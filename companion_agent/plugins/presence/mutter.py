"""Idleness as GNOME's compositor tells it. Source: org.gnome.Mutter.IdleMonitor.xml of Mutter."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.dbus import BusError, Target
from companion_agent.plugins.presence.idle import IdleWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.dbus import Signal

MONITOR = Target(
    "org.gnome.Mutter.IdleMonitor",
    "/org/gnome/Mutter/IdleMonitor/Core",
    "org.gnome.Mutter.IdleMonitor",
)


class MutterIdle(IdleWatch):
    """Has Mutter watch: for the time that passes, and while it is idle for the next movement.

    Args:
        bus: The session bus.
        after: As for every way.
        changed: As for every way.
    """

    def __init__(self, bus: AsyncBus, after: float, changed: Callable[[], None]) -> None:
        super().__init__("Mutter's IdleMonitor", after, changed)
        self._bus = bus
        self._idle_watch = 0
        # One for the next movement, which is spent when it has fired.
        self._active_watch = 0
        self._asking: asyncio.Task[None] | None = None
        self._open = False

    async def open(self) -> None:
        """Ask how long nothing was touched, and for word."""
        if not await self._bus.owner(MONITOR.service):
            raise Unavailable("GNOME's compositor does not run")
        self._bus.subscribe(
            self._fired, sender=MONITOR.service, path=MONITOR.path, interface=MONITOR.interface,
            member="WatchFired",
        )  # fmt: skip
        self._open = True
        try:
            interval = round(self.after * 1000)
            (self._idle_watch,) = await self._bus.call(MONITOR, "AddIdleWatch", "t", interval)
            await self._look()
        except BusError as error:
            self._open = False
            raise Unavailable(f"GNOME's compositor cannot be asked: {error.text}") from error

    def close(self) -> None:
        """Have it watch no more; the connection belongs to all domains."""
        if not self._open:
            return
        self._open = False
        if self._asking:
            self._asking.cancel()
        for watch in (self._idle_watch, self._active_watch):
            if watch:
                self._bus.tell(MONITOR, "RemoveWatch", "u", watch)

    def _fired(self, signal: Signal) -> None:
        (watch,) = signal.body
        if not self._open:
            return
        if watch == self._idle_watch:
            self._asking = asyncio.create_task(self._follow())
        elif watch == self._active_watch:
            self._active_watch = 0
            self.take(idle=False)

    async def _follow(self) -> None:
        # One that has gone ends the session.
        with suppress(BusError):
            await self._look()

    async def _look(self) -> None:
        """Ask how long nothing was touched; where that is long, hear of the next movement."""
        (seconds,) = [one / 1000 for one in await self._bus.call(MONITOR, "GetIdletime")]
        if seconds >= self.after and not self._active_watch:
            (self._active_watch,) = await self._bus.call(MONITOR, "AddUserActiveWatch")
            # What moved before it was watched for has to be seen.
            (seconds,) = [one / 1000 for one in await self._bus.call(MONITOR, "GetIdletime")]
        self.take(idle=seconds >= self.after, ago=seconds)
