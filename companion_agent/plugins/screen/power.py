"""What the ways to switch a screen have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
import asyncio
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

# Monitors take a moment; a compositor says so when it has switched, not when they glow.
SWITCH_LIMIT = 4.0

ALL = ""
"""Names all monitors, where they cannot be told apart."""


class ScreenPower(ABC):
    """A way to switch the monitors of this session, and to hear whether they are on.

    Args:
        name: What it is called in `pilot-agent doctor`.
        changed: Called when a monitor was switched, appeared or went.
        ended: Called when the display has gone, with the reason.

    Attributes:
        monitors: Whether each is on, by its name; by an empty one where they cannot be told apart.
        refused: Why a monitor cannot be switched, by its name.
        time_out: Seconds without a touch after which the screen goes off by itself, 0 for never;
            `None` while that cannot be read.
        no_time_out: Why that cannot be set by this way; empty where it can.
    """

    def __init__(
        self, name: str, changed: Callable[[], None], ended: Callable[[str], None]
    ) -> None:
        self.name = name
        self.monitors: dict[str, bool] = {}
        self.refused: dict[str, str] = {}
        self.time_out: int | None = None
        self.no_time_out = f"{name} has no time-out"
        self._tell_changed = changed
        self._tell_ended = ended
        self._waiting: set[asyncio.Event] = set()

    @abstractmethod
    async def open(self) -> None:
        """Find the monitors, and begin to hear of them.

        Raises:
            Unavailable: It is no way here.
        """

    @abstractmethod
    async def request(self, monitor: str, *, on: bool) -> None:
        """Ask that one be switched.

        Raises:
            CommandError: It was refused.
        """

    async def set_time_out(self, seconds: int) -> None:
        """Set `time_out`, where the way has one, and read it back.

        Raises:
            CommandError: It was refused, or is another then.
        """
        raise CommandError("failed", self.no_time_out)

    @abstractmethod
    def close(self) -> None:
        """Hear no more."""

    async def switch(self, monitor: str, *, on: bool) -> None:
        """Switch one, or all by an empty name, and wait until they are heard to be so.

        Raises:
            CommandError: They were not, with what was heard instead.
        """
        wanted = [monitor] if monitor in self.monitors else list(self.monitors)
        if monitor and wanted != [monitor]:
            raise CommandError("failed", f"the monitor {monitor} is not there")
        heard = asyncio.Event()
        self._waiting.add(heard)
        try:
            for name in wanted:
                if self.monitors[name] != on:
                    await self.request(name, on=on)
            await self._wait(wanted, heard, on=on)
        finally:
            self._waiting.discard(heard)

    def notice(self) -> None:
        """Tell that something of the monitors has changed."""
        for heard in self._waiting:
            heard.set()
        self._tell_changed()

    async def _wait(self, wanted: list[str], heard: asyncio.Event, *, on: bool) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + SWITCH_LIMIT
        while late := [name for name in wanted if self.monitors.get(name, on) != on]:
            try:
                async with asyncio.timeout_at(until):
                    await heard.wait()
            except TimeoutError:
                names = ", ".join(name or "the screen" for name in late)
                state = "off" if on else "on"
                detail = f"{self.name}: {names} is still {state} after {SWITCH_LIMIT:g} s"
                raise CommandError("failed", detail) from None
            heard.clear()
