"""The active window as the agent announces it; the session helper looks at it (`helper.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading
from companion_agent.plugins.desktop import DesktopPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.models import Value


class WindowPlugin(DesktopPlugin):
    """Tells of the active window where the owner of the host allows it, in its local file."""

    name: ClassVar[str] = "window"
    declared_readings: ClassVar[tuple[Reading, ...]] = (
        Reading("title"),
        Reading("program"),
        Reading("full_screen"),
    )

    @property
    def settings(self) -> Mapping[str, Any] | None:
        """Whether it is allowed; no helper looks at windows where it is not."""
        return {"allowed": True} if self.config.window else None

    def collect(self) -> Mapping[str, Value]:
        """Return what the helper has read.

        Raises:
            Unavailable: It is not allowed, or no helper has offered it yet.
        """
        if not self.config.window:
            # Whatever a helper says.
            raise Unavailable(
                "the owner of this host has not allowed it",
                "desktop.window: true in its configuration allows it",
            )
        return super().collect()
