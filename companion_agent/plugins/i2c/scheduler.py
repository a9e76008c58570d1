"""Runs the work of several sensors side by side, with as little waiting as there can be."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, TypeVar

from companion_agent.plugins.i2c.drivers.base import BusyError, NotYet, SensorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.plugins.i2c.drivers.base import Steps

K = TypeVar("K")
T = TypeVar("T")


def run(
    work: Mapping[K, Steps[T]],
    sleep: Callable[[float], object],
    clock: Callable[[], float],
    limit: float,
) -> dict[K, T | Exception]:
    """Run all of it; while one sensor converts, the others are spoken to.

    Args:
        work: What is to be done, by whose it is.
        sleep: Waits for some seconds.
        clock: Monotonic seconds.
        limit: Seconds after which whatever has not ended is given up.

    Returns:
        What became of each: its outcome, or a `SensorError`, `OSError` or `NotYet`.
    """
    outcomes: dict[K, T | Exception] = {}
    until = clock() + limit
    keys = list(work)
    # The number keeps the order of those that are due at the same time.
    waiting = [(0.0, number) for number in range(len(keys))]
    while waiting:
        due, number = heapq.heappop(waiting)
        key = keys[number]
        steps = work[key]
        if max(due, clock()) > until:
            steps.close()
            outcomes[key] = BusyError("it takes too long")
            continue
        if (wait := due - clock()) > 0:
            sleep(wait)
        try:
            heapq.heappush(waiting, (clock() + next(steps), number))
        except StopIteration as end:
            outcomes[key] = end.value
        except (SensorError, OSError, NotYet) as error:
            outcomes[key] = error
    return outcomes
