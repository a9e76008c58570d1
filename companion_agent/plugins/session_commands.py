"""Locking the screen and logging out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from companion_agent.models import Command
from companion_agent.plugins.base import CommandGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.control import SessionAction


class SessionCommands(CommandGroup):
    """Locks or ends the sessions of whoever works at this machine, not those over the network."""

    name = "session"

    def probe(self) -> Sequence[Command]:
        """Ask the platform."""
        return [
            Command(f"{self.name}.{action}", missing=missing)
            for action, missing in self.platform.control().session_actions().items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the platform do it."""
        action = cast("SessionAction", key.removeprefix(f"{self.name}."))
        self.platform.control().session(action)
