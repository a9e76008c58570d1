"""Media players of this session: what the helper reads and does of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.messages import Offer, Thing
    from companion_agent.plugins.media.mpris import Players


class MediaDomain(Domain):
    """Follows the players that speak MPRIS, and controls the active one."""

    name: ClassVar[str] = "media"
    _players: Players | None = None

    async def start(self) -> Offer:
        """Look for players, and follow those that come and go.

        Raises:
            Unavailable: There is no session bus.
        """
        from companion_agent.plugins.media.mpris import Players  # noqa: PLC0415

        if self._players is None:
            self._players = Players(self.context, await self.context.bus("session"))
        return await self._players.start()

    async def call(
        self, command: Thing, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Control the active player."""
        assert self._players
        return await self._players.call(command.name, args)
