"""Players on the session bus by MPRIS 2.2, and which of them is active.

A player is who owns the name on the bus: one with two names (mpv with its instance's) is one. That
which began to play, or was chosen, last is active. Positions are never signalled: they are read
when a track, the state or the rate changes, or a player tells that it has jumped, and a reader
counts on from there.

Source: specifications.freedesktop.org/mpris-spec/2.2
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
import math
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

from companion_agent.desktop.messages import MAX_TEXT
from companion_agent.errors import CommandError
from companion_agent.platforms.linux.dbus import BusError, Target, plain
from companion_agent.plugins.media import art
from companion_agent.plugins.media.players import (
    NEAR,
    PAUSES_WITHIN,
    READ_BACK,
    FollowedPlayers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from companion_agent.models import Value
    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.dbus import Signal

_NAMESPACE = "org.mpris.MediaPlayer2"
_PATH = "/org/mpris/MediaPlayer2"
_ROOT, _PLAYER = _NAMESPACE, f"{_NAMESPACE}.Player"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DBUS = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
# It stands for whichever player it takes for the active one.
_PROXIES = frozenset({f"{_NAMESPACE}.playerctld"})

_STATES = {"Playing": "playing", "Paused": "paused", "Stopped": "stopped"}
_REPEAT = {"None": "off", "Track": "one", "Playlist": "all"}
_LOOP_STATUS = {name: status for status, name in _REPEAT.items()}
_MICROSECONDS = 1_000_000
# The properties after whose change the position has to be read anew.
_MOVES = frozenset({"PlaybackStatus", "Rate", "Metadata", "Position"})


@dataclass(eq=False, slots=True)
class _Player:
    """A player, by who owns its names.

    Attributes:
        owner: Its unique name on the bus.
        names: The names that it owns.
        title: What it calls itself.
        properties: Those of the interface `Player`, as they were told last.
        position: Seconds into the track, and when that was read.
        turn: Grows with every time that one begins to play, or is chosen.
    """

    owner: str
    names: set[str]
    title: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    position: tuple[float, str] | None = None
    turn: int = 0

    @property
    def target(self) -> Target:
        return Target(self.owner, _PATH, _PLAYER)

    @property
    def playing(self) -> bool:
        return self.properties.get("PlaybackStatus") == "Playing"

    @property
    def metadata(self) -> dict[str, Any]:
        return plain(self.properties.get("Metadata") or {})


class MprisPlayers(FollowedPlayers[_Player]):
    """Follows all players of a session that speak MPRIS.

    Args:
        bus: The session's bus.
        changed: Called when there is another player, or one says something else.
    """

    way: ClassVar[str] = "MPRIS"
    commands: ClassVar[tuple[str, ...]] = (
        "play", "pause", "stop", "next", "previous", "seek", "volume", "shuffle", "repeat", "art",
    )  # fmt: skip

    def __init__(self, bus: AsyncBus, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._subscribed = False

    async def start(self) -> None:
        """Find the players that are there, and follow those that come and go."""
        if not self._subscribed:
            self._subscribed = True
            self._bus.subscribe(
                self._owner_changed, sender=_DBUS.service, interface=_DBUS.interface,
                member="NameOwnerChanged", arg0namespace=_NAMESPACE,
            )  # fmt: skip
            self._bus.subscribe(
                self._properties_changed, path=_PATH, interface=_PROPERTIES,
                member="PropertiesChanged", arg0=_PLAYER,
            )  # fmt: skip
            self._bus.subscribe(self._seeked, path=_PATH, interface=_PLAYER, member="Seeked")
            with suppress(BusError):
                (names,) = await self._bus.call(_DBUS, "ListNames")
                for name in names:
                    if _is_player(name) and (owner := await self._bus.owner(name)):
                        await self._appeared(name, owner)

    async def call(
        self, name: str, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Control the active player, or choose another.

        Raises:
            CommandError: It cannot, or does not do it.
        """
        player = self._active()
        if player is None:
            raise CommandError("failed", "no media player runs in this session")
        try:
            if name == "source":
                self._choose(args["value"])
            elif name == "art":
                return await self._art(player, args["token"])
            else:
                await self._control(player, name, args)
        except BusError as error:
            raise CommandError("failed", f"{player.title}: {error.text}") from error
        return None

    async def pause_all(self) -> list[str]:
        """Pause all that play and can; return them for `resume()`."""
        playing = [one for one in self._players.values() if one.playing and "pause" in _can(one)]
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSES_WITHIN):
                await asyncio.gather(
                    *(self._switch(one, "Pause", "Paused") for one in playing),
                    return_exceptions=True,
                )
        return [one.owner for one in playing if not one.playing]

    async def resume(self, owners: list[str]) -> None:
        """Have those play on that are still paused."""
        for owner in owners:
            player = self._players.get(owner)
            if player and player.properties.get("PlaybackStatus") == "Paused":
                with suppress(BusError):
                    await self._ask(player, "Play")

    # --- What players do -----------------------------------------------------------------

    async def _control(self, player: _Player, name: str, args: Mapping[str, Any]) -> None:
        if name not in _can(player):
            raise CommandError("failed", f"{player.title} cannot do it now")
        controls: dict[str, Callable[[], Awaitable[None]]] = {
            "play": lambda: self._switch(player, "Play", "Playing"),
            "pause": lambda: self._switch(player, "Pause", "Paused"),
            "stop": lambda: self._switch(player, "Stop", "Stopped"),
            # Which track comes then, and whether there is one, only the player knows.
            "next": lambda: self._ask(player, "Next"),
            "previous": lambda: self._ask(player, "Previous"),
            "seek": lambda: self._seek(player, args["position"]),
            "volume": lambda: self._set(player, "Volume", "d", args["value"] / 100),
            "shuffle": lambda: self._set(player, "Shuffle", "b", args["value"] == 1),
            "repeat": lambda: self._set(player, "LoopStatus", "s", _LOOP_STATUS[args["value"]]),
        }
        await controls[name]()

    async def _ask(self, player: _Player, method: str) -> None:
        await self._bus.call(player.target, method)

    async def _switch(self, player: _Player, method: str, status: str) -> None:
        await self._ask(player, method)
        await self._read_back(player, "PlaybackStatus", lambda seen: seen == status)

    async def _set(self, player: _Player, name: str, signature: str, value: Any) -> None:  # noqa: ANN401  (any type of D-Bus)
        await self._bus.set(player.target, name, signature, value)
        # What players say of a volume is rounded to their own steps.
        near = 0.02 if name == "Volume" else 0
        await self._read_back(
            player, name, lambda seen: seen == value or (near > 0 and abs(seen - value) <= near)
        )

    async def _seek(self, player: _Player, position: float) -> None:
        track = player.metadata.get("mpris:trackid") or "/"
        await self._bus.call(
            player.target, "SetPosition", "ox", track, int(position * _MICROSECONDS)
        )
        begun = asyncio.get_running_loop().time()

        def near(seen: object) -> bool:
            gone = asyncio.get_running_loop().time() - begun
            where = float(seen) / _MICROSECONDS if isinstance(seen, (int, float)) else -math.inf
            return -NEAR <= where - position <= gone + NEAR

        await self._read_back(player, "Position", near)

    async def _read_back(self, player: _Player, name: str, right: Callable[[Any], bool]) -> None:
        """Wait until a property is as it should be.

        Raises:
            CommandError: It is not, with what the player says.
        """
        seen: object = None
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_BACK):
                while True:
                    async with self._changed:
                        seen = await self._bus.get(player.target, name)
                        if right(seen):
                            break
                        await self._changed.wait()
        if not right(seen):
            raise CommandError("failed", f"{player.title} says that its {name} is {seen}")
        await self._take(player, {name: seen})
        self._tell()

    async def _art(self, player: _Player, token: str) -> Mapping[str, str]:
        if not token or token != _token(player):
            raise CommandError("failed", "it is not played any more, or has no picture")
        picture = await asyncio.to_thread(art.read, _art_address(player))
        return {"picture": base64.b64encode(picture).decode("ascii")}

    # --- What players say ----------------------------------------------------------------

    def _owner_changed(self, signal: Signal) -> None:
        name, old, new = (str(part) for part in signal.body[:3])
        if not _is_player(name):
            return
        if gone := self._players.get(old):
            gone.names.discard(name)
            if not gone.names:
                del self._players[old]
                self._tell()
        if new:
            self._begin(self._appeared(name, new))

    def _properties_changed(self, signal: Signal) -> None:
        player = self._players.get(signal.sender)
        if player is None:
            return
        changed, invalid = plain(signal.body[1]), set(signal.body[2])
        self._begin(self._follow(player, changed, invalid))

    def _seeked(self, signal: Signal) -> None:
        if player := self._players.get(signal.sender):
            player.position = _position(signal.body[0])
            self._begin(self._told())

    async def _appeared(self, name: str, owner: str) -> None:
        if known := self._players.get(owner):
            known.names.add(name)
            return
        player = self._players[owner] = _Player(owner, {name})
        player.title = name.removeprefix(f"{_NAMESPACE}.").partition(".")[0]
        try:
            with suppress(BusError):
                root = await self._bus.get(Target(owner, _PATH, _ROOT), "Identity")
                player.title = str(root)[:MAX_TEXT] or player.title
            await self._take(player, await self._bus.get_all(player.target))
        except BusError:
            # It has gone again, or has the name and does not speak it.
            self._players.pop(owner, None)
            return
        await self._told()

    async def _follow(self, player: _Player, changed: dict[str, Any], invalid: set[str]) -> None:
        with suppress(BusError):
            for name in invalid:
                changed[name] = await self._bus.get(player.target, name)
            await self._take(player, changed)
        await self._told()

    async def _take(self, player: _Player, changed: Mapping[str, Any]) -> None:
        """Take changed properties together with the position that goes with them.

        A track that is told to be paused, and its position a moment later, would jump back to
        where it was read last.
        """
        position = player.position
        if changed.keys() & _MOVES:
            position = await self._where(player)
        was_playing = player.playing
        player.properties.update(changed)
        player.position = position
        if player.playing and not was_playing:
            self._activate(player)

    async def _where(self, player: _Player) -> tuple[float, str] | None:
        with suppress(BusError):
            return _position(await self._bus.get(player.target, "Position"))
        return None

    def _begin(self, work: Any) -> None:  # noqa: ANN401  (a coroutine)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _told(self) -> None:
        self._tell()
        async with self._changed:
            self._changed.notify_all()

    # --- What the agent hears ------------------------------------------------------------

    def _read(self, player: _Player) -> Mapping[str, Value]:
        return _read(player)


