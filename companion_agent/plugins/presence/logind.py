"""Idleness as the desktop tells it to logind, in its own time: for desktops that tell no other way.

Source: org.freedesktop.login1(5), `IdleHint` and `IdleSinceHint` of a session.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.dbus import BusError
from companion_agent.platforms.linux.logind import MANAGER, SESSION_INTERFACE
from companion_agent.plugins.presence.idle import IdleWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.linux.async_bus import AsyncBus

_MICROSECONDS = 1_000_000
_GRAPHICAL = frozenset({"x11", "wayland", "mir"})


class LogindIdle(IdleWatch):
    """Follows the hint of this session.

    Args:
        bus: The system bus.
        after: As for every way; the desktop has a time of its own, which counts.
        changed: As for every way; also when the desktop has told for the first time.

    Attributes:
        told: Whether the desktop has ever told. Many never do, and would be in use for ever.
    """

    def __init__(self, bus: AsyncBus, after: float, changed: Callable[[], None]) -> None:
        super().__init__("logind's IdleHint (after the desktop's own time)", after, changed)
        self.told = False
        self._bus = bus
        self._listening = False
        self._open = True

    async def open(self) -> None:
        """Read the hint, and hear of its changes; also of the first one, where there was none."""
        try:
            (path,) = await self._bus.call(MANAGER, "GetSession", "s", "auto")
            session = MANAGER.at(path, SESSION_INTERFACE)
            properties = await self._bus.get_all(session)
        except BusError as error:
            raise Unavailable(f"logind cannot be asked: {error.text}") from error
        if properties.get("Type") not in _GRAPHICAL:
            raise Unavailable("this session has no windows")
        if not self._listening:
            self._listening = True
            self._bus.on_properties(lambda changed, _: self._take(changed), session)
        self.told = bool(properties.get("IdleSinceHint"))
        if not self.told:
            raise Unavailable("the desktop has not told logind when it is idle")
        self._take(properties)

    def close(self) -> None:
        """Take no more notice; the connection belongs to all domains."""
        self._open = False

    def _take(self, properties: dict[str, Any]) -> None:
        if not self._open or "IdleHint" not in properties:
            return
        first, self.told = not self.told, True
        since = properties.get("IdleSinceHint", 0) / _MICROSECONDS or time.time()
        before = self.idle
        self.take(idle=bool(properties["IdleHint"]), ago=time.time() - since)
        if first and self.idle == before:
            self._tell_changed()
