"""Media in a Windows session: stand-ins for the Windows Runtime, and a player that tests play."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.media import media_foundation, transport_controls
from companion_agent.plugins.media.windows import WindowsMediaDomain
from companion_agent.protocol.validation import MAX_PICTURE
from companion_agent.winapi import media_player
from support.agent_desktop import FakeContext
from support.agent_media import PICTURE
from support.agent_sound import tone
from support.windows_api import FakeWindows
from support.windows_media import NO_DEVICE, FakeMediaPlayer
from support.windows_runtime import FakePlayer, FakePlayers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

pytestmark = pytest.mark.proves("media.*")

SPOTIFY = "Spotify.exe"
STATE, TITLE, SOURCE, ART = Thing("state"), Thing("title"), Thing("source"), Thing("art")
POSITION = Thing("position")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    return FakeWindows().install(monkeypatch)


@pytest.fixture
def output(windows: FakeWindows) -> FakeMediaPlayer:
    return FakeMediaPlayer(windows)


@pytest.fixture
def players(output: FakeMediaPlayer, monkeypatch: pytest.MonkeyPatch) -> FakePlayers:
    return FakePlayers(monkeypatch)


@pytest.fixture
def spotify(players: FakePlayers) -> FakePlayer:
    return players.begin(
        FakePlayer(SPOTIFY, title="Song", artist="Anna, Bob", album_title="Album", picture=PICTURE)
    )


class Session:
    """A session with the domain in it."""

    def __init__(self, context: FakeContext, domain: WindowsMediaDomain) -> None:
        self.context = context
        self.domain = domain

    def __getitem__(self, name: str) -> Any:
        return self.context.values[Thing(name)]

    async def do(self, command: str, **args: Any) -> Mapping[str, Any]:
        return await self.domain.call(Thing(command), args) or {}

    async def play(self, sound: bytes, announce: int = 1) -> None:
        data = base64.b64encode(sound).decode()
        await self.do("load", id="a", offset=0, data=data)
        await self.do("play_media", id="a", title="Bell", announce=announce)


@asynccontextmanager
async def started() -> AsyncIterator[Session]:
    context = FakeContext()
    domain = WindowsMediaDomain(context)
    context.offer(await domain.start())
    try:
        yield Session(context, domain)
    finally:
        await domain.stop()


def play(act: Callable[[], Any]) -> None:
    asyncio.run(act())


# --- Players ---------------------------------------------------------------------------------


def test_what_a_player_says_is_read(spotify: FakePlayer) -> None:
    async def act() -> None:
        async with started() as session:
            values = {thing.name: one for thing, one in session.context.values.items()}
            assert len(values.pop("art")) == 16
            assert datetime.fromisoformat(values.pop("position_at")) <= datetime.now(UTC)
            assert values == {
                "state": "paused", "title": "Song", "artist": "Anna, Bob", "album": "Album",
                "duration": 200.0, "position": 12.5, "volume": None, "shuffle": False,
                "repeat": "off", "can": "play,pause,next,seek,shuffle,repeat",
                "source": "Spotify",
            }  # fmt: skip
            assert session.context.offered.way == "SystemMediaTransportControls, Media Foundation"

    play(act)
    assert not spotify.followed


@pytest.mark.parametrize(
    ("command", "args", "reading", "value"),
    [
        ("play", {}, "state", "playing"),
        ("shuffle", {"value": 1}, "shuffle", True),
        ("repeat", {"value": "all"}, "repeat", "all"),
        ("seek", {"position": 100}, "position", 100.0),
    ],
)
def test_a_player_does_what_it_is_asked(
    spotify: FakePlayer, command: str, args: dict[str, Any], reading: str, value: object
) -> None:
    async def act() -> None:
        async with started() as session:
            await session.do(command, **args)
            assert session[reading] == value
            await session.do("next")

    play(act)
    assert spotify.asked == [command, "next"]


def test_what_says_yes_and_does_nothing_has_failed(
    spotify: FakePlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_controls, "READ_BACK", 0.05)
    spotify.obeys = False

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match="Spotify says yes, and does not do it"):
                await session.do("play")

    play(act)


def test_what_a_player_cannot_or_will_not_is_refused(spotify: FakePlayer) -> None:
    spotify.refuses = True

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match="Spotify refuses it"):
                await session.do("play")
            with pytest.raises(CommandError, match="Spotify cannot do it now"):
                await session.do("previous")

    play(act)


def test_the_one_that_began_last_is_active(players: FakePlayers, spotify: FakePlayer) -> None:
    async def act() -> None:
        async with started() as session:
            browser = FakePlayer("Microsoft.ZuneMusic_8wekyb3d8bbwe!Microsoft.ZuneMusic")
            await asyncio.to_thread(players.begin, browser)
            await asyncio.to_thread(browser.become, status=4)
            await session.context.until(lambda: session["source"] == "ZuneMusic")
            assert session.context.offered.options[SOURCE] == ("Spotify", "ZuneMusic")
            await session.do("source", value="Spotify")
            assert session["title"] == "Song"
            await asyncio.to_thread(players.end, spotify)
            await session.context.until(lambda: session["source"] == "ZuneMusic")
            assert not spotify.followed
            await asyncio.to_thread(players.end, browser)
            await session.context.until(lambda: session["state"] == "no_player")

    play(act)


def test_at_first_windows_says_which_is_active(players: FakePlayers, spotify: FakePlayer) -> None:
    players.current = players.begin(FakePlayer(r"C:\VLC\vlc.exe", title="Film"))

    async def act() -> None:
        async with started() as session:
            assert (session["source"], session["title"]) == ("vlc", "Film")

    play(act)


def test_a_position_that_is_as_counted_is_not_told_anew(spotify: FakePlayer) -> None:
    spotify.status = 4
    began = datetime.now(UTC) - timedelta(seconds=60)
    spotify.position, spotify.said = 12.5, began

    async def act() -> None:
        async with started() as session:
            # Five seconds on, as programs say it again and again.
            spotify.position, spotify.said = 17.6, began + timedelta(seconds=5)
            await asyncio.to_thread(spotify.become, shuffle=True)
            await session.context.until(lambda: session["shuffle"] is True)
            assert session["position"] == 12.5
            spotify.position, spotify.said = 90.0, began + timedelta(seconds=10)
            await asyncio.to_thread(spotify.tell)
            await session.context.until(lambda: session["position"] == 90.0)

    play(act)


def test_a_live_stream_has_neither_length_nor_position(spotify: FakePlayer) -> None:
    spotify.length = spotify.position = 0.0

    async def act() -> None:
        async with started() as session:
            assert (session["duration"], session["position"]) == (None, None)

    play(act)


def test_the_picture_of_a_track_comes_as_bytes(spotify: FakePlayer) -> None:
    async def act() -> None:
        async with started() as session:
            answer = await session.do("art", token=session["art"])
            assert base64.b64decode(answer["picture"]) == PICTURE
            with pytest.raises(CommandError, match="not played any more"):
                await session.do("art", token="0" * 16)

    play(act)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [(b"GIF89a" + bytes(MAX_PICTURE), "larger than"), (b"BM-bitmap", "no picture")],
)
def test_what_is_no_picture_of_a_fair_size_is_not_handed_on(
    spotify: FakePlayer, picture: bytes, reason: str
) -> None:
    spotify.track["picture"] = picture

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match=reason):
                await session.do("art", token=session["art"])

    play(act)


# --- What Home Assistant has played ----------------------------------------------------------


def test_an_announcement_has_players_wait(
    output: FakeMediaPlayer, players: FakePlayers, spotify: FakePlayer
) -> None:
    spotify.status = 4

    async def act() -> None:
        async with started() as session:
            await session.play(tone(1))
            assert spotify.status == 5
            assert (session["source"], session["title"]) == ("Home Assistant", "Bell")
            await session.do("volume", value=30)
            assert (round(output.volume, 2), session["volume"]) == (0.3, 30)
            await asyncio.to_thread(output.tell, media_player.ENDED)
            await session.context.until(lambda: session["source"] == "Spotify")
            await session.context.until(lambda: session["state"] == "playing")

    play(act)
    (name,) = output.played
    assert (output.played[name], name[-4:], Path(name).exists()) == (tone(1), ".wav", False)
    assert output.held == 0


def test_it_can_be_stopped(output: FakeMediaPlayer, players: FakePlayers) -> None:
    async def act() -> None:
        async with started() as session:
            await session.play(tone(1))
            await session.do("stop")
            assert session["state"] == "no_player"
            with pytest.raises(CommandError, match="no media player"):
                await session.do("volume", value=30)

    play(act)
    assert output.held == 0


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"ID3\x04" + bytes(8), ".mp3"),
        (b"\xff\xfb\x90\x00" + bytes(8), ".mp3"),
        (b"\xff\xf1\x50\x80" + bytes(8), ".aac"),
        (b"\0\0\0\x20ftypM4A ", ".m4a"),
        (b"fLaC" + bytes(8), ".flac"),
    ],
)
def test_a_file_is_named_by_what_is_in_it(
    output: FakeMediaPlayer, players: FakePlayers, head: bytes, suffix: str
) -> None:
    async def act() -> None:
        async with started() as session:
            await session.play(head + bytes(100))

    play(act)
    assert next(iter(output.played)).endswith(suffix)


def test_what_windows_cannot_play_is_said(
    output: FakeMediaPlayer, players: FakePlayers, spotify: FakePlayer
) -> None:
    output.result, spotify.status = NO_DEVICE, 4

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match=r"Windows cannot play it: .*MFPlay"):
                await session.play(tone(1))
            assert spotify.asked == ["pause", "play"]

    play(act)
    assert output.held == 0


def test_what_is_never_heard_is_a_failure(
    output: FakeMediaPlayer, players: FakePlayers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_foundation, "BEGINS_WITHIN", 0.05)
    output.silent = True

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match="has played nothing"):
                await session.play(tone(1))

    play(act)


def test_a_volume_that_stays_is_a_failure(output: FakeMediaPlayer, players: FakePlayers) -> None:
    output.obeys = False

    async def act() -> None:
        async with started() as session:
            await session.play(tone(1))
            with pytest.raises(CommandError, match="Windows says that it is 100"):
                await session.do("volume", value=30)

    play(act)


# --- What is missing -------------------------------------------------------------------------


def test_without_the_packages_it_plays_all_the_same(
    output: FakeMediaPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "winrt", None)

    async def act() -> None:
        async with started() as session:
            assert "winrt-Windows.Media.Control is not" in session.context.offered.why["players"]
            assert session.context.offered.way == "Media Foundation"
            await session.play(tone(1))
            assert session["source"] == "Home Assistant"
            await session.do("stop")
            assert session["state"] == "no_player"

    play(act)


def test_a_windows_without_media_foundation_has_its_players(
    windows: FakeWindows, players: FakePlayers, spotify: FakePlayer
) -> None:
    del windows.functions["mfplay.MFPCreateMediaPlayer"]

    async def act() -> None:
        async with started() as session:
            assert session["source"] == "Spotify"
            assert "no Media Foundation" in session.context.offered.why["play_media"]

    play(act)


def test_without_either_nothing_is_offered(
    windows: FakeWindows, players: FakePlayers, output: FakeMediaPlayer
) -> None:
    del windows.functions["mfplay.MFPCreateMediaPlayer"]
    players.refuses = True

    async def act() -> None:
        with pytest.raises(Unavailable, match=r"no media players: .*; this Windows has no Media"):
            async with started():
                pass

    play(act)
