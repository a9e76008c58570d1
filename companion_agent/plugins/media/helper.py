"""Media players of this session, and what Home Assistant has played in it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError
from companion_agent.plugins.media.inbox import Inbox
from companion_agent.plugins.media.playback import TITLE
from companion_agent.protocol.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.plugins.media.playback import Playback
    from companion_agent.plugins.media.players import Players

_READINGS = tuple(
    Thing(kind.removeprefix("media.")) for kind in CATALOGUE if kind.startswith("media.")
)
_OF_PLAYBACK = (Thing("stop"), Thing("volume"))
_SOURCE, _LOAD, _PLAY_MEDIA = Thing("source"), Thing("load"), Thing("play_media")


class MediaDomain(Domain):
    """Follows the players that speak MPRIS, and plays what it is sent.

    What it plays itself is a player like others: while it is heard, that is the active one.
    """

    name: ClassVar[str] = "media"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._inbox = Inbox()
        self._players: Players | None = None
        self._playback: Playback | None = None
        self._cannot_play = ""
        self._program = ""
        # The players that were paused for what is played now.
        self._paused: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Offer:
        """Look for players, and follow those that come and go.

        Raises:
            Unavailable: There is no session bus.
        """
        if self._players is None:
            self._players = await self._make_players()
            self._prepare_playback()
        await self._players.start()
        self._tell()
        return self._offer()

    async def _make_players(self) -> Players:
        from companion_agent.plugins.media.mpris import MprisPlayers  # noqa: PLC0415

        return MprisPlayers(await self.context.bus("session"), self._tell)

    def _prepare_playback(self) -> None:
        from companion_agent.plugins.media import programs  # noqa: PLC0415

        if (program := programs.find()) is None:
            self._cannot_play = f"no program plays sound; {programs.WHAT_TO_INSTALL}"
            return
        self._program = program.name
        try:
            from companion_agent.plugins.media.pulse_playback import PulsePlayback  # noqa: PLC0415
        except ImportError:
            self._cannot_play = "install pilot-agent with the extra sound"
        except OSError:
            self._cannot_play = "libpulse cannot be loaded; install the package libpulse0 (Debian)"
        else:
            self._playback = PulsePlayback(self._tell, self._has_ended)

    async def call(
        self, command: Thing, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Control what is active, or play something."""
        assert self._players
        playback = self._playback
        if command == _LOAD:
            self._inbox.take(args["id"], int(args["offset"]), _decoded(args["data"]))
        elif command == _PLAY_MEDIA:
            await self._play(args)
        elif playback and playback.playing and command.name not in ("art", "source"):
            await self._control_playback(playback, command.name, args)
        else:
            if playback and playback.playing and command == _SOURCE:
                await playback.stop()
            return await self._players.call(command.name, args)
        return None

    async def stop(self) -> None:
        """End what is played."""
        self._inbox.clear()
        if self._playback:
            await self._playback.close()
        if self._players:
            await self._players.resume(self._paused)
            await self._players.stop()

    # --- What Home Assistant has played --------------------------------------------------

    async def _play(self, args: Mapping[str, Any]) -> None:
        assert self._players
        assert self._playback
        media = self._inbox.hand_over(args["id"])
        # One that replaces another has the same players wait on.
        waiting, self._paused = self._paused, []
        waiting += await self._players.pause_all()
        try:
            await self._playback.play(media, args["title"])
        except CommandError:
            await self._players.resume(waiting)
            raise
        if not args["announce"]:
            return
        self._paused = waiting
        if not self._playback.playing:
            self._has_ended()

    async def _control_playback(
        self, playback: Playback, name: str, args: Mapping[str, Any]
    ) -> None:
        if name == "stop":
            await playback.stop()
        elif name == "volume":
            await playback.set_volume(args["value"])
        else:
            raise CommandError("failed", f"what {TITLE} plays cannot do it")

    def _has_ended(self) -> None:
        assert self._players
        waiting, self._paused = self._paused, []
        if waiting:
            task = asyncio.create_task(self._players.resume(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- What the agent hears ------------------------------------------------------------

    def _offer(self) -> Offer:
        assert self._players
        way = self._players.way
        commands = tuple(Thing(name) for name in self._players.commands)
        options = {}
        if titles := self._players.titles:
            commands += (_SOURCE,)
            options[_SOURCE] = titles
        why = {"players": self._players.why} if self._players.why else {}
        if self._playback is None:
            why[_PLAY_MEDIA.name] = self._cannot_play
        else:
            commands += (_LOAD, _PLAY_MEDIA)
            # What it plays itself has more than some players.
            commands += tuple(one for one in _OF_PLAYBACK if one not in commands)
            way = ", ".join(filter(None, (way, self._program)))
        return Offer(_READINGS, commands, way, why, options)

    def _tell(self) -> None:
        assert self._players
        self.context.offer(self._offer())
        playback = self._playback
        values = playback.values if playback and playback.playing else self._players.values
        self.context.read({thing: values.get(thing.name) for thing in _READINGS})


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise CommandError("bad_arguments", "data is not base64") from None
