"""What the local configuration allows controllers to do."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from companion_agent.fields import setting
from companion_agent.values import Cooldowns, Patterns, Switch

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
        dry_run: Whether everything but the last step is done of what changes something.
        unsigned: Whether commands of MQTT discovery are obeyed, which nothing proves.
    """

    allow: Sequence[str] = setting(
        Patterns(),
        "Only what matches one of these may be called: `power.*`.",
        ("*",),
        shown="all",
    )
    deny: Sequence[str] = setting(Patterns(), "This may not, even if it is allowed above.", ())
    cooldown: Mapping[str, float] = setting(
        Cooldowns(),
        "Refuse a second call within so many seconds; the first match counts.",
        factory=dict,
        shown="the command's own",
    )
    dry_run: bool = setting(
        Switch(),
        "Check and record every command, and carry out none that changes something.",
        False,
    )
    unsigned: bool = setting(
        Switch(),
        "With `discovery: mqtt`: obey commands that are not signed. Every client that may publish "
        "to the broker can then command this host.",
        False,
        quiet=True,
    )

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
