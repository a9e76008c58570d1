"""The screen of a session on Linux: what the helper reads and does of it."""

from __future__ import annotations

from contextlib import suppress
import os
from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.backlight import connectors
from companion_agent.platforms.linux.files import Files
from companion_agent.plugins.screen.domain import AnyScreenDomain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.plugins.screen.brightness import Brightness
    from companion_agent.plugins.screen.keep_awake import KeepAwake
    from companion_agent.plugins.screen.power import ScreenPower


class ScreenDomain(AnyScreenDomain):
    """Reads, switches and dims the screen of this session.

    Args:
        context: What the helper does for it.
        files: The kernel's.
    """

    def __init__(self, context: HelperContext, files: Files | None = None) -> None:
        super().__init__(context)
        self._files = files or Files()

    async def ways(self) -> AsyncIterator[ScreenPower]:
        """Ask compositors, then Mutter, then the X server."""
        from companion_agent.plugins.screen import compositor  # noqa: PLC0415

        for dialect in (compositor.WLROOTS, compositor.KDE):
            yield compositor.CompositorPower(dialect, self.power_changed, self.display_gone)
        with suppress(Unavailable):
            bus = await self.context.bus("session")
            from companion_agent.plugins.screen.mutter import MutterPower  # noqa: PLC0415

            yield MutterPower(bus, self.power_changed, self.display_gone)
        if "WAYLAND_DISPLAY" not in os.environ:
            # Beside a Wayland compositor the X server has no monitors of its own.
            from companion_agent.plugins.screen import xserver  # noqa: PLC0415

            yield xserver.DpmsPower(self.power_changed, self.display_gone)
            yield xserver.BlankingPower(self.power_changed, self.display_gone)

    async def find_keep_awake(self) -> tuple[KeepAwake, str]:
        """Ask logind and the desktop's own service."""
        from companion_agent.plugins.screen.keep_awake import KeepAwake  # noqa: PLC0415

        system = await self.context.bus("system")
        session = None
        with suppress(Unavailable):
            session = await self.context.bus("session")
        keep_awake = KeepAwake(system, session)
        return keep_awake, await keep_awake.probe()

    async def find_brightness(self) -> Brightness:
        """Look for the kernel's backlights."""
        system = await self.context.bus("system")
        from companion_agent.plugins.screen.brightness import Brightness  # noqa: PLC0415

        brightness = Brightness(self._files, system, self.read_brightness)
        brightness.open()
        return brightness

    def connected(self) -> list[str]:
        """List the kernel's connectors."""
        return [one.name for one in connectors(self._files)]
