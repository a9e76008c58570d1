"""The screen while no desktop is there: the agent itself switches that of the console."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.screen import power

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.platforms.base import ConsoleScreen, Platform

_LOOK_EVERY = 0.1


class Console:
    """The screen of this machine's console.

    Args:
        platform: The operating system.
        sleep: Waits some seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        platform: Platform,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._platform = platform
        self._sleep = sleep
        self._clock = clock

    def find(self) -> ConsoleScreen:
        """Return the way to switch it.

        Raises:
            Unavailable: There is none.
        """
        return self._platform.console_screen()

    def switch(self, *, on: bool) -> None:
        """Switch it, and wait until it is read to be so.

        Raises:
            CommandError: It was not, with what was read instead.
        """
        try:
            screen = self.find()
            screen.request(on=on)
            until = self._clock() + power.SWITCH_LIMIT
            while late := _late(screen, on=on):
                if self._clock() >= until:
                    raise CommandError("failed", _still(screen, late, on=on))
                self._sleep(_LOOK_EVERY)
        except PermissionError as error:
            raise CommandError("not_permitted", f"{error.filename}: {error.strerror}") from error
        except OSError as error:
            raise CommandError("failed", f"{screen.name}: {error.strerror}") from error
        except Unavailable as error:
            raise CommandError("failed", error.reason) from error


def is_on(screen: ConsoleScreen) -> bool:
    """Tell whether any monitor is on."""
    return any(screen.monitors().values())


def _late(screen: ConsoleScreen, *, on: bool) -> list[str]:
    """Return the monitors that are not yet as wanted; one that is on is enough to be on."""
    monitors = screen.monitors()
    if on:
        return [] if any(monitors.values()) else list(monitors)
    return [name for name, is_on in monitors.items() if is_on]


def _still(screen: ConsoleScreen, late: list[str], *, on: bool) -> str:
    names = ", ".join(name or "the screen" for name in late) or "the screen"
    state = "off" if on else "on"
    return (
        f"{screen.name}: {names} is still {state} after {power.SWITCH_LIMIT:g} s; "
        "does another program hold the graphics card?"
    )
