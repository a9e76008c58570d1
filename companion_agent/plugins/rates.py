"""From counters to rates, and from sources' numbers to ones that can be sent."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORTEST = 0.5
"""Seconds below which a counter's own steps are most of what would be measured."""

_FASTEST = 1e12
_LARGEST = 1e15


class _Point(NamedTuple):
    at: float
    counter: int
    rate: float | None


class Rates:
    """Rates per second of counters that come, go and start again at any time.

    The monotonic clock stands still while a Linux machine sleeps, and so do its counters: what is
    measured after waking is the rate while it was awake. Setting the clock changes nothing.
    """

    def __init__(self) -> None:
        self._points: dict[str, _Point] = {}

    def measure(self, counters: Mapping[str, int]) -> dict[str, float | None]:
        """Return each counter's rate since the last call; `None` for one that is new.

        A counter that went back was started again or ran over: `None` once, never a negative or
        enormous rate. After less than half a second the last rate still stands.
        """
        now = monotonic()
        points = {}
        for name, counter in counters.items():
            before = self._points.get(name)
            if before is None:
                points[name] = _Point(now, counter, None)
            elif now - before.at < SHORTEST:
                points[name] = before
            else:
                rate = (counter - before.counter) / (now - before.at)
                points[name] = _Point(now, counter, rate if 0 <= rate < _FASTEST else None)
        self._points = points
        return {name: point.rate for name, point in points.items()}


def sendable(number: int) -> int | None:
    """Return a number, or `None` when it is larger than the protocol carries."""
    return number if abs(number) < _LARGEST else None
