"""Sessions at this machine: whether it is locked, locking it and logging out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from companion_agent.models import Command, Reading, Value
from companion_agent.plugins.base import Collector, CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.control import SessionAction


class SessionPlugin(Collector, CommandProvider):
    """Reads whether the machine is locked; locks or ends local sessions, not remote ones.

    The agent reads it anew whenever a session changes. Who is logged in is not read: a consumer
    that only needs to know whether the machine is in use has no need for names.
    """

    name: ClassVar[str] = "session"
    events: ClassVar[tuple[str, ...]] = ("locked", "unlocked", "logged_in", "logged_out")
    interval: ClassVar[float] = 60

    def collect(self) -> Mapping[str, Value]:
        """Read whether it is locked.

        Raises:
            Unavailable: There is nothing that can be locked.
        """
        locked = self.platform.session_locked()
        self.describe("locked", lambda: [Reading("locked")])
        return {"locked": locked}

    def commands(self) -> Sequence[Command]:
        """Ask the platform what can be done to sessions."""
        return [
            Command(f"{self.name}.{action}", missing=missing)
            for action, missing in self.platform.control().session_actions().items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the platform do it."""
        action = cast("SessionAction", key.removeprefix(f"{self.name}."))
        self.platform.control().session(action)
