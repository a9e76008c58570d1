"""When something was read, by two clocks, and what becomes of it when one of them was wrong.

The wall clock of a computer without a battery starts anywhere and jumps when the time is set.
The clock that counts from the start of the system never jumps. What was read before the jump is
moved by as much as the difference of the two has changed.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# A clock that is only slewed never gains this on the other one: NTP slews both, and sets the time
# where it is off by more (ntpd 0.128 s, chrony 1 s at its start, timesyncd 0.4 s).
JUMP = 1.0
# Pilot is younger than this: 2025-01-01.
EARLIEST = 1_735_689_600.0
# Seconds that reading a clock takes at most, even where others use the processor.
_AT_ONCE = 0.1
_TRIES = 5


def elapsed() -> float:
    """Return seconds that never go back and that count while the machine sleeps, if possible."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    else:  # noqa: RET505  (both branches are checked for their own system)
        return time.monotonic()


class Moment(NamedTuple):
    """A moment by both clocks.

    Attributes:
        wall: Seconds since 1970 UTC, as the host's clock says.
        boot: Seconds since the host started, sleep included.
        sure: A time server had set the wall clock.
    """

    wall: float
    boot: float
    sure: bool = False

    @property
    def offset(self) -> float:
        """What the wall clock is ahead of the other one."""
        return self.wall - self.boot


class Clocks:
    """The host's clocks.

    Args:
        session: Stands for the start of the system where that has no name.
        boot_id: Names this start of the system; `None` where nothing does.
        confirmed: Tells whether a time server has set the wall clock since then.
        wall: Seconds since 1970 UTC.
        boot: Seconds since the host started, sleep included.
    """

    def __init__(
        self,
        session: str,
        boot_id: Callable[[], str | None] = lambda: None,
        confirmed: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = elapsed,
    ) -> None:
        self._session = session
        self._boot_id = boot_id
        self._wall = wall
        self._boot = boot
        self.confirmed = confirmed

    def moment(self) -> Moment:
        """Return the present.

        The two clocks are read one after the other, and the machine may sleep in between: then
        they are read again.
        """
        before = self._boot()
        for _ in range(_TRIES):
            wall, after = self._wall(), self._boot()
            if after - before < _AT_ONCE:
                break
            before = after
        return Moment(wall, after)

    @property
    def boot_id(self) -> str:
        """What names this start of the system."""
        return self._boot_id() or self._session


def corrected(said: Moment, offset: float) -> float:
    """Return when something was read.

    Args:
        said: When it was read, as the clocks said then.
        offset: What the wall clock is ahead of the other one, as far as is known now.
    """
    moved = said.boot + offset
    return said.wall if said.sure or abs(moved - said.wall) <= JUMP else moved
