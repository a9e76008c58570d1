"""What every collector is: a source that is probed, describes what it reads, and reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform

Value = bool | int | float | str | None
"""One value of a reading; `None` says that it cannot be read now."""

ValueType = Literal["number", "text", "boolean", "timestamp", "enum"]


class Unavailable(Exception):  # noqa: N818 - a finding, not a mistake
    """This host does not offer what a collector reads.

    Attributes:
        reason: What is missing, in words that `pilot-agent doctor` prints.
        hint: What the user can do about it; empty where nothing can be done.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Device:
    """A device below the host that readings belong to, and that may stand in a room of its own.

    Attributes:
        id: Names it on this host for ever.
        name: What to call it.
        manufacturer: Who made it; empty when not known.
        model: What it is; empty when not known.
    """

    id: str
    name: str = ""
    manufacturer: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a collector reports.

    Attributes:
        key: Its name within the collector, `used_percent` or `root.used_percent`.
        kind: What it is, from the catalogue in `docs/protocol.md`; `<collector>.<key>` when empty.
        of: Which one, where there are several of a kind: a mount point, an interface.
        device: The device below the host that it belongs to; `None` for the host itself.
        name: What to call it, for kinds that are not in the catalogue.
        unit: Its unit, for kinds that are not in the catalogue.
        type: Its type, for kinds that are not in the catalogue.
        options: The values of an `enum` that is not in the catalogue.
        resolution: What the source can resolve; numbers are rounded to it. 0 leaves them alone.
        deadband: A change smaller than this is noise and is not reported.
    """

    key: str
    kind: str = ""
    of: str = ""
    device: Device | None = None
    name: str = ""
    unit: str = ""
    type: ValueType = "number"
    options: tuple[str, ...] = ()
    resolution: float = 0
    deadband: float = 0

    def settle(self, value: Value, last: Value) -> Value:
        """Round a value to the resolution and hold it inside the dead-band around the last one.

        Args:
            value: What was read.
            last: What was reported before; `None` when nothing was.

        Returns:
            The value to report: `last` itself when the change is smaller than the dead-band.
        """
        if value is None or isinstance(value, (bool, str)):
            return value
        if (
            isinstance(last, (int, float))
            and not isinstance(last, bool)
            # Nothing is never noise: a rate that ends, ends at 0.
            and value != 0
            and abs(value - last) < self.deadband
        ):
            return last
        if not self.resolution:
            return value
        steps = round(value / self.resolution)
        if self.resolution >= 1:
            return int(steps * self.resolution)
        # Dividing by the inverse keeps 0.1-steps at 12.3 instead of 12.299999999999999.
        return steps / round(1 / self.resolution)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of several things of a sort (disks, interfaces) the user wants, by glob patterns."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Tell whether a thing is wanted: included (or no list given) and not excluded."""
        if any(fnmatchcase(name, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(fnmatchcase(name, pattern) for pattern in self.include)


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
