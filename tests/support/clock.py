"""Clocks in place of `time.monotonic` and `time.time`."""

from __future__ import annotations

import time


class ManualClock:
    """Time that passes only when a test says so, or while its caller sleeps by it.

    Attributes:
        now: What it shows, in seconds.
        sleeps: How long was slept each time, in seconds.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.advance(seconds)


class PassingClock:
    """Time that passes by itself, and as fast as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
