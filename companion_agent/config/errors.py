"""What is wrong with a configuration: all of it, each with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Mistake(NamedTuple):
    """One thing to put right.

    Attributes:
        where: The file and line, or the environment variable.
        key: The key in dots, `broker.port`; empty when it is about the whole file.
        problem: What is wrong, what was expected, and what was probably meant.
    """

    where: str
    key: str
    problem: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.problem) if part)


class ConfigError(Exception):
    """The configuration cannot be used.

    Attributes:
        mistakes: Everything that is wrong with it, in the order of the file.
    """

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Mistake, ...]]]:
        """Let another process have it."""
        return ConfigError, (self.mistakes,)
