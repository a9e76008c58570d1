"""Whether this session is in use: what the helper hears of keys and movements, never which."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
import os
from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain, open_first
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import Unavailable
from companion_agent.plugins.desktop_defaults import IDLE_AFTER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from companion_agent.plugins.presence.idle import IdleWatch
    from companion_agent.plugins.presence.logind import LogindIdle

IN_USE, SINCE = Thing("in_use"), Thing("since")


class PresenceDomain(Domain):
    """Tells whether this session is in use, by the first way that there is."""

    name: ClassVar[str] = "presence"
    _watch: IdleWatch | None = None
    _logind: LogindIdle | None = None

    async def start(self) -> Offer:
        """Look for a way to hear of it.

        Raises:
            Unavailable: There is none.
        """
        if self._watch is None:
            self._watch = await open_first(self._ways())
        self._changed()
        return self._offer(self._watch)

    async def stop(self) -> None:
        """Hear no more."""
        for watch in (self._watch, self._logind):
            if watch:
                watch.close()

    @staticmethod
    def _offer(watch: IdleWatch) -> Offer:
        return Offer((SINCE, IN_USE), way=watch.name)

    async def _ways(self) -> AsyncIterator[IdleWatch]:
        after = float(self.context.settings.get("idle_after", IDLE_AFTER))
        from companion_agent.plugins.presence.compositor import CompositorIdle  # noqa: PLC0415

        yield CompositorIdle(after, self._changed, self._display_gone)
        with suppress(Unavailable):
            session = await self.context.bus("session")
            from companion_agent.plugins.presence.mutter import MutterIdle  # noqa: PLC0415

            yield MutterIdle(session, after, self._changed)
        if "WAYLAND_DISPLAY" not in os.environ:
            # Beside a Wayland compositor the X server hears only of its own windows.
            from companion_agent.plugins.presence.xserver import XServerIdle  # noqa: PLC0415

            yield XServerIdle(after, self._changed, self._display_gone)
        with suppress(Unavailable):
            system = await self.context.bus("system")
            from companion_agent.plugins.presence.logind import LogindIdle  # noqa: PLC0415

            if self._logind is None:
                self._logind = LogindIdle(system, after, self._changed)
            yield self._logind

    def _changed(self) -> None:
        if self._watch is None and self._logind and self._logind.told:
            self._watch = self._logind
            self.context.offer(self._offer(self._watch))
        if self._watch:
            since = datetime.fromtimestamp(round(self._watch.since), UTC).isoformat()
            self.context.read({IN_USE: not self._watch.idle, SINCE: since})

    def _display_gone(self, _: str) -> None:
        self.context.session_has_ended()
