"""The media player of a paired host's desktop."""

from base64 import b64decode
from datetime import datetime
from http import HTTPStatus
import json
from pathlib import Path
import sys
from time import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from homeassistant.components.media_player.const import MediaPlayerEntityFeature as Feature
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.setup import async_setup_component
import pytest

from companion_agent.errors import CommandError
from companion_agent.models import ChoiceArgument, Command, Output
from companion_agent.plugins.base import CommandProvider
from companion_agent.plugins.media.plugin import MediaPlugin
from companion_agent.protocol.validation import MAX_PICTURE
from support.integration_agent import BASE, FakeAgent, FakeBroker

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from homeassistant.core import HomeAssistant, State
    from homeassistant.helpers import entity_registry as er
    from pytest_homeassistant_custom_component.common import MockConfigEntry
    from pytest_homeassistant_custom_component.typing import (
        ClientSessionGenerator,
        WebSocketGenerator,
    )
    from syrupy.assertion import SnapshotAssertion

PLAYER = "media_player.office_pc_media_player"
PLAYS_MEDIA = Feature.PLAY_MEDIA | Feature.BROWSE_MEDIA | Feature.MEDIA_ANNOUNCE
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(MAX_PICTURE - 8)
SONG: dict[str, Any] = {
    "state": "playing",
    "title": "Song",
    "artist": "Anna, Bob",
    "album": "Album",
    "art": "0123456789abcdef",
    "duration": 200.5,
    "position": 12.25,
    "position_at": "2026-11-05T08:00:00+00:00",
    "volume": 50,
    "shuffle": False,
    "repeat": "off",
    "source": "mpv",
    "can": "play,pause,stop,next,previous,seek,volume,shuffle,repeat",
}
NO_PLAYER: dict[str, Any] = dict.fromkeys(SONG) | {"state": "no_player"}


