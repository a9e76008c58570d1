"""The media player of Pilot: what the active player of a host's desktop plays, and its controls."""

import asyncio
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, override
from urllib.parse import unquote, urlsplit

from homeassistant.components import media_source
from homeassistant.components.media_player import (
    MediaPlayerEntity,
    MediaPlayerEntityDescription,
)
from homeassistant.components.media_player.browse_media import BrowseMedia
from homeassistant.components.media_player.const import (
    ATTR_MEDIA_ANNOUNCE,
    ATTR_MEDIA_EXTRA,
    MediaPlayerEntityFeature,
    MediaPlayerState,
    MediaType,
    RepeatMode,
)
from homeassistant.const import Platform
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from . import host_media
from .coordinator import Status
from .entity import ARGUMENT, PilotEntity
from .factory import AnnouncedEntity, async_add_announced_entities
from .protocol.validation import picture_type

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
    from .protocol.announce import Announce
    from .readings import NativeValue

# Hosts carry out what they are asked in their own order.
PARALLEL_UPDATES = 0

PLAYER: Final = MediaPlayerEntityDescription(key="media", translation_key="media")

_MAX_TITLE: Final = 255
_STATE: Final = "media.state"
_SOURCE: Final = "media.source"

_STATES: Final = {
    "playing": MediaPlayerState.PLAYING,
    "paused": MediaPlayerState.PAUSED,
    "stopped": MediaPlayerState.IDLE,
    "no_player": MediaPlayerState.OFF,
}

_PLAYS_MEDIA: Final = (
    MediaPlayerEntityFeature.PLAY_MEDIA
    | MediaPlayerEntityFeature.BROWSE_MEDIA
    | MediaPlayerEntityFeature.MEDIA_ANNOUNCE
)

_FEATURES: Final = {
    "play": MediaPlayerEntityFeature.PLAY,
    "pause": MediaPlayerEntityFeature.PAUSE,
    "stop": MediaPlayerEntityFeature.STOP,
    "next": MediaPlayerEntityFeature.NEXT_TRACK,
    "previous": MediaPlayerEntityFeature.PREVIOUS_TRACK,
    "seek": MediaPlayerEntityFeature.SEEK,
    "volume": MediaPlayerEntityFeature.VOLUME_SET | MediaPlayerEntityFeature.VOLUME_STEP,
    "shuffle": MediaPlayerEntityFeature.SHUFFLE_SET,
    "repeat": MediaPlayerEntityFeature.REPEAT_SET,
}
"""What a player can do, by the commands that it says to take now."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the media player of a host."""
    coordinator = entry.runtime_data.coordinator
    player = AnnouncedEntity(
        PLAYER.key,
        PLAYER,
        lambda device: PilotMediaPlayer(coordinator, PLAYER, PLAYER.key, device),
    )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [player] if _STATE in announce.readings else []

    async_add_announced_entities(entry, Platform.MEDIA_PLAYER, async_add_entities, source)


