"""Whether the computer is in use, as the agent announces it; the session helper listens for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.models import Reading
from companion_agent.plugins.desktop import DesktopPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping


class PresencePlugin(DesktopPlugin):
    """Tells whether the session that is meant is in use, and since when it is or is not."""

    name: ClassVar[str] = "presence"
    declared_readings: ClassVar[tuple[Reading, ...]] = (Reading("in_use"), Reading("since"))

    @property
    def settings(self) -> Mapping[str, Any]:
        """After how long it is not in use."""
        return {"idle_after": self.config.idle_after}