class Media(CommandProvider):
    """The players of a session, as a host offers them."""

    name: ClassVar[str] = "media"

    def __init__(self, bus: FakeBroker) -> None:
        """Begin with a song that is played."""
        self.bus = bus
        self.values = dict(SONG)
        self.picture = PICTURE
        self.failure = ""
        self.plays_media = True

    def commands(self) -> Sequence[Command]:
        """Offer what the agent declares."""
        source = Command(
            "media.source", {"value": ChoiceArgument(("mpv", "Firefox"))}, state="media.source"
        )
        return [
            source if command.key == source.key else command
            for command in MediaPlugin.declared_commands
            if self.plays_media or command.key != "media.play_media"
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Hand over the picture, or do nothing."""
        if self.failure:
            raise CommandError("failed", self.failure)
        return Output(data=self.picture) if key == "media.art" else None

    def say(self, **values: Any) -> None:
        """Publish what is read."""
        self.values |= values
        parts = {"media": {"ts": time(), "values": self.values}}
        self.bus.fire(f"{BASE}/state", json.dumps({"collectors": parts}))


@pytest.fixture
async def media(
    hass: HomeAssistant, paired: MockConfigEntry, agent: FakeAgent, bus: FakeBroker
) -> Media:
    """Return the players of the paired host."""
    media = Media(bus)
    agent.announced["readings"] = [{"key": f"media.{name}"} for name in SONG]
    agent.announced["collectors"] = {"media": {"interval": 60}}
    agent.dispatcher.offer({agent.power: agent.power.commands(), media: media.commands()})
    agent.announce()
    media.say()
    await hass.async_block_till_done()
    return media


def player(hass: HomeAssistant) -> State:
    state = hass.states.get(PLAYER)
    assert state is not None
    return state


async def test_the_player_shows_what_is_played(
    hass: HomeAssistant,
    media: Media,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Title, position and what it can do."""
    state = player(hass)
    assert state.state == "playing"
    assert entity_registry.async_get(PLAYER) == snapshot(name="entry")
    shown = {
        name: value
        for name, value in state.attributes.items()
        if name not in ("entity_picture", "access_token")
    }
    assert shown == snapshot(name="attributes")
    assert "cache=0123456789abcdef" in state.attributes["entity_picture"]


@pytest.mark.parametrize(
    ("service", "data", "command", "args"),
    [
        ("media_play", {}, "media.play", {}),
        ("media_pause", {}, "media.pause", {}),
        ("media_stop", {}, "media.stop", {}),
        ("media_next_track", {}, "media.next", {}),
        ("media_previous_track", {}, "media.previous", {}),
        ("media_seek", {"seek_position": 30}, "media.seek", {"position": 30}),
        ("volume_set", {"volume_level": 0.25}, "media.volume", {"value": 25}),
        ("shuffle_set", {"shuffle": True}, "media.shuffle", {"value": 1}),
        ("repeat_set", {"repeat": "one"}, "media.repeat", {"value": "one"}),
        ("select_source", {"source": "Firefox"}, "media.source", {"value": "Firefox"}),
    ],
)
async def test_a_track_is_controlled(
    hass: HomeAssistant,
    media: Media,
    bus: FakeBroker,
    service: str,
    data: dict[str, Any],
    command: str,
    args: dict[str, Any],
) -> None:
    """The host is asked for it."""
    await hass.services.async_call(
        "media_player", service, {"entity_id": PLAYER, **data}, blocking=True
    )

    assert [one["args"] for one in bus.commands(command)] == [args]


@pytest.mark.parametrize(
    ("state", "position", "at"),
    [
        pytest.param("paused", 42.4, "2026-11-05T08:00:30.100+00:00", id="paused"),
        pytest.param("playing", 42.4, "2026-11-05T08:02:00+00:00", id="resumed"),
        pytest.param("playing", 120.0, "2026-11-05T08:02:10+00:00", id="sought"),
    ],
)
async def test_the_position_is_that_of_the_moment_it_was_read(
    hass: HomeAssistant, media: Media, state: str, position: float, at: str
) -> None:
    """The front end counts on from there while it plays, and not while it is paused."""
    media.say(state=state, position=position, position_at=at)
    await hass.async_block_till_done()

    shown = player(hass)
    assert shown.state == state
    assert shown.attributes["media_position"] == round(position)
    assert shown.attributes["media_position_updated_at"] == datetime.fromisoformat(at)


async def test_what_does_not_work_is_said(hass: HomeAssistant, media: Media) -> None:
    """What says yes and does nothing is a failure."""
    media.failure = "mpv says that its PlaybackStatus is Playing"

    with pytest.raises(HomeAssistantError, match="PlaybackStatus is Playing"):
        await hass.services.async_call(
            "media_player", "media_pause", {"entity_id": PLAYER}, blocking=True
        )

    assert player(hass).state == "playing"


async def test_it_offers_what_the_active_player_can(hass: HomeAssistant, media: Media) -> None:
    """Another player, other controls."""
    media.say(can="play,pause", source="Firefox")
    await hass.async_block_till_done()

    state = player(hass)
    assert state.attributes["supported_features"] == (
        Feature.PLAY | Feature.PAUSE | Feature.SELECT_SOURCE | PLAYS_MEDIA
    )
    assert state.attributes["source"] == "Firefox"


async def test_without_a_player_it_is_off(hass: HomeAssistant, media: Media) -> None:
    """It stays, so that dashboards have it."""
    media.say(**NO_PLAYER)
    await hass.async_block_till_done()

    assert player(hass).state == "off"


async def test_without_a_session_it_is_unavailable(hass: HomeAssistant, media: Media) -> None:
    """The helper takes its readings along."""
    media.say(**dict.fromkeys(SONG))
    await hass.async_block_till_done()

    assert player(hass).state == "unavailable"


async def picture(hass: HomeAssistant, client: ClientSessionGenerator) -> tuple[int, bytes, str]:
    """Return what a browser gets for the picture."""
    session = await client()
    response = await session.get(player(hass).attributes["entity_picture"])
    return response.status, await response.read(), response.content_type


async def test_the_picture_is_fetched_from_the_host_once(
    hass: HomeAssistant, media: Media, bus: FakeBroker, hass_client: ClientSessionGenerator
) -> None:
    """The largest that there may be; a second look takes no second transfer."""
    assert await picture(hass, hass_client) == (HTTPStatus.OK, PICTURE, "image/png")
    assert await picture(hass, hass_client) == (HTTPStatus.OK, PICTURE, "image/png")

    assert [one["args"] for one in bus.commands("media.art")] == [{"token": "0123456789abcdef"}]


async def test_a_host_cannot_have_a_page_served(
    hass: HomeAssistant, media: Media, hass_client: ClientSessionGenerator
) -> None:
    """What is no picture is not shown under Home Assistant's own address."""
    media.picture = b"<script>alert(1)</script>"

    status, body, _ = await picture(hass, hass_client)

    assert status == HTTPStatus.NOT_FOUND
    assert b"script" not in body


# --- What a host is to play ------------------------------------------------------------------


async def play(hass: HomeAssistant, media_id: str, **data: Any) -> None:
    await hass.services.async_call(
        "media_player",
        "play_media",
        {
            "entity_id": PLAYER,
            "media_content_type": "music",
            "media_content_id": media_id,
            **data,
        },
        blocking=True,
    )


def played(bus: FakeBroker) -> tuple[bytes, dict[str, Any]]:
    """Return what the host was sent in parts, and what it was told of it."""
    (told,) = [one["args"] for one in bus.commands("media.play_media")]
    parts = [one["args"] for one in bus.commands("media.load")]
    assert {part["id"] for part in parts} == {told.pop("id")}
    sound = b""
    for part in parts:
        assert part["offset"] == len(sound)
        sound += b64decode(part["data"])
    return sound, told


@pytest.fixture
async def files(hass: HomeAssistant, tmp_path: Path) -> Path:
    """Return the folder of local media."""
    hass.config.config_dir = str(tmp_path)
    hass.config.media_dirs = {"local": str(tmp_path)}
    assert await async_setup_component(hass, "media_source", {})
    return tmp_path


@pytest.mark.parametrize(
    "source", ["media-source://media_source/local/chime one.wav", "/media/local/chime one.wav"]
)
async def test_a_local_file_is_sent_in_parts(
    hass: HomeAssistant, media: Media, bus: FakeBroker, files: Path, source: str
) -> None:
    """Home Assistant reads it: the host fetches nothing."""
    sound = b"RIFF" + bytes(150_000)
    (files / "chime one.wav").write_bytes(sound)

    await play(hass, source)

    assert played(bus) == (sound, {"title": "chime one", "announce": 0})


@pytest.fixture
def speech() -> Generator[bytes]:
    """Have Home Assistant speak; the real one needs FFmpeg, and is heard in `tests/e2e`."""
    said = b"ID3The door is open."

    async def audio(hass: HomeAssistant, media_source_id: str) -> tuple[str, bytes]:
        assert media_source_id == "media-source://tts/demo?message=The+door+is+open."
        return "mp3", said

    name = "homeassistant.components.tts"
    fake = SimpleNamespace(async_get_media_source_audio=audio)
    with patch.dict(sys.modules, {name: fake}):  # type: ignore[dict-item]
        yield said


async def test_speech_is_sent(
    hass: HomeAssistant, media: Media, bus: FakeBroker, files: Path, speech: bytes
) -> None:
    """As `tts.speak` has it played: as an announcement, and its text is no title."""
    await play(hass, "media-source://tts/demo?message=The+door+is+open.", announce=True)

    assert played(bus) == (speech, {"title": "", "announce": 1})


async def test_an_address_of_home_assistant_is_fetched_by_itself(
    hass: HomeAssistant,
    media: Media,
    bus: FakeBroker,
    files: Path,
    hass_client: ClientSessionGenerator,
) -> None:
    """Signed for a moment: the host could not log in."""
    (files / "www").mkdir()
    (files / "www" / "chime.mp3").write_bytes(b"ID3chime")
    assert await async_setup_component(hass, "http", {})
    client = await hass_client()
    hass.config.internal_url = str(client.make_url("/")).rstrip("/")

    await play(
        hass,
        f"{hass.config.internal_url}/media/local/www/chime.mp3",
        extra={"metadata": {"title": "Chime"}},
    )

    assert played(bus) == (b"ID3chime", {"title": "Chime", "announce": 0})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("http://192.168.1.1/reboot", "not among allowlist_external_urls"),
        ("file:///etc/passwd", "not a kind of address"),
        ("/media/local/../secrets.yaml", "outside of its folder"),
        ("media-source://media_source/local/large.wav", "more than 8 MiB"),
        ("/media/local/none.wav", "No such file"),
    ],
)
async def test_what_may_not_be_played_is_refused(
    hass: HomeAssistant, media: Media, bus: FakeBroker, files: Path, source: str, reason: str
) -> None:
    """The host is not asked."""
    (files / "large.wav").write_bytes(bytes(8 * 1024 * 1024 + 1))

    with pytest.raises(ServiceValidationError, match=reason):
        await play(hass, source)

    assert bus.commands("media.load") == []


