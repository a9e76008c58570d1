"""How many messages this host has refused since its start, by what they were and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusals:
    """Sums up what the parts have refused that check messages."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._counters: dict[str, Mapping[str, int]] = {}

    def include(self, what: str, counter: Mapping[str, int]) -> None:
        """Include what a part counts itself, by reason.

        Args:
            what: The kind of its messages.
            counter: Goes on counting.
        """
        self._counters[what] = counter

    def count(self, what: str, reason: str) -> None:
        """Count a message."""
        self._counted[f"{what}.{reason}"] += 1

    @property
    def total(self) -> int:
        """How many there were."""
        return self._counted.total() + sum(
            sum(counter.values()) for counter in self._counters.values()
        )

    def by_reason(self) -> dict[str, int]:
        """Return how many there were for each reason, `command.malformed`."""
        counted = Counter(self._counted)
        for what, counter in self._counters.items():
            for reason, count in counter.items():
                counted[f"{what}.{reason}"] = count
        return dict(sorted(counted.items()))
