"""What a plug-in is: one domain of a host, with what is read of it and what is done to it.

`docs/plugins.md` shows how another package adds one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from companion_agent.errors import Unavailable
from companion_agent.models import Counters, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from typing import Self

    from companion_agent.models import Command, Event, Output, Reading, Value
    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import Watch


_Given = TypeVar("_Given")


class Rereader(Protocol):
    """Reads the configuration again."""

    def read(self) -> None:
        """Read and keep it; the agent goes on with it once the command is done.

        Raises:
            CommandError: It has mistakes; nothing changes.
        """

    def restart(self) -> None:
        """Have the process started anew once the command is done.

        Raises:
            CommandError: It must not be, now.
        """


class SettingsEditor(Protocol):
    """Knows the settings that Home Assistant may change."""

    def describe(self, section: str) -> str:
        """Return the sections as JSON, and the fields of one of them.

        Raises:
            CommandError: There is no such section.
        """

    def change(self, revision: str, changes: str) -> None:
        """Set values, given as JSON; the agent goes on with them once the command is done.

        Raises:
            CommandError: Something is wrong; nothing changes.
        """


class Updater(Protocol):
    """Replaces the agent by another version of it."""

    @property
    def cannot(self) -> str:
        """Why it cannot; empty where it can."""

    def ask(self, version: str, url: str) -> None:
        """Begin; the newest version when none is named, from this address where one is given."""


@dataclass(frozen=True, slots=True)
class PluginContext:
    """What plug-ins are made of.

    Attributes:
        platform: The operating system.
        selection: What `include` and `exclude` of the plug-in's section say.
        counters: What the agent counts while it runs.
        updater: Replaces the agent; `None` where no agent runs (`pilot-agent read`).
        rereader: Reads the configuration again; `None` where no agent runs.
        settings: Changes settings for Home Assistant; `None` where no agent runs.
        given: What single plug-ins get besides, a section of the configuration say, by its type.
    """

    platform: Platform
    selection: Selection = field(default_factory=Selection)
    counters: Counters = field(default_factory=Counters)
    updater: Updater | None = None
    rereader: Rereader | None = None
    settings: SettingsEditor | None = None
    given: Mapping[type, object] = field(default_factory=dict)

    def get(self, wanted: type[_Given]) -> _Given | None:
        """Return what a plug-in gets of a type; `None` where there is nothing."""
        found = self.given.get(wanted)
        return found if isinstance(found, wanted) else None


class Plugin(ABC):
    """One domain of a host: a `Collector`, a `CommandProvider` or both.

    Class attributes:
        name: First segment of the keys of its readings and commands, and the key of its events.
        events: The types of the events that are told of its domain.
    """

    name: ClassVar[str]
    events: ClassVar[tuple[str, ...]] = ()

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        self.platform = platform
        self.selection = selection or Selection()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make the plug-in; overridden by those that need more of the context."""
        return cls(context.platform, context.selection)

    def close(self) -> None:  # noqa: B027  (most have nothing to end)
        """End what still runs, in whichever thread: the plug-in is not used any more."""


class Collector(Plugin):
    """A plug-in with readings.

    The agent calls `probe()` until it succeeds, then `collect()` at every interval and
    `readings()` after it. All run in a worker, never at the same time for one plug-in.

    Class attributes:
        interval: Seconds between two readings unless configured.
        selects: What `include` and `exclude` choose from ("mount point"); empty without a choice.

    Attributes:
        described: What `readings()` returns, see `describe()`.
    """

    interval: ClassVar[float] = 60
    selects: ClassVar[str] = ""

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self.described: tuple[Reading, ...] = ()
        self._described_for: Hashable = None

    def probe(self) -> None:
        """Find out what this host offers; unless overridden, by reading once.

        Raises:
            Unavailable: This host does not offer it; the agent asks again later.
            OSError: Reading failed; the agent asks again at the next interval.
        """
        self.collect()

    def readings(self) -> Sequence[Reading]:
        """Describe what the last `probe()` or `collect()` found; cheap, without I/O."""
        return self.described

    @abstractmethod
    def collect(self) -> Mapping[str, Value]:
        """Read everything now; keys as in `readings()`.

        What is not selected is neither opened nor read: see `wants()`. Rates need two calls; the
        first leaves them out or says `None`.

        Raises:
            Unavailable: The source has gone (a battery was taken out).
            OSError: Reading failed; the agent reports it once and tries again.
        """

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

    def take_events(self) -> Sequence[Event]:
        """Return what has happened since the last call; asked after each `collect()`.

        The types are those of `events`. What was so before the first `collect()` is no news.
        """
        return ()

    @property
    def pending(self) -> bool:
        """Whether what there is to read is still being found out, after the last `collect()`."""
        return False

    def watch(self) -> Watch | None:
        """Return what hears that something may have changed, so that it is read at once.

        The same one every time, until the plug-in is closed; asked after each `collect()`.
        """
        return None

    def left_out(self) -> Mapping[str, str]:
        """Say what was selected but is not reported, and why; for `pilot-agent doctor`."""
        return {}

    def ways(self) -> Sequence[str]:
        """Say by what it worked last, where that differs; for `pilot-agent doctor`, without I/O."""
        return ()

    def wants(self, name: str, *, shown: bool = True) -> bool:
        """Tell whether a thing is to be read; to be asked before anything of it is opened.

        Args:
            name: What `include` and `exclude` call it.
            shown: It is reported without an `include`, which reaches things that are not.
        """
        return self.selection.wants(name) and (shown or bool(self.selection.include))

    def none_selected(self, noun: str, otherwise: str = "", hint: str = "") -> Unavailable:
        """Return the error of a host that has nothing to report.

        Args:
            noun: What was looked for ("disk").
            otherwise: The reason when nothing was left out; empty when something must have been.
            hint: What to do then.
        """
        if otherwise and self.selection == Selection():
            return Unavailable(otherwise, hint)
        return Unavailable(
            f"no {noun} is selected",
            f"look at 'include' and 'exclude' of the collector '{self.name}'",
        )

    def describe(self, found: Hashable, readings: Callable[[], Iterable[Reading]]) -> None:
        """Describe the readings anew when something else was found than the last time.

        Args:
            found: What the readings depend on.
            readings: Returns them.
        """
        if found != self._described_for:
            self.described = tuple(readings())
            self._described_for = found


class CommandProvider(Plugin):
    """A plug-in with commands. Both methods run in a worker, possibly while it is read."""

    @abstractmethod
    def commands(self) -> Sequence[Command]:
        """Find out what this host can do, asking the system instead of trying.

        Keys begin with the plug-in's name and a dot. Commands that only lack a permission are
        listed with what is `missing`.

        Raises:
            Unavailable: This host can do none of it; the agent asks again later.
            Unanswered: That is not known now; what it could do before is still offered.
        """

    @abstractmethod
    def run(self, key: str, args: Mapping[str, Any]) -> Output | None:
        """Carry out a command whose arguments have been checked.

        Returns:
            What it has printed, for the one who called it; `None` when that says nothing.

        Raises:
            CommandError: It was refused (`not_permitted`) or did not work (`failed`).
        """
