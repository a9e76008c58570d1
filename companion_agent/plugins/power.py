"""Shutdown, reboot and sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from companion_agent.models import Argument, Command
from companion_agent.platforms.control import DELAYED, PowerAction
from companion_agent.plugins.base import CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY = 86_400

_DELAY = {"delay": Argument(unit="seconds", minimum=0, maximum=DAY, default=0)}


class PowerPlugin(CommandProvider):
    """Ends or pauses this machine's work, as far as the machine can."""

    name: ClassVar[str] = "power"
    events: ClassVar[tuple[str, ...]] = ("going_to_sleep", "woke", "shutting_down")

    def commands(self) -> Sequence[Command]:
        """Ask the platform what this machine can do."""
        return [
            Command(f"{self.name}.{action}", _DELAY if action in DELAYED else {}, missing)
            for action, missing in self.platform.control().power_actions().items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the platform do it."""
        action = cast("PowerAction", key.removeprefix(f"{self.name}."))
        self.platform.control().power(action, args.get("delay", 0))
