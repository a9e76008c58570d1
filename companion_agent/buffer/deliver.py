"""Which chunk is sent when, until every reader that shall have it has acknowledged it."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.buffer.task import Chunk

# Seconds between two repeats; the last one goes on.
REPEATS = (5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(slots=True)
class Inflight:
    """A chunk under way: who lacks it, how often it was sent, and when it is sent again."""

    chunk: Chunk
    readers: set[str] = field(default_factory=set)
    sent: int = 0
    due: float = 0.0


class Delivery:
    """Keeps one chunk under way for every reader; those at the same place share it.

    Args:
        clock: Monotonic seconds.
        delay: Seconds after which it begins when a reader may have come.
    """

    def __init__(self, clock: Callable[[], float], delay: float = 0.0) -> None:
        self._clock = clock
        self._delay = delay
        self._begins = -math.inf
        self._inflight: dict[str, Inflight] = {}

    @property
    def under_way(self) -> bool:
        """Whether an acknowledgement is awaited."""
        return bool(self._inflight)

    def take(self, chunks: Mapping[str, Chunk]) -> None:
        """Take the next chunk of every reader that lacks one."""
        inflight: dict[str, Inflight] = {}
        for reader, chunk in chunks.items():
            before = self._inflight.get(chunk.id, Inflight(chunk, due=self._next()))
            flight = inflight.setdefault(
                chunk.id, Inflight(chunk, sent=before.sent, due=before.due)
            )
            flight.readers.add(reader)
        self._inflight = inflight

    def acknowledge(self, reader: str, chunk: str) -> bool:
        """Take an acknowledgement.

        Returns:
            Whether it is news; of a chunk that is not under way it never is.
        """
        flight = self._inflight.get(chunk)
        if flight is None:
            return False
        if reader in flight.readers:
            flight.readers.discard(reader)
            if not flight.readers:
                del self._inflight[chunk]
            return True
        # It was sent for a reader that lags behind, or that is further on.
        return reader not in flight.chunk.acknowledged

    def again(self) -> None:
        """Send everything after the delay, and repeat it soon: a reader may be there now."""
        self._begins = self._clock() + self._delay
        for flight in self._inflight.values():
            flight.sent = 0
            flight.due = self._next()

    def _next(self) -> float:
        """Return when what was never sent may be sent."""
        return max(self._clock(), self._begins)

    def due(self) -> list[Chunk]:
        """Return what is to be sent now; it counts as sent."""
        now = self._clock()
        ready = [flight for flight in self._inflight.values() if flight.due <= now]
        for flight in ready:
            flight.due = now + REPEATS[min(flight.sent, len(REPEATS) - 1)]
            flight.sent += 1
        return [flight.chunk for flight in ready]

    def deadline(self) -> float:
        """Return when something is to be sent; infinity for never."""
        return min((flight.due for flight in self._inflight.values()), default=math.inf)
