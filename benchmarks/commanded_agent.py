"""``pilot-agent``, except that its commands do nothing: this machine is to stay awake."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent import cli
from companion_agent.models import Command
from companion_agent.plugins import command_registry
from companion_agent.plugins.base import CommandGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform


class Nothing(CommandGroup):
    """A machine that says that it sleeps, and does not."""

    name: ClassVar[str] = "power"

    def probe(self) -> Sequence[Command]:
        """Offer one command."""
        return [Command("power.hibernate")]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Do nothing."""


def _create(platform: Platform, *_: object) -> list[CommandGroup]:
    return [Nothing(platform)]


if __name__ == "__main__":
    command_registry.create = _create
    sys.exit(cli.main())
