"""The screen of a session on Windows: what the helper reads and does of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.screen.domain import AnyScreenDomain
from companion_agent.plugins.screen.monitor_brightness import MonitorBrightness
from companion_agent.plugins.screen.monitor_power import MonitorPower
from companion_agent.plugins.screen.power_request import NAME, PowerRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from companion_agent.plugins.screen.power import ScreenPower


class WindowsScreenDomain(AnyScreenDomain):
    """Reads, switches and dims the screen of this session."""

    _monitors_found: MonitorBrightness | None = None

    async def ways(self) -> AsyncIterator[ScreenPower]:
        """Give the only way that there is, where there are windows."""
        yield MonitorPower(self.context.window(), self.power_changed, self.display_gone)

    async def find_keep_awake(self) -> tuple[PowerRequest, str]:
        """Make a power request."""
        return PowerRequest(), NAME

    async def find_brightness(self) -> MonitorBrightness:
        """Look for a built-in screen, and for monitors with DDC/CI where that is wanted."""
        found = MonitorBrightness(
            self.context.window(),
            self._screens_changed,
            ddc=self.context.settings.get("ddc") is True,
        )
        await found.open()
        self._monitors_found = found
        return found

    def connected(self) -> list[str]:
        """List Windows' monitors."""
        return self._monitors_found.connected if self._monitors_found else []

    def _screens_changed(self) -> None:
        self.read_brightness()
        self.power_changed()
