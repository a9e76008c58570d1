"""A file of sound that Home Assistant has played, as one system plays it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.models import Value

TITLE = "Home Assistant"
"""What the stream is called in mixers, and the player in Home Assistant."""
BEGINS_WITHIN = 10.0
"""Seconds in which it is to be heard: a player's first start reads its libraries."""


class Playback(ABC):
    """Plays one file at a time.

    Args:
        changed: Called when something else is played, or its volume is another.
        ended: Called when a file has ended, however it did, unless another one takes its place.
    """

    def __init__(self, changed: Callable[[], None], ended: Callable[[], None]) -> None:
        self._changed = changed
        self._ended = ended
        self._title = ""

    @property
    @abstractmethod
    def playing(self) -> bool:
        """Whether a file is heard."""

    @property
    def values(self) -> dict[str, Value]:
        """What is told of it while it is heard, by the names of the readings."""
        return {
            "state": "playing",
            "title": self._title or None,
            "volume": self._volume(),
            "source": TITLE,
            "can": "stop,volume",
        }

    @abstractmethod
    async def play(self, media: IO[bytes], title: str) -> None:
        """Play a file in the place of the last one; return when it is heard.

        Raises:
            CommandError: It is not, with what is known of why.
        """

    @abstractmethod
    async def set_volume(self, percent: float) -> None:
        """Set the volume of what is played, and read it back.

        Raises:
            CommandError: The system does not do it, or the file has ended.
        """

    async def stop(self) -> None:
        """End what is played."""
        await self._cancel()
        self._ended()

    async def close(self) -> None:
        """End what is played, and tell of it no more."""
        self._changed = self._ended = lambda: None
        await self._cancel()

    @abstractmethod
    def _volume(self) -> int:
        """Return the volume of what is played, in percent."""

    @abstractmethod
    async def _cancel(self) -> None:
        """End what is played, and say that it is."""
