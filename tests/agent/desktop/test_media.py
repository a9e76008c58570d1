"""Media players through a session helper: a real mpv, and players that do what a test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.models import ChoiceArgument
from companion_agent.platforms.linux.async_bus import AsyncBus
from companion_agent.plugins.media.mpris import MprisPlayers
from companion_agent.plugins.media.plugin import MediaPlugin
from companion_agent.protocol.validation import MAX_PICTURE
from support.agent_host import FakePlatform
from support.agent_media import PICTURE, Mpv, why_not
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    import subprocess

    from support.agent_desktop import AgentEnd
    from support.agent_logind import SystemBus
    from support.agent_media import FakePlayers

pytestmark = pytest.mark.proves("media.*")

STATE, TITLE, SOURCE = Thing("state"), Thing("title"), Thing("source")


@pytest.fixture
def media(agent: AgentEnd) -> MediaPlugin:
    return MediaPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture
def helper(
    agent: AgentEnd, bus: SystemBus, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    """A session helper on a session bus without a player."""
    agent.folder.chmod(0o755)
    run_command(
        "session", "--folder", str(agent.folder),
        DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere", DBUS_SESSION_BUS_ADDRESS=bus.address,
    )  # fmt: skip
    agent.wait_for_value("media", STATE, "no_player")


@pytest.fixture
def mpv(
    agent: AgentEnd, bus: SystemBus, tmp_path_factory: pytest.TempPathFactory, helper: None
) -> Iterator[Mpv]:
    """A track of mpv's that is paused."""
    if reason := why_not():
        pytest.skip(reason)
    mpv = Mpv(bus, tmp_path_factory.mktemp("mpv"))
    agent.wait_for_value("media", TITLE, "Silence")
    agent.wait_for_value("media", STATE, "paused")
    yield mpv
    mpv.stop()


def send(media: MediaPlugin, name: str, **args: object) -> object:
    return media.run(f"media.{name}", {"session": "", **args})


@pytest.mark.usefixtures("mpv")
def test_mpv_is_one_player_and_does_what_it_is_asked(media: MediaPlugin) -> None:
    wait_until(lambda: media.collect()["duration"] == 60)
    options = {one.key: one.args.get("value") for one in media.commands()}
    assert options["media.source"] == ChoiceArgument(("mpv",))
    assert media.collect()["source"] == "mpv"

    send(media, "play")
    assert media.collect()["state"] == "playing"
    send(media, "pause")
    send(media, "seek", position=30.0)
    wait_until(lambda: abs(media.collect()["position"] - 30) < 1)  # type: ignore[operator]
    send(media, "volume", value=40)
    send(media, "repeat", value="one")

    seen = media.collect()
    assert (seen["state"], seen["volume"], seen["repeat"]) == ("paused", 40, "one")


@pytest.mark.usefixtures("mpv")
def test_the_picture_of_a_track_comes_as_bytes(media: MediaPlugin) -> None:
    wait_until(lambda: media.collect()["art"] is not None)

    output = send(media, "art", token=media.collect()["art"])

    assert output.data == PICTURE  # type: ignore[attr-defined]


def test_a_player_that_has_gone_is_not_shown(agent: AgentEnd, mpv: Mpv) -> None:
    mpv.stop()

    agent.wait_for_value("media", STATE, "no_player")
    agent.wait_for_value("media", TITLE, None)


@pytest.mark.usefixtures("helper")
def test_the_one_that_began_last_is_active(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers
) -> None:
    players.start("radio", status="Playing")
    agent.wait_for_value("media", SOURCE, "Radio")
    players.start("films")
    wait_until(lambda: _sources(media) == {"Radio", "Films"})
    assert media.collect()["source"] == "Radio"

    players.change("films", PlaybackStatus=("s", "Playing"))
    agent.wait_for_value("media", SOURCE, "Films")
    seen = media.collect()
    assert (seen["title"], seen["artist"], seen["position"]) == ("Song of Films", "Anna, Bob", 7)
    assert seen["can"] == "play,pause,stop,volume"

    send(media, "source", value="Radio")
    agent.wait_for_value("media", SOURCE, "Radio")
    players.stop("radio")
    agent.wait_for_value("media", SOURCE, "Films")


def test_a_pause_is_told_with_where_it_was(bus: SystemBus, players: FakePlayers) -> None:
    """A bar that shows the position does not jump back, or empty itself, for a moment."""
    iface = "org.mpris.MediaPlayer2.Player"
    paused = "{'PlaybackStatus': 'Paused', 'Position': dbus.Int64(30_000_000)}"
    players.start("radio", status="Playing", pause=f"self.UpdateProperties({iface!r}, {paused})")
    told = []

    async def play() -> None:
        connection = AsyncBus("SYSTEM", lambda _: None)
        found = MprisPlayers(connection, lambda: told.append(found.values))
        try:
            await found.start()
            await found.call("pause", {})
        finally:
            connection.close()

    asyncio.run(play())

    seen = {(one["state"], one["position"]) for one in told}
    assert seen == {("playing", 7), ("paused", 30)}


@pytest.mark.usefixtures("helper")
def test_what_says_yes_and_does_nothing_has_failed(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers
) -> None:
    players.start("radio", status="Playing", pause="")
    agent.wait_for_value("media", SOURCE, "Radio")

    with pytest.raises(CommandError, match="Radio says that its PlaybackStatus is Playing"):
        send(media, "pause")


@pytest.mark.usefixtures("helper")
def test_what_a_player_cannot_is_refused(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers
) -> None:
    players.start("radio", status="Playing")
    agent.wait_for_value("media", SOURCE, "Radio")

    with pytest.raises(CommandError, match="Radio cannot do it now"):
        send(media, "next")


@pytest.mark.usefixtures("helper")
def test_a_track_cannot_name_other_files_of_the_user(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers, tmp_path: Path
) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("secret")
    players.start("radio", status="Playing", art=secret.as_uri())
    agent.wait_for_value("media", SOURCE, "Radio")

    with pytest.raises(CommandError, match="it is no picture"):
        send(media, "art", token=media.collect()["art"])


@pytest.mark.usefixtures("helper")
def test_a_picture_that_is_too_large_is_not_handed_on(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers, tmp_path: Path
) -> None:
    cover = tmp_path / "cover.png"
    cover.write_bytes(PICTURE + bytes(MAX_PICTURE))
    players.start("radio", status="Playing", art=cover.as_uri())
    agent.wait_for_value("media", SOURCE, "Radio")

    with pytest.raises(CommandError, match="the picture is larger than 256 KiB"):
        send(media, "art", token=media.collect()["art"])


@pytest.mark.usefixtures("helper")
def test_addresses_on_the_network_are_not_told(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers
) -> None:
    players.start("radio", status="Playing", art="http://192.168.1.1/reboot")

    agent.wait_for_value("media", SOURCE, "Radio")

    assert media.collect()["art"] is None


def _sources(media: MediaPlugin) -> set[str]:
    return {
        option
        for command in media.commands()
        if command.key == "media.source"
        for option in command.args["value"].options  # type: ignore[union-attr]
    }