async def test_a_host_that_plays_nothing_says_so(
    hass: HomeAssistant, media: Media, files: Path
) -> None:
    """A program that starts is no sound."""
    (files / "chime.wav").write_bytes(b"RIFF")
    media.failure = "mpv has played nothing"

    with pytest.raises(HomeAssistantError, match="mpv has played nothing"):
        await play(hass, "/media/local/chime.wav")


async def test_media_is_offered_where_the_host_can_play_it(
    hass: HomeAssistant, media: Media, agent: FakeAgent
) -> None:
    """No program is installed there, say."""
    media.plays_media = False
    agent.dispatcher.offer({agent.power: agent.power.commands(), media: media.commands()})
    agent.announce()
    await hass.async_block_till_done()

    assert not player(hass).attributes["supported_features"] & PLAYS_MEDIA


async def test_sounds_can_be_browsed(
    hass: HomeAssistant, media: Media, files: Path, hass_ws_client: WebSocketGenerator
) -> None:
    """Pictures are left out."""
    (files / "chime.wav").write_bytes(b"RIFF")
    (files / "door.png").write_bytes(PICTURE[:100])
    client = await hass_ws_client()

    await client.send_json_auto_id(
        {
            "type": "media_player/browse_media",
            "entity_id": PLAYER,
            "media_content_type": "",
            "media_content_id": "media-source://media_source/local/.",
        }
    )

    result = (await client.receive_json())["result"]
    assert [child["title"] for child in result["children"] if child["can_play"]] == ["chime.wav"]
