"""What a system says of its services, and does to them: systemd's units, Windows' services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from companion_agent.models import Missing

Verb = Literal["start", "stop", "restart"]
VERBS: tuple[Verb, ...] = ("start", "stop", "restart")

LIMIT = 95.0
"""Seconds that a service may take to be as it was asked to: more than systemd itself gives one."""


class ServiceState(NamedTuple):
    """A service.

    Attributes:
        name: The system's own name of it, whatever it was asked for by.
        running: Whether it runs.
    """

    name: str
    running: bool


def is_pattern(name: str) -> bool:
    """Tell whether a name stands for several: `*`, `?` and `[` as in a shell."""
    return not {"*", "?", "["}.isdisjoint(name)


class Services(ABC):
    """Reads and commands services; it blocks, so it is asked in a worker.

    Class attributes:
        ignores_case: Whether names that differ in case only are the same.
    """

    ignores_case = False

    @abstractmethod
    def failed(self) -> Sequence[str]:
        """List the services that have failed, by name.

        Raises:
            Unavailable: There is nothing to be asked.
        """

    @abstractmethod
    def states(self, names: Iterable[str]) -> Mapping[str, Sequence[ServiceState]]:
        """Find services, by what they were asked for by: a name, or a pattern of names.

        Those that there are not are left out.

        Raises:
            Unavailable: There is nothing to be asked.
        """

    @abstractmethod
    def missing(
        self, wanted: Mapping[str, frozenset[Verb]]
    ) -> Mapping[tuple[str, Verb], Missing | None]:
        """Find out which of it the agent lacks a permission for.

        Args:
            wanted: What is to be done, by the system's own names of services.

        Raises:
            Unavailable: There is nothing to be asked.
        """

    @abstractmethod
    def act(self, name: str, verb: Verb) -> None:
        """Do something to a service, and return when it is read to be so.

        Raises:
            CommandError: It was refused, or did not come to be.
        """

    def follow(self, names: Iterable[str]) -> None:  # noqa: B027  (not every system tells)
        """Have the collector `services` read as soon as one of these changes, where that is told.

        Before the platform's watch begins; patterns are not followed.
        """
