"""Files that a call names, read by Home Assistant and sent along: hosts open no address."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from aiohttp import ClientError
from homeassistant.components import media_source
from homeassistant.helpers.aiohttp_client import async_get_clientsession

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeassistant.core import HomeAssistant
    from homeassistant.exceptions import HomeAssistantError

FETCH_LIMIT: Final = 10.0
"""Seconds in which an address has given all that it has."""


class SourceFiles:
    """Reads files of one sort.

    Args:
        hass: Home Assistant.
        limit: Bytes that a file may have.
        unreadable: Makes the error for a source and the reason why it cannot be read.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        limit: int,
        unreadable: Callable[[str, str], HomeAssistantError],
    ) -> None:
        """Keep what to read by."""
        self._hass = hass
        self._limit = limit
        self._unreadable = unreadable

    async def async_read(self, source: str) -> bytes:
        """Return what a media source, `/local/`, `/media/` or an allowed address names.

        Raises:
            HomeAssistantError: What `unreadable` makes.
        """
        if media_source.is_media_source_id(source):
            found = (await media_source.async_resolve_media(self._hass, source, None)).path
            if found is None:
                raise self._unreadable(source, "not a file of Home Assistant's")
            return await self.async_read_path(source, found)
        if (content := await self.async_read_local(source)) is not None:
            return content
        if not source.startswith(("http://", "https://")):
            raise self._unreadable(source, "not a kind of address that is known")
        if not self._hass.config.is_allowed_external_url(source):
            reason = "not among allowlist_external_urls of Home Assistant"
            raise self._unreadable(source, reason)
        return await self.async_fetch(source, source)

    async def async_read_local(self, source: str) -> bytes | None:
        """Return a file below `/local/` or `/media/`; None where the source is something else.

        Raises:
            HomeAssistantError: What `unreadable` makes.
        """
        path = unquote(urlsplit(source).path)
        config = self._hass.config
        for start, folder in (
            ("/local/", Path(config.path("www"))),
            *((f"/media/{name}/", Path(folder)) for name, folder in config.media_dirs.items()),
        ):
            if source.startswith(start):
                run = self._hass.async_add_executor_job
                file = await run(_below, folder, path.removeprefix(start))
                if file is None:
                    raise self._unreadable(source, "outside of its folder")
                return await self.async_read_path(source, file)
        return None

    async def async_read_path(self, source: str, file: Path) -> bytes:
        """Return a file.

        Raises:
            HomeAssistantError: What `unreadable` makes.
        """
        return await self._hass.async_add_executor_job(self._read, source, file)

    async def async_fetch(self, source: str, url: str, *, is_own: bool = False) -> bytes:
        """Return what an address has.

        Args:
            source: What was asked for.
            url: Where it is.
            is_own: Whether it is Home Assistant's own, whose certificate names another address.

        Raises:
            HomeAssistantError: What `unreadable` makes.
        """
        session = async_get_clientsession(self._hass, verify_ssl=not is_own)
        try:
            async with (
                asyncio.timeout(FETCH_LIMIT),
                # Where it leads elsewhere was not allowed.
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise self._unreadable(source, f"status {answer.status}")
                content = await answer.content.read(self._limit + 1)
                while len(content) <= self._limit and not answer.content.at_eof():
                    content += await answer.content.read(self._limit + 1 - len(content))
        except (ClientError, TimeoutError) as err:
            raise self._unreadable(source, str(err) or "no answer") from err
        return self.checked(source, content)

    def checked(self, source: str, content: bytes) -> bytes:
        """Return content that is not too large.

        Raises:
            HomeAssistantError: What `unreadable` makes.
        """
        if len(content) > self._limit:
            raise self._unreadable(source, f"more than {self._limit // 1024**2} MiB")
        return content

    def _read(self, source: str, file: Path) -> bytes:
        try:
            with file.open("rb") as opened:
                return self.checked(source, opened.read(self._limit + 1))
        except OSError as err:
            raise self._unreadable(source, err.strerror or "it cannot be read") from err


def _below(folder: Path, name: str) -> Path | None:
    file = (folder / name).resolve()
    return file if file.is_relative_to(folder.resolve()) else None