def _is_player(name: str) -> bool:
    return name.startswith(f"{_NAMESPACE}.") and name not in _PROXIES


def _read(player: _Player) -> dict[str, Value]:
    """Return what is told of a player, by the names of the readings."""
    properties, metadata = player.properties, player.metadata
    position, read_at = player.position or (None, None)
    volume, shuffle = properties.get("Volume"), properties.get("Shuffle")
    length = metadata.get("mpris:length")
    return {
        "state": _STATES.get(str(properties.get("PlaybackStatus")), "stopped"),
        "title": _text(metadata.get("xesam:title")),
        "artist": _text(metadata.get("xesam:artist")),
        "album": _text(metadata.get("xesam:album")),
        "art": _token(player),
        "duration": round(length / _MICROSECONDS, 3) if _is_count(length) else None,
        "position": position,
        "position_at": read_at,
        "volume": round(volume * 100) if isinstance(volume, float) and 0 <= volume < 100 else None,
        "shuffle": shuffle if isinstance(shuffle, bool) else None,
        "repeat": _REPEAT.get(str(properties.get("LoopStatus"))),
        "can": ",".join(_can(player)),
    }


def _can(player: _Player) -> list[str]:
    """Return what a player can do now, by the names of the commands."""
    properties = player.properties
    controllable = properties.get("CanControl", True) is not False
    able = {
        "play": properties.get("CanPlay"),
        "pause": properties.get("CanPause"),
        "stop": True,
        "next": properties.get("CanGoNext"),
        "previous": properties.get("CanGoPrevious"),
        "seek": properties.get("CanSeek"),
        "volume": "Volume" in properties,
        "shuffle": "Shuffle" in properties,
        "repeat": "LoopStatus" in properties,
    }
    return [name for name, is_able in able.items() if controllable and is_able]


def _position(microseconds: object) -> tuple[float, str] | None:
    if not _is_count(microseconds):
        return None
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return round(microseconds / _MICROSECONDS, 3), now


def _is_count(value: object) -> TypeGuard[int]:
    # Live streams have a length, and some players a position, near the largest number.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _text(value: object) -> str | None:
    """Return a text of a track's metadata; several artists are one text."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    return text[:MAX_TEXT].replace("\0", "") or None if isinstance(text, str) else None


def _art_address(player: _Player) -> str:
    address = player.metadata.get("mpris:artUrl")
    return address if isinstance(address, str) and art.can_be_read(address) else ""


def _token(player: _Player) -> str | None:
    """Return what names the picture of this track, and does not tell where it is."""
    address = _art_address(player)
    if not address:
        return None
    track = [player.metadata.get(name) for name in ("mpris:trackid", "xesam:title")]
    return sha256(f"{track} {address}".encode()).hexdigest()[:16]
