"""Media that comes in parts, kept until it is whole.

Brokers limit messages (AWS IoT takes 128 KiB), so that a part is no larger than an image of a
notification.
"""

from __future__ import annotations

from collections import OrderedDict
import tempfile
from typing import IO

from companion_agent.errors import CommandError

MAX_MEDIA = 8 * 1024 * 1024
"""Bytes of what is played: some minutes of music, or an hour of speech."""
MAX_PART = 64 * 1024
"""Bytes of a part, before they are base64."""
MAX_WAITING = 2
"""Media that may be under way at a time; the oldest goes first."""

# The longest beginning that is looked at.
_HEAD = 12
# MPEG audio and ADTS have eleven set bits in front of each frame.
_SYNC = 0xFFE0


class Inbox:
    """Keeps media in files without a name."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, IO[bytes]] = OrderedDict()

    def take(self, name: str, offset: int, data: bytes) -> None:
        """Keep a part; the first, at offset 0, begins anew.

        Raises:
            CommandError: The part before it is missing, or the media is too large.
        """
        if offset == 0:
            self._begin(name)
        file = self._files.get(name)
        if file is None or file.tell() != offset:
            raise CommandError("failed", "a part of the media is missing; send it once more")
        if offset + len(data) > MAX_MEDIA:
            self._files.pop(name).close()
            limit = MAX_MEDIA // 1024**2
            raise CommandError("failed", f"the media is larger than {limit} MiB")
        file.write(data)

    def hand_over(self, name: str) -> IO[bytes]:
        """Return media that is whole, at its beginning; the caller closes it.

        Raises:
            CommandError: It is not there, or is nothing that can be heard.
        """
        file = self._files.pop(name, None)
        if file is None:
            raise CommandError("failed", "the media is not here; send it once more")
        file.seek(0)
        if not is_sound(file.read(_HEAD)):
            file.close()
            raise CommandError("failed", "it is no sound (MP3, AAC, Ogg, WAV, FLAC, MP4, WebM)")
        file.seek(0)
        return file

    def clear(self) -> None:
        """Forget all."""
        while self._files:
            self._files.popitem()[1].close()

    def _begin(self, name: str) -> None:
        if known := self._files.pop(name, None):
            known.close()
        while len(self._files) >= MAX_WAITING:
            self._files.popitem(last=False)[1].close()
        self._files[name] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by who takes it)


def is_sound(head: bytes) -> bool:
    """Tell by its first bytes whether media holds sound, and is no list of other addresses."""
    if head.startswith((b"ID3", b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3")):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WAVE"
    if head[4:8] == b"ftyp":
        return True
    return len(head) >= 2 and int.from_bytes(head[:2], "big") & _SYNC == _SYNC
