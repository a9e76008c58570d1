"""A file of sound that Windows itself plays, by Media Foundation.

It plays all that this Windows knows: MP3, AAC and MP4, WAV and FLAC, and Ogg and WebM by the
extensions that Windows 10 and later bring.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import os
from pathlib import Path
import shutil
import tempfile
from typing import IO, TYPE_CHECKING, TypeVar

from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.media.playback import BEGINS_WITHIN, Playback
from companion_agent.winapi import com, media_player
from companion_agent.winapi.media_player import MediaPlayer

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

# Media Foundation knows a file by its name first. The beginnings are those of `inbox.is_sound()`.
_SUFFIXES = (
    (0, b"ID3", ".mp3"),
    (0, b"OggS", ".ogg"),
    (0, b"fLaC", ".flac"),
    (0, b"\x1a\x45\xdf\xa3", ".webm"),
    (0, b"RIFF", ".wav"),
    (4, b"ftyp", ".m4a"),
)
# An ADTS frame has layer 0, one of MPEG audio another.
_LAYER = 0x06


class MediaFoundation(Playback):
    """Plays by Windows' own player, in a thread of its own.

    Args:
        changed: Called when something else is played, or its volume is another.
        ended: Called when a file has ended, however it did, unless another one takes its place.

    Raises:
        Unavailable: This Windows has no Media Foundation.
    """

    def __init__(self, changed: Callable[[], None], ended: Callable[[], None]) -> None:
        super().__init__(changed, ended)
        self._loop = asyncio.get_running_loop()
        if not media_player.exists():
            raise Unavailable("this Windows has no Media Foundation (its media pack is missing)")
        self._thread: ThreadPoolExecutor | None = None
        self._player: MediaPlayer | None = None
        self._path: Path | None = None
        self._begun: asyncio.Future[None] | None = None
        self._heard = False
        self._percent = 100
        self._ending: asyncio.Task[None] | None = None

    @property
    def playing(self) -> bool:
        """Whether a file is heard."""
        return self._heard

    async def play(self, media: IO[bytes], title: str) -> None:
        """Play a file in the place of the last one; return when it is heard.

        Raises:
            CommandError: It is not: no device, or nothing that this Windows knows.
        """
        with media:
            await self._cancel()
            path = self._path = await asyncio.to_thread(_keep, media)
        self._title = title
        begun = self._begun = self._loop.create_future()
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "media foundation")
                await self._do(com.begin)
            async with asyncio.timeout(BEGINS_WITHIN):
                player = await self._do(lambda: MediaPlayer(str(path), self._events_of(begun)))
                self._player = player
                await begun
            # A very short file may have ended by now.
            with suppress(OSError):
                self._percent = await self._do(lambda: round(player.volume() * 100))
        except BaseException as error:
            await self._cancel()
            if isinstance(error, TimeoutError):
                detail = f"Windows has played nothing within {BEGINS_WITHIN:.0f} s"
                raise CommandError("failed", detail) from None
            if isinstance(error, OSError):
                raise CommandError("failed", f"Windows cannot play it: {error}") from error
            raise
        if self._begun is begun:
            self._heard = True
            self._changed()

    async def set_volume(self, percent: float) -> None:
        """Set the volume of what is played, and read it back.

        Raises:
            CommandError: Windows does not do it, or the file has ended.
        """
        player = self._player
        if player is None or not self._heard:
            raise CommandError("failed", "nothing is played any more")

        def set_it() -> int:
            player.set_volume(percent / 100)
            return round(player.volume() * 100)

        try:
            self._percent = await self._do(set_it)
        except OSError as error:
            raise CommandError("failed", f"Windows refuses it: {error}") from error
        if self._percent != round(percent):
            raise CommandError("failed", f"Windows says that it is {self._percent}")
        self._changed()

    def _volume(self) -> int:
        return self._percent

    async def _do(self, job: Callable[[], _T]) -> _T:
        assert self._thread
        return await self._loop.run_in_executor(self._thread, job)

    async def _cancel(self) -> None:
        player, self._player = self._player, None
        path, self._path = self._path, None
        heard, self._heard = self._heard, False
        self._begun = None
        if player:

            def end() -> None:
                with suppress(OSError):
                    player.end()
                player.close()

            await self._do(end)
        if path:
            with suppress(OSError):
                path.unlink()
        if heard:
            self._changed()

    # --- What Windows says ---------------------------------------------------------------

    def _events_of(self, begun: asyncio.Future[None]) -> Callable[[int, int], None]:
        """Return what takes the events of one file, in a thread of Windows'."""

        def heard(event: int, result: int) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._take, begun, event, result)

        return heard

    def _take(self, begun: asyncio.Future[None], event: int, result: int) -> None:
        if self._begun is not begun:
            return
        if result < 0 or event == media_player.ERROR:
            if not begun.done():
                begun.set_exception(com.failure(result, "MFPlay"))
                return
        elif event == media_player.PLAY and not begun.done():
            begun.set_result(None)
        if result < 0 or event in (media_player.ERROR, media_player.ENDED):
            if not begun.done():
                begun.set_result(None)
            self._ending = self._loop.create_task(self.stop())


def _keep(media: IO[bytes]) -> Path:
    """Write media to a file with a name that tells what it is."""
    head = media.read(12)
    media.seek(0)
    number, name = tempfile.mkstemp(_suffix(head), "pilot-")
    with os.fdopen(number, "wb") as file:
        shutil.copyfileobj(media, file)
    return Path(name)


def _suffix(head: bytes) -> str:
    for place, beginning, suffix in _SUFFIXES:
        if head.startswith(beginning, place):
            return suffix
    return ".mp3" if head[1] & _LAYER else ".aac"
