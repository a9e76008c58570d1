"""Media players of a Windows session, and what Home Assistant has played in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.plugins.media.helper import MediaDomain
from companion_agent.plugins.media.media_foundation import MediaFoundation
from companion_agent.plugins.media.players import NoPlayers
from companion_agent.plugins.media.transport_controls import TransportControls

if TYPE_CHECKING:
    from companion_agent.desktop.messages import Offer
    from companion_agent.plugins.media.players import Players


class WindowsMediaDomain(MediaDomain):
    """Follows the players that Windows' controls of media show, and plays what it is sent.

    Where nothing tells of players it plays all the same.
    """

    async def start(self) -> Offer:
        """Look for players, and follow those that come and go.

        Raises:
            Unavailable: There are neither players nor anything that plays sound.
        """
        try:
            return await super().start()
        except Unavailable as error:
            if self._playback is None:
                raise Unavailable(f"{error.reason}; {self._cannot_play}") from error
            self._players = NoPlayers(f"{error.reason}{error.hint and f'; {error.hint}'}")
            return await super().start()

    async def _make_players(self) -> Players:
        return TransportControls(self._tell)

    def _prepare_playback(self) -> None:
        try:
            self._playback = MediaFoundation(self._tell, self._has_ended)
        except Unavailable as error:
            self._cannot_play = error.reason
        else:
            self._program = "Media Foundation"
