"""Images in notifications: read by Home Assistant, made small, and sent along."""

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.const import Platform
from homeassistant.exceptions import ServiceValidationError
from PIL import Image, ImageOps, UnidentifiedImageError

from .const import DOMAIN
from .source_files import SourceFiles

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

    from .access import Caller

MAX_SOURCE: Final = 16 * 1024 * 1024
"""Bytes of an image that is read."""
_SIDES: Final = (640, 480, 320, 160)
"""Pixels of the longer side: notification servers draw less than the first."""
_QUALITIES: Final = (85, 70, 50)
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
        return await SourceFiles(hass, MAX_SOURCE, _unreadable).async_read(source)
    if caller is not None:
        caller.require_entities([source], POLICY_READ)
    if domain is Platform.CAMERA:
        from homeassistant.components import camera  # noqa: PLC0415  (not in every house)

        return (await camera.async_get_image(hass, source)).content
    from homeassistant.components import image  # noqa: PLC0415

    return (await image.async_get_image(hass, source)).content


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


def _unreadable(source: str, reason: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="notify_image_unreadable",
        translation_placeholders={"image": source, "reason": reason},
    )
