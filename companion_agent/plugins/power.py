"""Shutdown, reboot and sleep."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from companion_agent.errors import Unavailable
from companion_agent.models import Argument, Command, Reading, Value
from companion_agent.platforms.control import DELAYED, PowerAction
from companion_agent.plugins.base import Collector, CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DAY = 86_400

_DELAY = {"delay": Argument(unit="seconds", minimum=0, maximum=DAY, default=0)}


class PowerPlugin(Collector, CommandProvider):
    """Ends or pauses this machine's work, and reads what is planned of it.

    The agent reads it anew after each of its commands.
    """

    name: ClassVar[str] = "power"
    interval: ClassVar[float] = 60
    events: ClassVar[tuple[str, ...]] = ("going_to_sleep", "woke", "shutting_down")

    def collect(self) -> Mapping[str, Value]:
        """Read when it is to be shut down or rebooted.

        Raises:
            Unavailable: The system does not say what is planned.
        """
        planned = self.platform.planned_shutdown()
        self.describe("planned_shutdown", lambda: [Reading("planned_shutdown")])
        when = None if planned is None else datetime.fromtimestamp(round(planned), UTC)
        return {"planned_shutdown": when.isoformat() if when else None}

    def left_out(self) -> Mapping[str, str]:
        """Say what this machine cannot do, and why."""
        with suppress(Unavailable):
            withheld = self.platform.control().withheld()
            return {key: why for key, why in withheld.items() if key in get_args(PowerAction)}
        return {}

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
