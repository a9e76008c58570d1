"""What every group of commands is: probed, described and run like a collector, the other way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform


class CommandError(Exception):
    """A command was not carried out.

    Attributes:
        reason: Code for the result, one of those in `docs/protocol.md`.
        detail: Words for the user: what happened and what to do.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Missing:
    """A permission that the operating system does not give the agent.

    Attributes:
        reason: What kind of permission it is: `polkit`, `group`, `package`.
        fix: What the administrator does about it, exactly.
    """

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Argument:
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


@dataclass(frozen=True, slots=True)
class TextArgument:
    """An argument of a command that is a text: printable ASCII without spaces.

    Attributes:
        longest: Characters that are accepted.
        default: Value when the caller leaves it out.
        unit: What the announce says of it.
    """

    longest: int
    default: str
    unit: str = "text"


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
    """

    key: str
    args: Mapping[str, Argument | TextArgument] = field(default_factory=dict)
    missing: Missing | None = None
    cooldown: float = 0
    kind: str = ""
    device: str = ""
    state: str = ""


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
