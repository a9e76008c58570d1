"""Hotkeys as the agent announces them; the session helper hears of them (`helper.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading
from companion_agent.plugins.desktop import DesktopPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.models import Value


class HotkeysPlugin(DesktopPlugin):
    """Tells when a hotkey of the host's configuration is pressed."""

    name: ClassVar[str] = "hotkeys"
    events: ClassVar[tuple[str, ...]] = ("pressed",)
    declared_readings: ClassVar[tuple[Reading, ...]] = (Reading("keys"),)

    @property
    def settings(self) -> Mapping[str, Any] | None:
        """The hotkeys by name: what the desktop calls each, and the keys to propose."""
        if not self.config.hotkeys:
            return None
        return {
            "hotkeys": {
                name: {"name": hotkey.name or name, "keys": hotkey.keys}
                for name, hotkey in self.config.hotkeys.items()
            }
        }

    def collect(self) -> Mapping[str, Value]:
        """Return the keys as the desktop has bound them.

        Raises:
            Unavailable: There are no hotkeys, or no helper has offered them yet.
        """
        if not self.config.hotkeys:
            raise Unavailable(
                "no hotkeys are configured", "name them at desktop.hotkeys in the configuration"
            )
        return super().collect()
