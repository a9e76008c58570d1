"""Commands that leave the machine alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.models import Argument, Command, Missing
from companion_agent.plugins.base import CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DELAY: Mapping[str, Argument] = {"delay": Argument("seconds", 0, 3600, 0)}


class FakePower(CommandProvider):
    """Commands that only count what they were asked to do.

    Attributes:
        done: What they were asked to do, with its arguments.
        error: What the next of them raise.
        missing: What the machine lacks to restart.
    """

    name: ClassVar[str] = "power"

    def __init__(self) -> None:
        self.done: list[tuple[str, Mapping[str, Any]]] = []
        self.error: Exception | None = None
        self.missing: Missing | None = Missing("polkit", "install the polkit rule")

    def commands(self) -> Sequence[Command]:
        return [
            Command("power.shutdown", DELAY),
            Command("power.lock"),
            Command("power.suspend", cooldown=30),
            Command("power.reboot", missing=self.missing),
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        self.done.append((key, args))
        if self.error:
            raise self.error
