"""What a system's package managers say of updates that wait; none is ever asked to fetch lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, TypeAlias

Signature: TypeAlias = tuple[float | None, ...]
"""Times of files, in seconds since 1970; `None` for one that is not there."""


class Waiting(NamedTuple):
    """Updates that wait.

    Attributes:
        packages: Which packages.
        security: How many of them are about security; `None` where that is not told.
    """

    packages: tuple[str, ...]
    security: int | None = None


class PackageManager(ABC):
    """A package manager; it blocks for long, so it is asked in a thread of its own.

    Class attributes:
        name: What it is called.
        tells_security: Whether it knows which updates are about security.
    """

    name: ClassVar[str]
    tells_security: ClassVar[bool] = False

    @abstractmethod
    def signature(self) -> Signature:
        """Return what is another when something was installed or lists were fetched; cheap."""

    @abstractmethod
    def refreshed(self) -> float | None:
        """Return when its lists were fetched, in seconds since 1970; `None` when not known."""

    @abstractmethod
    def look(self) -> Waiting:
        """Find out what waits, by the lists that there are; it takes seconds.

        Raises:
            OSError: It cannot tell; the text says why.
        """

    @abstractmethod
    def close(self) -> None:
        """End what runs for it, in whichever thread: it is not asked any more."""
