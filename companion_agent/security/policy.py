"""What the local configuration allows controllers to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.models import Command


@dataclass(frozen=True, slots=True)
class Policy:
    """What the local configuration allows; no message can widen it.

    Patterns are matched against whole keys: `power.*`, `*.shutdown`.

    Attributes:
        allow: Patterns of commands that may be called.
        deny: Patterns of commands that may not, whatever `allow` says.
        cooldown: Seconds in which a second call is refused, by pattern; the first that
            matches counts.
        dry_run: Whether everything but the last step is done.
    """

    allow: Sequence[str] = ("*",)
    deny: Sequence[str] = ()
    cooldown: Mapping[str, float] = field(default_factory=dict)
    dry_run: bool = False

    def allows(self, key: str) -> bool:
        """Tell whether a command may be called."""
        if any(fnmatchcase(key, pattern) for pattern in self.deny):
            return False
        return any(fnmatchcase(key, pattern) for pattern in self.allow)

    def cooldown_of(self, command: Command) -> float:
        """Return the seconds in which a second call of a command is refused."""
        for pattern, seconds in self.cooldown.items():
            if fnmatchcase(command.key, pattern):
                return seconds
        return command.cooldown
