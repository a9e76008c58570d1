"""Hotkeys of this session, by the desktop's portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from companion_agent.desktop.messages import Offer
    from companion_agent.plugins.hotkeys.portal import GlobalShortcuts


class HotkeysDomain(Domain):
    """Has the portal bind hotkeys, and tells when one is pressed."""

    name: ClassVar[str] = "hotkeys"
    _shortcuts: GlobalShortcuts | None = None

    async def start(self) -> Offer:
        """Ask the portal for the hotkeys of the host's configuration.

        Raises:
            Unavailable: There are none, or no portal for them.
        """
        from companion_agent.plugins.hotkeys.portal import GlobalShortcuts  # noqa: PLC0415

        wanted = self.context.settings.get("hotkeys")
        if not wanted:
            raise Unavailable("no hotkeys are configured")
        if self._shortcuts is None:
            bus = await self.context.bus("session")
            self._shortcuts = GlobalShortcuts(self.context, bus, wanted)
        return await self._shortcuts.start()

    async def stop(self) -> None:
        """Give the keys back."""
        if self._shortcuts:
            self._shortcuts.stop()
