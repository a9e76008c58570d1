"""All readings: have them read now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.models import Command, TextArgument
from companion_agent.plugins.base import CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REFRESH = "readings.refresh"

# More than the names of all collectors take.
_LONGEST = 1024


class ReadingsPlugin(CommandProvider):
    """Has collectors read at once, those named or all; the scheduler does it when it is done."""

    name: ClassVar[str] = "readings"

    def commands(self) -> Sequence[Command]:
        """Return the command that every host can do."""
        return [Command(REFRESH, {"collectors": TextArgument(longest=_LONGEST, default="")})]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Do nothing here: collectors are read in their own worker."""
