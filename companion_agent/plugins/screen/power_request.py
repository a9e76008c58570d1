"""Keeps a Windows session's screen on, and the machine from sleeping by itself."""

from __future__ import annotations

from companion_agent.errors import CommandError, Unavailable
from companion_agent.winapi import power_requests

NAME = "a power request"
# What `powercfg /requests` shows.
_WHY = "Asked for through Home Assistant"
_WHAT = (power_requests.DISPLAY, power_requests.SYSTEM)


class PowerRequest:
    """A request that ends with this process, whatever becomes of it.

    Raises:
        Unavailable: Windows takes none.
    """

    def __init__(self) -> None:
        self._held = False
        try:
            self._request = power_requests.create(_WHY)
        except OSError as error:
            raise Unavailable(f"Windows takes no power requests: {error}") from error

    async def on(self) -> bool:
        """Tell whether it is held; Windows tells only administrators."""
        return self._held

    async def switch(self, *, on: bool) -> bool:
        """Hold it or let it go.

        Raises:
            CommandError: Windows refuses it.
        """
        change = power_requests.ask if on else power_requests.ask_no_more
        if on != self._held:
            try:
                for what in _WHAT:
                    change(self._request, what)
            except OSError as error:
                raise CommandError("failed", f"Windows refuses it: {error}") from error
            self._held = on
        return self._held

    def close(self) -> None:
        """Let it go."""
        power_requests.close(self._request)
