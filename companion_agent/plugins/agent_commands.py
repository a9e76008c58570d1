"""What the agent does to itself: a new version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from companion_agent.errors import Unavailable
from companion_agent.models import Command, TextArgument
from companion_agent.plugins.base import CommandGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform
    from companion_agent.updates.updater import Updater

UPDATE = "agent.update"


class AgentCommands(CommandGroup):
    """Has the agent fetch a release and start again with it.

    It is done when the agent has begun; events and the next announces say how it goes on.
    """

    name = "agent"

    def __init__(self, platform: Platform, updater: Updater) -> None:
        super().__init__(platform)
        self._updater = updater

    def probe(self) -> Sequence[Command]:
        """Ask the updater."""
        if self._updater.cannot:
            raise Unavailable(self._updater.cannot)
        args = {
            "version": TextArgument(longest=64, default=""),
            # Only an agent that is updated from Home Assistant looks at it.
            "url": TextArgument(longest=512, default=""),
        }
        return [Command(UPDATE, args)]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the updater begin."""
        self._updater.ask(args["version"], args["url"])
