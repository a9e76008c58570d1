"""What the parts of the agent hand to each other: readings, devices, events, commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = bool | int | float | str | None
"""One value of a reading; `None` says that it cannot be read now."""

Show = Literal["", "button", "switch", "select", "number"]

ValueType = Literal["number", "text", "boolean", "timestamp", "enum"]


class Device(NamedTuple):
    """A device below the host that readings belong to, and that may stand in a room of its own.

    Attributes:
        id: Names it on this host for ever.
        name: What to call it. Home Assistant calls one with a model and without a name a sensor of
            its host.
        manufacturer: Who made it; empty when not known.
        model: What it is; empty when not known.
        serial: Its serial number; empty when not known.
    """

    id: str
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""


class Reading(NamedTuple):
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
        device_class: What Home Assistant calls what it measures, for kinds that are not in the
            catalogue.
        state_class: How Home Assistant sums it up, for kinds that are not in the catalogue;
            as a measurement when empty, not at all when `none`.
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
    device_class: str = ""
    state_class: str = ""
    resolution: float = 0
    deadband: float = 0

    def settle(self, value: Value, last: Value) -> Value:
        """Round a value to the resolution and hold it inside the dead-band around the last one.

        Args:
            value: What was read.
            last: What was reported before; `None` when nothing was.

        Returns:
            The value to report: `last` itself when the change is smaller than the dead-band, `None`
            for infinity and what is no number.
        """
        if value is None or isinstance(value, (bool, str)):
            return value
        if not math.isfinite(value):
            return None
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


class Event(NamedTuple):
    """Something that happened in the domain of a collector.

    Attributes:
        type: One of the plug-in's `events`.
        data: What it is about.
    """

    type: str
    data: Mapping[str, str | bool] = {}


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


@dataclass
class Counters:
    """What the agent counts while it runs.

    Attributes:
        reconnects: Connections lost since the start.
        dropped_messages: Messages that could not be sent since the start.
        refused_messages: Messages of others that were refused since the start.
    """

    reconnects: int = 0
    dropped_messages: int = 0
    refused_messages: int = 0


@dataclass
class Audience:
    """Whether Home Assistant is there, as far as the agent knows.

    Attributes:
        listens: Tells it; safe from any thread.
    """

    listens: Callable[[], bool] = lambda: True


class Missing(NamedTuple):
    """A permission that the operating system does not give the agent.

    Attributes:
        reason: What kind of permission it is: `polkit`, `group`, `package`.
        fix: What the administrator does about it, exactly.
    """

    reason: str
    fix: str


class Argument(NamedTuple):
    """An argument of a command.

    Attributes:
        unit: What it counts, as the announce says it ("seconds").
        minimum: Smallest value that is accepted.
        maximum: Largest value that is accepted.
        default: Value when the caller leaves it out; it must not when `None`.
        step: By how much it is sensibly changed; 0 when by anything.
    """

    unit: str
    minimum: float
    maximum: float
    default: float | None = None
    step: float = 0


class TextArgument(NamedTuple):
    """An argument of a command that is a text.

    Attributes:
        longest: Characters that are accepted.
        default: Value when the caller leaves it out; it must not when `None`.
        unit: What the announce says of it.
        pattern: What the whole text matches, as in `re`; printable ASCII without spaces when
            empty. No text with one begins with a hyphen, as options of programs do.
    """

    longest: int
    default: str | None
    unit: str = "text"
    pattern: str = ""


class ChoiceArgument(NamedTuple):
    """An argument of a command that is one of some texts.

    Attributes:
        options: The texts.
        default: Value when the caller leaves it out; it must not when `None`.
        unit: What the announce says of it.
    """

    options: tuple[str, ...]
    default: str | None = None
    unit: str = "choice"


class Output(NamedTuple):
    """What a command has printed, or found.

    Attributes:
        text: The text, or its beginning.
        truncated: Whether it was longer.
        data: A picture that it was asked for.
    """

    text: str = ""
    truncated: bool = False
    data: bytes = b""


class FreeTextArgument(NamedTuple):
    """An argument that is any text, to be shown; control characters are taken out of it.

    Attributes:
        longest: Characters that are accepted.
        default: Value when the caller leaves it out; it must not when `None`.
        lines: Whether lines may be broken.
        unit: What the announce says of it.
    """

    longest: int
    default: str | None = ""
    lines: bool = False
    unit: str = "free text"


class DataArgument(NamedTuple):
    """An argument that is a file, in base64; empty when the caller leaves it out.

    Attributes:
        longest: Bytes that are accepted, before they are base64.
        default: Value when the caller leaves it out.
        unit: What the announce says of it.
    """

    longest: int
    default: str = ""
    unit: str = "base64"


class ListArgument(NamedTuple):
    """An argument that is a list of objects with texts; empty when the caller leaves it out.

    Attributes:
        most: Objects that are accepted.
        fields: What each of them has.
        default: Value when the caller leaves it out.
        unit: What the announce says of it.
    """

    most: int
    fields: Mapping[str, FreeTextArgument]
    default: tuple[()] = ()
    unit: str = "list"


AnyArgument = (
    Argument | TextArgument | ChoiceArgument | FreeTextArgument | DataArgument | ListArgument
)


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that Home Assistant can ask of this host.

    A command with a `state` is a *setting*: its argument `value` is what the reading shall be.

    Attributes:
        key: Its whole key, `power.shutdown`.
        args: Its arguments by name.
        missing: Why the operating system would refuse it, when it would.
        cooldown: Seconds in which a second call is refused, unless configured.
        kind: What it is, from the catalogue in `docs/protocol.md`; the key when empty.
        device: The device below the host that it is about; the host itself when empty.
        state: The whole key of the reading that says the present value; its collector is read
            as soon as the command is done.
        name: What to call it, for kinds that no description is known of; what it is about, for
            kinds of which there may be several.
        show: What such a command is shown as: `button`, `switch`, `select` or `number`; as nothing
            when empty.
        confirm: Whether the user is to confirm it.
        harmless: Whether it ends no work, whatever is called.
        time_limit: Seconds that it may take; as long as the system's own commands when 0.
        per_minute: Calls that are accepted in a minute; 0 for any number.
        reads: Whether it changes nothing: `commands.dry_run` has nothing to hold back.
    """

    key: str
    args: Mapping[str, AnyArgument] = field(default_factory=dict)
    missing: Missing | None = None
    cooldown: float = 0
    kind: str = ""
    device: str = ""
    state: str = ""
    name: str = ""
    show: Show = ""
    confirm: bool = False
    harmless: bool = False
    time_limit: float = 0
    per_minute: int = 0
    reads: bool = False
