"""Whether Home Assistant listens, as far as a host can know it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Home Assistant needs this long after its birth message until all its parts listen.
SETTLES = 30.0
# How long it may take to start after a broker that came back before it, and said nothing of it.
DOUBT = 3600.0


class ConsumerStatus:
    """Remembers what Home Assistant and the readers have said.

    Args:
        clock: Monotonic seconds.

    Attributes:
        known: It is known from this start of the agent whether Home Assistant is away.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.known = False
        self._clock = clock
        self._away_ends = -math.inf
        self._doubt_ends = -math.inf
        self._answered: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether Home Assistant is away, or has only just come."""
        return self._away_ends > -math.inf

    @property
    def gone(self) -> bool:
        """Whether Home Assistant has said that it goes, and nothing since."""
        return self._away_ends == math.inf

    @property
    def in_doubt(self) -> bool:
        """Whether what is published may not be heard."""
        return self.away or self._doubt_ends > -math.inf

    def goes(self) -> None:
        """Take note that Home Assistant has gone."""
        self.known = True
        self._answered.clear()
        self._away_ends = math.inf

    def comes(self, *, just_now: bool) -> bool:
        """Take note that Home Assistant has come.

        Args:
            just_now: It says so now, and not at some time before.

        Returns:
            Whether it was away without having said so: the node of a broker's cluster that it was
            connected to takes its will along when it fails.
        """
        self.known = True
        listens = self._clock() + SETTLES
        unsaid = just_now and not self.away
        if unsaid:
            self._answered.clear()
        if unsaid or self.gone:
            self._away_ends = listens
        self._doubt_ends = min(self._doubt_ends, listens)
        return unsaid

    def was_away(self) -> None:
        """Take note that it was away when this host was last heard, unless more is known."""
        if not self.known:
            self._away_ends = math.inf

    def doubt(self) -> None:
        """Believe no reader to be there until it answers: the broker is, after a while."""
        self._answered.clear()
        self._doubt_ends = self._clock() + DOUBT

    def answers(self, reader: str) -> None:
        """Take note that a reader is there."""
        self._answered.add(reader)

    def expect(self, readers: Iterable[str]) -> None:
        """Take them for being there when all of these have answered, whatever was said before.

        Every client may say on the birth topic that Home Assistant is away.
        """
        if not self.in_doubt or not self._answered.issuperset(readers):
            return
        self._doubt_ends = -math.inf
        if self.away:
            self.known = True
            self._away_ends = self._clock()

    def deadline(self) -> float:
        """Return when `step()` is due; infinity for never."""
        ends = (self._away_ends, self._doubt_ends)
        return min((end for end in ends if end > -math.inf), default=math.inf)

    def step(self) -> bool:
        """Let time pass; tell whether Home Assistant is not away any more since just now."""
        now = self._clock()
        if now >= self._doubt_ends:
            self._doubt_ends = -math.inf
        if not self.away or now < self._away_ends:
            return False
        self._away_ends = -math.inf
        return True