class PilotMediaPlayer(PilotEntity, MediaPlayerEntity):
    """The player that is active on the host's desktop, whichever it is."""

    _attr_media_content_type = MediaType.MUSIC
    # What a host is sent is one thing at a time.
    _sending: asyncio.Lock
    # What was fetched last: browsers ask for each size and tab again.
    _picture: tuple[str, bytes] | None = None

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self._sending = asyncio.Lock()
        announce = self.coordinator.data
        for reading in announce.readings.values() if announce else ():
            if reading.collector == PLAYER.key:
                self.async_on_remove(self.coordinator.async_add_reading_listener(reading.key, self))

    @callback
    def async_show(self, value: NativeValue | None) -> None:
        """Show what has changed, all of one message at once: title and artist belong together."""
        self._update_attrs()
        self.async_write_ha_state()

    @override
    def _update_attrs(self) -> None:
        value = self._value
        state = value("state")
        self._attr_available = self.coordinator.status is Status.ONLINE and state is not None
        self._attr_state = _STATES.get(str(state))
        self._attr_media_title = self._text("title")
        self._attr_media_artist = self._text("artist")
        self._attr_media_album_name = self._text("album")
        self._attr_media_image_hash = self._text("art") if self.coordinator.auth.paired else None
        duration, position, read_at = value("duration"), value("position"), value("position_at")
        self._attr_media_position = self._attr_media_position_updated_at = None
        if isinstance(position, (int, float)) and isinstance(read_at, datetime):
            self._attr_media_position = round(position)
            self._attr_media_position_updated_at = read_at
        self._attr_media_duration = round(duration) if isinstance(duration, (int, float)) else None
        volume, shuffle = value("volume"), value("shuffle")
        self._attr_volume_level = volume / 100 if isinstance(volume, (int, float)) else None
        self._attr_shuffle = shuffle if isinstance(shuffle, bool) else None
        repeat = self._text("repeat")
        self._attr_repeat = RepeatMode(repeat) if repeat else None
        self._attr_source = self._text("source")
        self._update_features()

    def _update_features(self) -> None:
        announce = self.coordinator.data
        commands = announce.commands if announce and self.coordinator.auth.paired else {}
        features = MediaPlayerEntityFeature(0)
        for name in (self._text("can") or "").split(","):
            if f"{PLAYER.key}.{name}" in commands:
                features |= _FEATURES.get(name, MediaPlayerEntityFeature(0))
        if {host_media.LOAD, host_media.PLAY_MEDIA} <= commands.keys():
            features |= _PLAYS_MEDIA
        source = commands.get(_SOURCE)
        self._attr_source_list = list(source.options.get(ARGUMENT, ())) if source else []
        if self._attr_source_list:
            features |= MediaPlayerEntityFeature.SELECT_SOURCE
        self._attr_supported_features = features

    def _value(self, name: str) -> NativeValue | None:
        return self.coordinator.value(f"{PLAYER.key}.{name}")

    def _text(self, name: str) -> str | None:
        value = self._value(name)
        return value if isinstance(value, str) else None

    @override
    async def async_get_media_image(self) -> tuple[bytes | None, str | None]:
        """Fetch the picture of the track from the host; nothing where it has none."""
        token = self.media_image_hash
        if token is None:
            return None, None
        if self._picture is None or self._picture[0] != token:
            try:
                result = await self.coordinator.commands.async_command(
                    "media.art", {"token": token}
                )
            except HomeAssistantError:
                return None, None
            self._picture = (token, result.data)
        data = self._picture[1]
        # The page that shows it belongs to Home Assistant: it is never told a host's own type.
        media_type = picture_type(data)
        return (data, media_type) if media_type else (None, None)

    async def _async_do(self, name: str, value: float | str | None = None) -> None:
        args = {} if value is None else {ARGUMENT: value}
        await self.coordinator.commands.async_do(f"{PLAYER.key}.{name}", args)

    @override
    async def async_media_play(self) -> None:
        await self._async_do("play")

    @override
    async def async_media_pause(self) -> None:
        await self._async_do("pause")

    @override
    async def async_media_stop(self) -> None:
        await self._async_do("stop")

    @override
    async def async_media_next_track(self) -> None:
        await self._async_do("next")

    @override
    async def async_media_previous_track(self) -> None:
        await self._async_do("previous")

    @override
    async def async_media_seek(self, position: float) -> None:
        await self.coordinator.commands.async_do(f"{PLAYER.key}.seek", {"position": position})

    @override
    async def async_set_volume_level(self, volume: float) -> None:
        await self._async_do("volume", round(volume * 100))

    @override
    async def async_set_shuffle(self, shuffle: bool) -> None:
        await self._async_do("shuffle", 1 if shuffle else 0)

    @override
    async def async_set_repeat(self, repeat: RepeatMode) -> None:
        await self._async_do("repeat", repeat.value)

    @override
    async def async_select_source(self, source: str) -> None:
        await self._async_do("source", source)

    @override
    async def async_browse_media(
        self,
        media_content_type: MediaType | str | None = None,
        media_content_id: str | None = None,
    ) -> BrowseMedia:
        return await media_source.async_browse_media(
            self.hass, media_content_id, content_filter=_can_be_heard
        )

    @override
    async def async_play_media(
        self,
        media_type: MediaType | str,
        media_id: str,
        **kwargs: Any,
    ) -> None:
        announced = self.coordinator.data
        assert announced is not None
        async with self._sending:
            await host_media.async_play(
                self.hass,
                self.coordinator.commands,
                announced.commands[host_media.LOAD],
                media_id,
                entity_id=self.entity_id,
                title=_title_of(media_id, kwargs.get(ATTR_MEDIA_EXTRA) or {}),
                announce=bool(kwargs.get(ATTR_MEDIA_ANNOUNCE)),
            )


def _can_be_heard(item: BrowseMedia) -> bool:
    return item.media_content_type.startswith("audio/")


def _title_of(media_id: str, extra: dict[str, Any]) -> str:
    """Return what the caller calls a media, or its file; nothing for speech."""
    metadata = extra.get("metadata")
    title = extra.get("title") or (metadata.get("title") if isinstance(metadata, dict) else None)
    if isinstance(title, str):
        return title[:_MAX_TITLE]
    file = PurePosixPath(unquote(urlsplit(media_id).path))
    return file.stem[:_MAX_TITLE] if file.suffix else ""
