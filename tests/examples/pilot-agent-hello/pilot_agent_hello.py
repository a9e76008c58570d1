"""Counts greetings: one reading and one command."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.models import Command, Reading, Value
from companion_agent.plugins.base import Collector, CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform

_LOGGER = logging.getLogger(__name__)


class HelloPlugin(Collector, CommandProvider):
    """Counts how often it was greeted since the agent's start."""

    name: ClassVar[str] = "hello"
    interval: ClassVar[float] = 60

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self.described = (Reading("greetings", name="Greetings", resolution=1),)
        self._greetings = 0

    def collect(self) -> Mapping[str, Value]:
        """Return the count."""
        return {"greetings": self._greetings}

    def commands(self) -> Sequence[Command]:
        """Offer to be greeted; the reading is read again once that was done."""
        return [Command("hello.greet", state="hello.greetings")]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Take a greeting."""
        _LOGGER.info("%s", key)
        self._greetings += 1
