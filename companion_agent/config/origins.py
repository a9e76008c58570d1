"""Where the values of a configuration were written."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.values import Raw

Place = tuple[str | int, ...]

HOME_ASSISTANT = "set from Home Assistant"
"""Where the values of the overlay come from, as users are told."""


@dataclass(frozen=True, slots=True)
class Origins:
    """File and line, environment variable or credential of each value.

    Attributes:
        written: They, by the place of the value; one text may stand for several keys below it.
    """

    written: Mapping[Place, str] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, place: Place) -> str:
        """Return where a value was written; empty when it has its default."""
        for length in range(len(place), 0, -1):
            if found := self.written.get(place[:length]):
                return found
        return ""

    def fixed(self, place: Place) -> str:
        """Return where a value was written on this host; empty when Home Assistant may set it."""
        found = self.of(place)
        return "" if found == HOME_ASSISTANT else found


def values_in(tree: Raw, place: Place = ()) -> list[tuple[Place, Raw]]:
    """List the places of a tree that hold a value: a text, or a list."""
    if isinstance(tree, dict):
        return [found for step, below in tree.items() for found in values_in(below, (*place, step))]
    if isinstance(tree, list) and any(isinstance(below, dict) for below in tree):
        return [
            found
            for number, below in enumerate(tree)
            for found in values_in(below, (*place, number))
        ]
    return [(place, tree)]


def dotted(place: Place) -> str:
    """Write a place as users do: `broker.port`; the second of several is `broker[2]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            text += f".{step}" if text else step
    return text
