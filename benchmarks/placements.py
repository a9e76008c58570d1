"""How long it takes to compute the history of rooms anew: ``python -m benchmarks.placements``.

Run it in an environment that has Home Assistant. What is measured is the
calculation alone; reading and writing hours is the recorder's work.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
import statistics
import time
from typing import TYPE_CHECKING

from custom_components.pilot.rooms.model import Timeline, affected
from custom_components.pilot.rooms.rooms import (
    HOUR,
    hour_after,
    hour_of,
    hour_weights,
    room_hours,
)
from tests.integration.placements import MINUTE, START, Measured, a_month

from .report import Table

if TYPE_CHECKING:
    from collections.abc import Callable

SENSORS, ROOMS, MOVES = 20, 10, 200
_RUNS = 7
"""How often each is done; the median counts."""


def main() -> int:
    """Measure and print."""
    table = Table(
        f"Computing rooms anew: {SENSORS} sensors, {ROOMS} rooms, {MOVES} moves a month",
        ("what", "sensor hours", "ms"),
    )
    for name, days, moves in (("a month", 30, MOVES), ("a year", 365, 12 * MOVES)):
        timelines, measured, end = a_month(
            Random(1), sensors=SENSORS, rooms=ROOMS, moves=moves, days=days
        )
        hours = sum(len(one) for one in measured.values())

        def everything(
            timelines: dict[str, Timeline] = timelines,
            measured: Measured = measured,
            end: int = end,
        ) -> None:
            for number in range(ROOMS):
                _compute(timelines, measured, f"room_{number}", START, end)

        table.rows.append((f"{name}, all rooms", hours, _milliseconds(everything)))
        table.rows.append(
            (
                f"{name}, one boundary moved by two days",
                hours,
                _milliseconds(lambda t=timelines, m=measured, e=end: _correct(t, m, e)),
            )
        )
    print(table.markdown())
    return 0


def _compute(
    timelines: dict[str, Timeline], measured: Measured, area: str, start: int, end: int
) -> None:
    room_hours(hour_weights(timelines, area, start, end), measured)


def _correct(timelines: dict[str, Timeline], measured: Measured, end: int) -> None:
    """Say that a sensor was moved two days earlier, or half way through its stay before."""
    device, old = next(iter(timelines.items()))
    first, second = next(
        (before, after) for before, after in pairwise(old.placements) if before.end == after.start
    )
    assert first.end is not None
    start = max(first.end - 48 * HOUR, first.start + (first.end - first.start) // 2)
    new = old.move(second.start, end, start=start - start % MINUTE)
    corrected = {**timelines, device: new}
    for area, span in affected(old, new).items():
        last = min(hour_after(min(span.end, end)), end)
        _compute(corrected, measured, area, hour_of(span.start), last)


def _milliseconds(work: Callable[[], None]) -> float:
    times = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return round(statistics.median(times) * 1000, 2)


if __name__ == "__main__":
    raise SystemExit(main())
