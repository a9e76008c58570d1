"""Images in notifications: read by Home Assistant, made small, and sent along."""

import asyncio
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from aiohttp import ClientError
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.components import media_source
from homeassistant.const import Platform
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from PIL import Image, ImageOps, UnidentifiedImageError

from .const import DOMAIN

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

    from .access import Caller

MAX_SOURCE: Final = 16 * 1024 * 1024
"""Bytes of an image that is read."""
_SIDES: Final = (640, 480, 320, 160)
"""Pixels of the longer side: notification servers draw less than the first."""
_QUALITIES: Final = (85, 70, 50)
_FETCH_LIMIT: Final = 10.0
_MAX_PIXELS: Final = 64_000_000


async def async_image(
    hass: HomeAssistant, source: str, limit: int, caller: Caller | None = None
) -> str:
    """Return an image in base64, as PNG or JPEG of at most `limit` bytes.

    Args:
        hass: Home Assistant.
        source: A camera or image entity or its address below `/api`, a media source, a file below
            `/local/` or `/media/local/`, or an address that Home Assistant may fetch.
        limit: Bytes before they are base64.
        caller: Who wants it: what a user may not see is not sent for that user.

    Raises:
        ServiceValidationError: There is no such image, or it is none.
        HomeAssistantError: It cannot be read.
    """
    content = await _async_read(hass, source, caller)
    return await hass.async_add_executor_job(_small, source, content, limit)


async def _async_read(hass: HomeAssistant, source: str, caller: Caller | None) -> bytes:
    path = unquote(urlsplit(source).path)
    for start, domain in (
        ("/api/camera_proxy/", Platform.CAMERA),
        ("/api/image_proxy/", Platform.IMAGE),
    ):
        if path.startswith(start):
            source = path.removeprefix(start)
            break
        if source.startswith(f"{domain}."):
            break
    else:
        return await _async_read_file(hass, source, path)
    if caller is not None:
        caller.require_entities([source], POLICY_READ)
    if domain is Platform.CAMERA:
        from homeassistant.components import camera  # noqa: PLC0415  (not in every house)

        return (await camera.async_get_image(hass, source)).content
    from homeassistant.components import image  # noqa: PLC0415

    return (await image.async_get_image(hass, source)).content


async def _async_read_file(hass: HomeAssistant, source: str, path: str) -> bytes:
    if media_source.is_media_source_id(source):
        found = (await media_source.async_resolve_media(hass, source, None)).path
        if found is None:
            raise _unreadable(source, "not a file of Home Assistant's")
        return await hass.async_add_executor_job(_read, source, found)
    for start, folder in (
        ("/local/", Path(hass.config.path("www"))),
        *((f"/media/{name}/", Path(folder)) for name, folder in hass.config.media_dirs.items()),
    ):
        if source.startswith(start):
            file = await hass.async_add_executor_job(_below, folder, path.removeprefix(start))
            if file is None:
                raise _unreadable(source, "outside of its folder")
            return await hass.async_add_executor_job(_read, source, file)
    if not source.startswith(("http://", "https://")):
        raise _unreadable(source, "not a kind of address that is known")
    if not hass.config.is_allowed_external_url(source):
        raise _unreadable(source, "not among allowlist_external_urls of Home Assistant")
    return await _async_fetch(hass, source)


async def _async_fetch(hass: HomeAssistant, source: str) -> bytes:
    session = async_get_clientsession(hass)
    try:
        async with (
            asyncio.timeout(_FETCH_LIMIT),
            # Where it leads elsewhere was not allowed.
            session.get(source, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise _unreadable(source, f"status {answer.status}")
            content = await answer.content.read(MAX_SOURCE + 1)
            while len(content) <= MAX_SOURCE and not answer.content.at_eof():
                content += await answer.content.read(MAX_SOURCE + 1 - len(content))
    except (ClientError, TimeoutError) as err:
        raise _unreadable(source, str(err) or "no answer") from err
    return _checked(source, content)


def _below(folder: Path, name: str) -> Path | None:
    file = (folder / name).resolve()
    return file if file.is_relative_to(folder.resolve()) else None


def _read(source: str, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return _checked(source, opened.read(MAX_SOURCE + 1))
    except OSError as err:
        raise _unreadable(source, err.strerror or "it cannot be read") from err


def _checked(source: str, content: bytes) -> bytes:
    if len(content) > MAX_SOURCE:
        raise _unreadable(source, f"more than {MAX_SOURCE // 1024**2} MiB")
    return content


def _small(source: str, content: bytes, limit: int) -> str:
    try:
        with Image.open(BytesIO(content)) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise _unreadable(source, f"more than {_MAX_PIXELS // 1_000_000} megapixels")
            # JPEG is decoded small at once.
            opened.draft("RGB", (_SIDES[0], _SIDES[0]))
            whole = ImageOps.exif_transpose(opened)
            whole = whole.convert("RGBA" if whole.has_transparency_data else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as err:
        raise _unreadable(source, "not an image that can be read") from err
    for side in _SIDES:
        whole.thumbnail((side, side))
        for options in (
            ({"format": "PNG", "optimize": True},)
            if whole.mode == "RGBA"
            else ({"format": "JPEG", "quality": quality} for quality in _QUALITIES)
        ):
            written = BytesIO()
            whole.save(written, **options)
            if written.tell() <= limit:
                return b64encode(written.getvalue()).decode()
    raise _unreadable(source, f"more than {limit} bytes even when it is small")


def _unreadable(source: str, reason: str) -> HomeAssistantError:
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="notify_image_unreadable",
        translation_placeholders={"image": source, "reason": reason},
    )
