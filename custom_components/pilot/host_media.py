"""Sound that a host plays: read by Home Assistant, and sent in parts."""

from base64 import b64encode
import secrets
from typing import TYPE_CHECKING, Final

from homeassistant.components import media_source
from homeassistant.components.media_player.browse_media import async_process_play_media_url
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.network import is_hass_url

from .const import DOMAIN
from .source_files import SourceFiles

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

    from .commands import HostCommands
    from .protocol.announce import Command

LOAD: Final = "media.load"
PLAY_MEDIA: Final = "media.play_media"

_TTS: Final = "media-source://tts/"


async def async_play(
    hass: HomeAssistant,
    commands: HostCommands,
    load: Command,
    source: str,
    *,
    entity_id: str,
    title: str = "",
    announce: bool = False,
) -> None:
    """Have a host play something.

    Args:
        hass: Home Assistant.
        commands: The commands of the host.
        load: Its command that takes a part.
        source: A media source, an address of Home Assistant's or one that it may fetch.
        entity_id: The player.
        title: What it is called.
        announce: Whether players that are paused for it go on afterwards.

    Raises:
        ServiceValidationError: There is no such media, or it is too large.
        HomeAssistantError: It cannot be read, or the host did not play it.
    """
    part = int(load.limits["data"].maximum)
    sound = await _async_read(hass, source, int(load.limits["offset"].maximum), entity_id)
    media_id = secrets.token_hex(8)
    for offset in range(0, len(sound), part):
        data = b64encode(sound[offset : offset + part]).decode()
        args = {"id": media_id, "offset": offset, "data": data}
        await commands.async_do(LOAD, args, files=len(data))
    args = {"id": media_id, "title": title, "announce": int(announce)}
    await commands.async_do(PLAY_MEDIA, args)


async def _async_read(hass: HomeAssistant, source: str, limit: int, entity_id: str) -> bytes:
    files = SourceFiles(hass, limit, _unreadable)
    url = source
    if media_source.is_media_source_id(source):
        if source.startswith(_TTS):
            return files.checked(source, await _async_speech(hass, source))
        found = await media_source.async_resolve_media(hass, source, entity_id)
        if found.path is not None:
            return await files.async_read_path(source, found.path)
        # What a media source names may be fetched, wherever it is.
        url = found.url
        if not _is_own(hass, url):
            return await files.async_fetch(source, url)
    if not _is_own(hass, url):
        return await files.async_read(source)
    if (content := await files.async_read_local(url)) is not None:
        return content
    own = async_process_play_media_url(hass, url)
    return await files.async_fetch(source, own, is_own=True)


async def _async_speech(hass: HomeAssistant, source: str) -> bytes:
    from homeassistant.components import tts  # noqa: PLC0415  (not in every house)

    try:
        return (await tts.async_get_media_source_audio(hass, source))[1]
    except ValueError as err:
        raise _unreadable(source, str(err)) from err


def _is_own(hass: HomeAssistant, url: str) -> bool:
    return url.startswith("/") or is_hass_url(hass, url)


def _unreadable(source: str, reason: str) -> HomeAssistantError:
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="media_unreadable",
        translation_placeholders={"media": source, "reason": reason},
    )
