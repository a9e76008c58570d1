"""What every plug-in is: a collector of readings, a group of commands, or both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.models import Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.models import Command, Reading, Value
    from companion_agent.platforms.base import Platform


class Collector(ABC):
    """A source of readings.

    The agent calls `probe()` until it succeeds, then `collect()` at every interval and
    `readings()` after it. All three run in a worker, never at the same time for one collector.

    Class attributes:
        name: First segment of its readings' keys, and its name in the configuration.
        interval: Seconds between two readings unless configured.
        selects: What `include` and `exclude` choose from ("mount point"); empty without a choice.
    """

    name: ClassVar[str]
    interval: ClassVar[float]
    selects: ClassVar[str] = ""

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        self.platform = platform
        self.selection = selection or Selection()

    def pace(self, interval: float) -> float:
        """Return how often it wants to be read, given how often it should be.

        Asked again after every reading; cheap, without I/O.

        Args:
            interval: Seconds between two readings, as configured or usual.
        """
        return interval

    def troubles(self) -> Mapping[str, str]:
        """Say what was wrong with which part at the last `collect()`, where others work."""
        return {}

    @abstractmethod
    def probe(self) -> None:
        """Find out what this host offers.

        Raises:
            Unavailable: This host does not offer it; the agent asks again later.
        """

    @abstractmethod
    def readings(self) -> Sequence[Reading]:
        """Describe what the last `probe()` or `collect()` found; cheap, without I/O."""

    @abstractmethod
    def collect(self) -> Mapping[str, Value]:
        """Read everything now; keys as in `readings()`.

        Rates need two calls; the first leaves them out or says `None`.

        Raises:
            Unavailable: The source has gone (a battery was taken out).
            OSError: Reading failed; the agent reports it once and tries again.
        """


class CommandGroup(ABC):
    """A group of commands, one file each.

    Class attributes:
        name: First segment of its commands' keys, and its name in the configuration.
    """

    name: ClassVar[str]

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    @abstractmethod
    def probe(self) -> Sequence[Command]:
        """Find out what this host can do, asking the system instead of trying.

        Commands that only lack a permission are listed with what is `missing`.

        Raises:
            Unavailable: This host can do none of it.
        """

    @abstractmethod
    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Carry out a command whose arguments have been checked; runs in the worker.

        Raises:
            CommandError: It was refused (`not_permitted`) or did not work (`failed`).
        """
