"""Players in a Windows session, as Windows' own controls of media know them.

A player is a session of the program that plays: that which began to play, or was chosen, last is
active; at first the one that Windows takes for it. Windows tells no volume of a player. A position
is told with the time when the program said it; a reader counts on from there, so that only what is
beside that is told anew. Source: Microsoft's reference of Windows.Media.Control.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import MAX_TEXT
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows import winrt
from companion_agent.plugins.media import art
from companion_agent.plugins.media.players import (
    NEAR,
    PAUSES_WITHIN,
    READ_BACK,
    FollowedPlayers,
)
from companion_agent.protocol.validation import MAX_PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.models import Value

# GlobalSystemMediaTransportControlsSessionPlaybackStatus.
_PLAYING, _PAUSED = 4, 5
_STATES = {_PLAYING: "playing", _PAUSED: "paused"}
# MediaPlaybackAutoRepeatMode.
_REPEAT = {0: "off", 1: "one", 2: "all"}
_MODES = {name: mode for mode, name in _REPEAT.items()}
_TICKS = 10_000_000
# Seconds by which what a program says of its position may differ from what was counted on.
_DRIFT = 1.0
# A session that says nothing of its position has it from this time, or before.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False, slots=True)
class _Player:
    """A player.

    Attributes:
        key: What tells it from others: its program, and which of its sessions.
        session: The runtime's object.
        title: What its program is called.
        told: What is told of it, by the names of the readings.
        status: Whether it plays, as the runtime says it.
        thumbnail: The runtime's picture of the track; `None` without one.
        position: Seconds into the track, when that was so, and whether it has gone on since.
        turn: Grows with every time that one begins to play, or is chosen.
        ends: What ends that it is followed.
    """

    key: str
    session: Any
    title: str
    told: dict[str, Value] = field(default_factory=dict)
    status: int = 0
    thumbnail: Any = None
    position: tuple[float, datetime, bool] | None = None
    turn: int = 0
    ends: list[Callable[[], object]] = field(default_factory=list)

    @property
    def can(self) -> list[str]:
        return str(self.told.get("can") or "").split(",")


class TransportControls(FollowedPlayers[_Player]):
    """Follows the players that Windows' controls of media show.

    Args:
        changed: Called when there is another player, or one says something else.
    """

    way: ClassVar[str] = "SystemMediaTransportControls"
    commands: ClassVar[tuple[str, ...]] = (
        "play", "pause", "stop", "next", "previous", "seek", "shuffle", "repeat", "art",
    )  # fmt: skip

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__(changed)
        self._loop = asyncio.get_running_loop()
        self._manager: Any = None
        self._ends: list[Callable[[], object]] = []
        self._listing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Find the players that are there, and follow those that come and go."""
        if self._manager is None:
            control = winrt.load("Windows.Media.Control")
            # What the runtime's objects hold: modes of repeating, lists, pictures.
            for namespace in ("Windows.Media", "Windows.Foundation.Collections"):
                winrt.load(namespace)
            self._streams = winrt.load("Windows.Storage.Streams")
            kind = control.GlobalSystemMediaTransportControlsSessionManager
            try:
                manager = await kind.request_async()
                token = manager.add_sessions_changed(self._event(self._list))
            except OSError as error:
                raise Unavailable(f"this Windows tells of no media players: {error}") from error
            self._ends.append(lambda: manager.remove_sessions_changed(token))
            self._manager = manager
        await self._list()

    async def stop(self) -> None:
        """Follow them no more."""
        for player in self._players.values():
            _end(player.ends)
        self._players.clear()
        _end(self._ends)
        for task in self._tasks:
            task.cancel()

    async def call(
        self, name: str, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Control the active player, or choose another."""
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
        except OSError as error:
            raise CommandError("failed", f"{player.title}: {error}") from error
        return None

    async def pause_all(self) -> list[str]:
        """Pause all that play and can; return them for `resume()`."""
        playing = [
            one for one in self._players.values() if one.status == _PLAYING and "pause" in one.can
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSES_WITHIN):
                await asyncio.gather(
                    *(self._control(one, "pause", {}) for one in playing), return_exceptions=True
                )
        return [one.key for one in playing if one.status != _PLAYING]

    async def resume(self, players: list[str]) -> None:
        """Have those play on that are still paused."""
        for key in players:
            player = self._players.get(key)
            if player and player.status == _PAUSED:
                with suppress(OSError):
                    await player.session.try_play_async()

    def _read(self, player: _Player) -> Mapping[str, Value]:
        return player.told

    # --- What players do -----------------------------------------------------------------

    async def _control(self, player: _Player, name: str, args: Mapping[str, Any]) -> None:
        if name not in player.can:
            raise CommandError("failed", f"{player.title} cannot do it now")
        session, told = player.session, player.told
        asked = self._loop.time()
        position = float(args.get("position", 0))

        def near() -> bool:
            if player.position is None:
                return False
            gone = self._loop.time() - asked
            return -NEAR <= player.position[0] - position <= gone + NEAR

        # Which track comes next, and whether there is one, only the player knows.
        controls: dict[str, tuple[Callable[[], Any], Callable[[], bool]]] = {
            "play": (session.try_play_async, lambda: player.status == _PLAYING),
            "pause": (session.try_pause_async, lambda: player.status != _PLAYING),
            "stop": (session.try_stop_async, lambda: player.status not in (_PLAYING, _PAUSED)),
            "next": (session.try_skip_next_async, lambda: True),
            "previous": (session.try_skip_previous_async, lambda: True),
            "seek": (
                lambda: session.try_change_playback_position_async(round(position * _TICKS)),
                near,
            ),
            "shuffle": (
                lambda: session.try_change_shuffle_active_async(args["value"] == 1),
                lambda: told.get("shuffle") is (args["value"] == 1),
            ),
            "repeat": (
                lambda: session.try_change_auto_repeat_mode_async(_MODES[args["value"]]),
                lambda: told.get("repeat") == args["value"],
            ),
        }
        ask, done = controls[name]
        if not await ask():
            raise CommandError("failed", f"{player.title} refuses it")
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_BACK), self._changed:
                await self._look(player)
                await self._changed.wait_for(done)
        if not done():
            raise CommandError("failed", f"{player.title} says yes, and does not do it")
        self._tell()

    async def _art(self, player: _Player, token: str) -> Mapping[str, str]:
        if not token or token != player.told.get("art") or player.thumbnail is None:
            raise CommandError("failed", "it is not played any more, or has no picture")
        with await player.thumbnail.open_read_async() as stream:
            size = int(stream.size)
            if size > MAX_PICTURE:
                detail = f"the picture is larger than {MAX_PICTURE // 1024} KiB"
                raise CommandError("failed", detail)
            with self._streams.DataReader(stream.get_input_stream_at(0)) as reader:
                found = bytearray(await reader.load_async(size))
                reader.read_bytes(found)
        picture = art.checked(bytes(found))
        return {"picture": base64.b64encode(picture).decode("ascii")}

    # --- What players say ----------------------------------------------------------------

    def _event(self, work: Callable[[], Any]) -> Callable[..., None]:
        """Return what begins something in the event loop, called in a thread of Windows'."""

        def begin() -> None:
            task = self._loop.create_task(work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def happened(*_: object) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(begin)

        return happened

    async def _list(self) -> None:
        """Find out which players there are now."""
        async with self._listing:
            before, self._players = self._players, {}
            for session in self._manager.get_sessions():
                program = str(session.source_app_user_model_id)
                number = sum(one.startswith(f"{program}\0") for one in self._players)
                key = f"{program}\0{number}"
                player = before.pop(key, None) or _Player(key, session, _title(program))
                _end(player.ends)
                player.session = session
                self._follow(player)
                self._players[key] = player
            for gone in before.values():
                _end(gone.ends)
            for player in list(self._players.values()):
                await self._look(player)
            current = self._manager.get_current_session()
            if current and not self._turn and len(self._players) > 1:
                program = str(current.source_app_user_model_id)
                for player in self._players.values():
                    player.turn = int(player.key.startswith(f"{program}\0"))
        await self._told()

    def _follow(self, player: _Player) -> None:
        session = player.session

        async def look() -> None:
            await self._look(player)
            await self._told()

        heard = self._event(look)
        for name in ("media_properties", "playback_info", "timeline_properties"):
            token = getattr(session, f"add_{name}_changed")(heard)
            remove = getattr(session, f"remove_{name}_changed")
            player.ends.append(partial(remove, token))

    async def _look(self, player: _Player) -> None:
        """Read what a player says; one that has gone says nothing."""
        session = player.session
        with suppress(OSError):
            properties = await session.try_get_media_properties_async()
            info, timeline = session.get_playback_info(), session.get_timeline_properties()
            status = int(info.playback_status)
            if status == _PLAYING and player.status != _PLAYING:
                self._activate(player)
            player.status = status
            player.thumbnail = properties.thumbnail if properties else None
            _take_position(player, timeline, info)
            where = player.position
            player.told.clear()
            player.told.update(
                _read(properties, info, timeline, player.key)
                | {
                    "position": round(where[0], 3) if where else None,
                    "position_at": where[1].isoformat(timespec="milliseconds") if where else None,
                }
            )

    async def _told(self) -> None:
        self._tell()
        async with self._changed:
            self._changed.notify_all()


def _read(properties: Any, info: Any, timeline: Any, key: str) -> dict[str, Value]:  # noqa: ANN401
    """Return what is told of a player besides its position, by the names of the readings."""
    length = (timeline.end_time - timeline.start_time).total_seconds()
    mode, shuffle = info.auto_repeat_mode, info.is_shuffle_active
    told: dict[str, Value] = {
        "state": _STATES.get(int(info.playback_status), "stopped"),
        "duration": round(length, 3) if length > 0 else None,
        "shuffle": None if shuffle is None else bool(shuffle),
        "repeat": None if mode is None else _REPEAT.get(int(mode)),
        "can": ",".join(_can(info.controls)),
    }
    if properties:
        title, artist = _text(properties.title), _text(properties.artist)
        album = _text(properties.album_title)
        track = f"{key} {title} {artist} {album}"
        token = sha256(track.encode("utf-8", "replace")).hexdigest()[:16]
        told |= {
            "title": title,
            "artist": artist,
            "album": album,
            "art": token if properties.thumbnail else None,
        }
    return told


def _can(controls: Any) -> list[str]:  # noqa: ANN401  (of the runtime)
    """Return what a player can do now, by the names of the commands."""
    able = {
        "play": controls.is_play_enabled,
        "pause": controls.is_pause_enabled,
        "stop": controls.is_stop_enabled,
        "next": controls.is_next_enabled,
        "previous": controls.is_previous_enabled,
        "seek": controls.is_playback_position_enabled,
        "shuffle": controls.is_shuffle_enabled,
        "repeat": controls.is_repeat_enabled,
    }
    return [name for name, is_able in able.items() if is_able]


def _take_position(player: _Player, timeline: Any, info: Any) -> None:  # noqa: ANN401
    """Take over where a player is, unless it is where one counts it to be."""
    if timeline.end_time <= timeline.start_time and timeline.position == timedelta():
        player.position = None
        return
    now = datetime.now(UTC)
    said = timeline.last_updated_time
    seconds = (timeline.position - timeline.start_time).total_seconds()
    read_at = said if _NO_TIME < said <= now else now
    playing = int(info.playback_status) == _PLAYING
    before = player.position
    if before and before[2] == playing:
        gone = (read_at - before[1]).total_seconds() if playing else 0.0
        if abs(before[0] + gone * (info.playback_rate or 1) - seconds) < _DRIFT:
            return
    player.position = seconds, read_at, playing


def _title(program: str) -> str:
    """Return what a program is called, of its AppUserModelID.

    `Spotify.exe` is Spotify, and `Microsoft.ZuneMusic_8wekyb3d8bbwe!Microsoft.ZuneMusic` is
    ZuneMusic.
    """
    name = program.partition("!")[0].partition("_")[0].rpartition("\\")[2]
    if name.lower().endswith(".exe"):
        name = name[:-4]
    elif "!" in program:
        name = name.rpartition(".")[2]
    return name[:MAX_TEXT] or "unknown"


def _text(value: object) -> str | None:
    return str(value or "")[:MAX_TEXT].replace("\0", "") or None


def _end(ends: list[Callable[[], object]]) -> None:
    while ends:
        # What has gone tells nothing more.
        with suppress(OSError):
            ends.pop()()
