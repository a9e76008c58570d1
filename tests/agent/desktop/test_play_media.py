"""What Home Assistant has played in a session: real programs, at a real PulseAudio."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.plugins.media.inbox import MAX_MEDIA, MAX_PART, Inbox
from companion_agent.plugins.media.plugin import MediaPlugin
from support.agent_host import FakePlatform
from support.agent_sound import tone
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    import subprocess

    from support.agent_desktop import AgentEnd
    from support.agent_logind import SystemBus
    from support.agent_media import FakePlayers
    from support.agent_sound import SoundServer

pytestmark = pytest.mark.proves("media.play_media", "media.load")

STATE, TITLE, SOURCE = Thing("state"), Thing("title"), Thing("source")
OURS = "Home Assistant"
PLAYLIST = b"#EXTM3U\nfile:///etc/passwd\n"
BROKEN = b"RIFF\xff\xff\xff\xffWAVEfmt nonsense"


@pytest.fixture
def media(agent: AgentEnd) -> MediaPlugin:
    return MediaPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture
def start(
    agent: AgentEnd,
    bus: SystemBus,
    server: SoundServer,
    tmp_path: Path,
    run_command: Callable[..., subprocess.Popen[str]],
) -> Callable[..., None]:
    """Start a session helper on a machine that has these programs and no others."""
    agent.folder.chmod(0o755)

    def start(*programs: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for program in programs:
            if (found := shutil.which(program)) is None:
                pytest.skip(f"{program} is not installed")
            (folder / program).symlink_to(found)
        run_command(
            "session", "--folder", str(agent.folder), HOME=str(tmp_path), PATH=str(folder),
            DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere", DBUS_SESSION_BUS_ADDRESS=bus.address,
            PULSE_SERVER=server.address,
        )  # fmt: skip
        agent.wait_for_value("media", STATE, "no_player")

    return start


def send(media: MediaPlugin, name: str, **args: object) -> None:
    media.run(f"media.{name}", {"session": "", **args})


def load(media: MediaPlugin, sound: bytes, offset: int = 0) -> None:
    """Send a part of what is to be played."""
    data = base64.b64encode(sound).decode()
    send(media, "load", id="1", offset=offset, data=data)


def play(media: MediaPlugin, sound: bytes, *, announce: int = 0, title: str = "Tone") -> None:
    """Send what is to be played as Home Assistant does, and have it played."""
    for offset in range(0, len(sound), MAX_PART):
        load(media, sound[offset : offset + MAX_PART], offset)
    send(media, "play_media", id="1", title=title, announce=announce)


@pytest.mark.parametrize("program", ["mpv", "paplay"])
def test_what_is_sent_is_heard_until_it_is_stopped(
    agent: AgentEnd,
    media: MediaPlugin,
    server: SoundServer,
    start: Callable[..., None],
    program: str,
) -> None:
    start(program)

    with server.listen("speaker") as loudest:
        play(media, tone(60))
        wait_until(lambda: loudest() > 0.2)
    seen = media.collect()
    assert (seen["state"], seen["title"], seen["source"]) == ("playing", "Tone", OURS)
    assert seen["can"] == "stop,volume"
    assert len(server.streams_of(OURS)) == 1

    send(media, "volume", value=40)
    agent.wait_for_value("media", Thing("volume"), 40)
    send(media, "stop")
    agent.wait_for_value("media", STATE, "no_player")
    assert server.streams_of(OURS) == []


def test_players_are_silent_until_the_last_announcement_is_over(
    agent: AgentEnd, media: MediaPlugin, players: FakePlayers, start: Callable[..., None]
) -> None:
    start("mpv")
    players.start("films")
    players.start("radio", status="Playing")
    agent.wait_for_value("media", SOURCE, "Radio")

    play(media, tone(60), announce=1)
    agent.wait_for_value("media", SOURCE, OURS)
    assert players.status("radio") == "Paused"
    play(media, tone(0.5), announce=1)

    wait_until(lambda: players.status("radio") == "Playing")
    agent.wait_for_value("media", SOURCE, "Radio")
    assert players.status("films") == "Stopped"


def test_media_takes_the_place_of_what_was_played(
    agent: AgentEnd,
    media: MediaPlugin,
    server: SoundServer,
    players: FakePlayers,
    start: Callable[..., None],
) -> None:
    start("mpv")
    players.start("radio", status="Playing")
    agent.wait_for_value("media", SOURCE, "Radio")
    play(media, tone(60), title="First")

    play(media, tone(60), title="Second")

    agent.wait_for_value("media", TITLE, "Second")
    assert len(server.streams_of(OURS)) == 1
    send(media, "source", value="Radio")
    agent.wait_for_value("media", SOURCE, "Radio")
    assert server.streams_of(OURS) == []
    assert players.status("radio") == "Paused"


def test_what_cannot_be_heard_has_failed(
    media: MediaPlugin, server: SoundServer, start: Callable[..., None]
) -> None:
    start("mpv")

    with pytest.raises(CommandError, match="it is no sound"):
        play(media, PLAYLIST)
    with pytest.raises(CommandError, match=r"mpv has played nothing: .*[Ff]ailed"):
        play(media, BROKEN)

    assert server.streams_of(OURS) == []
    assert media.collect()["state"] == "no_player"


def test_without_a_device_it_has_failed(
    media: MediaPlugin, server: SoundServer, start: Callable[..., None]
) -> None:
    with server.by_hand() as mixer:
        mixer.module_load("module-null-sink", "sink_name=auto_null")
        mixer.sink_default_set(mixer.get_sink_by_name("auto_null"))
    start("mpv")

    with pytest.raises(CommandError, match="no device that sound comes out of"):
        play(media, tone(60))

    wait_until(lambda: not server.streams_of(OURS))


def test_a_sound_server_that_goes_ends_it(
    agent: AgentEnd, media: MediaPlugin, server: SoundServer, start: Callable[..., None]
) -> None:
    start("mpv")
    play(media, tone(60))

    server.stop()

    agent.wait_for_value("media", STATE, "no_player")
    with pytest.raises(CommandError, match="no sound server"):
        play(media, tone(60))


def test_without_a_program_it_says_what_to_install(
    agent: AgentEnd, media: MediaPlugin, start: Callable[..., None]
) -> None:
    start()

    assert "media.play_media" not in {command.key for command in media.commands()}
    (helper,) = agent.sessions.describe()
    assert "install mpv" in helper["domains"]["media"]["why"]["play_media"]


def test_what_has_lost_a_part_is_not_played() -> None:
    inbox = Inbox()
    inbox.take("1", 0, tone(1)[:100])

    with pytest.raises(CommandError, match="a part of the media is missing"):
        inbox.take("1", 200, b"x")


def test_media_that_is_too_large_is_forgotten() -> None:
    inbox = Inbox()
    inbox.take("1", 0, bytes(MAX_MEDIA))

    with pytest.raises(CommandError, match="larger than 8 MiB"):
        inbox.take("1", MAX_MEDIA, b"x")

    with pytest.raises(CommandError, match="the media is not here"):
        inbox.hand_over("1")


def test_no_more_than_two_media_are_under_way() -> None:
    inbox = Inbox()
    for name in "123":
        inbox.take(name, 0, tone(0.1))

    with pytest.raises(CommandError, match="the media is not here"):
        inbox.hand_over("1")
    with inbox.hand_over("2"), inbox.hand_over("3"):
        pass
