"""What tasks of the event loop wait for: a time, or that something has changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
import hashlib
import math

# Over so many seconds hosts spread what all of them have to say at the same moment.
SPREAD = 10.0


def phase(host: str) -> float:
    """Return the place of a host among many, from 0 to below 1: the same at every start.

    Args:
        host: The host's id.
    """
    return int.from_bytes(hashlib.sha256(host.encode()).digest()[:6]) / 2**48


class Alarm:
    """Wakes the one task that waits for it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ring(self) -> None:
        """End the current wait, or the next one; only in the event loop's thread."""
        self._event.set()

    def ring_from_thread(self) -> None:
        """Do the same; safe from any thread, and after the end of the event loop."""
        if self._loop is None:
            # Nothing waits yet.
            self._event.set()
            return
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, until: float = math.inf) -> None:
        """Wait until it rings.

        Args:
            until: When to stop waiting, by the event loop's clock; infinity for never.
        """
        self._loop = asyncio.get_running_loop()
        if self._event.is_set():
            # A task that keeps ringing its own alarm must not starve the others.
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if math.isinf(until) else until):
                    await self._event.wait()
        self._event.clear()


class Grid:
    """Moments that tasks share, so that they share wake-ups.

    Attributes:
        origin: The first one, by the event loop's clock.

    Args:
        origin: The same.
        shift: Seconds by which the intervals are out of step with the origin.
    """

    def __init__(self, origin: float, shift: float = 0.0) -> None:
        self.origin = origin
        self._shifted = origin + shift

    def next(self, interval: float, now: float) -> float:
        """Return the next moment: the origin, or one that is whole intervals from the shifted one.

        It is never later than an interval from now, or a short one would end in a silence.
        """
        if now < self.origin:
            return self.origin
        # The small term keeps a rounded quotient from naming the present again.
        return self._shifted + interval * (math.floor((now - self._shifted) / interval + 1e-6) + 1)
