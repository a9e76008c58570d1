"""Whether somebody can use this machine without logging in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Value
from companion_agent.plugins.base import Collector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READINGS = (Reading("locked"),)


class SessionCollector(Collector):
    """Reads whether the machine is locked; the agent reads it anew whenever that changes.

    Who is logged in is nobody's business who only wants to know whether a door is open.
    """

    name: ClassVar[str] = "session"
    interval: ClassVar[float] = 60

    def probe(self) -> None:
        """Find out whether there is anything that can be locked."""
        self.platform.session_locked()

    def readings(self) -> Sequence[Reading]:
        """Describe it."""
        return _READINGS

    def collect(self) -> Mapping[str, Value]:
        """Read it."""
        return {"locked": self.platform.session_locked()}
