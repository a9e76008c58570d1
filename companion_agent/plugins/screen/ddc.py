"""Monitors that the agent itself dims by DDC/CI, where the local file says so."""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import TYPE_CHECKING

from companion_agent.errors import CommandError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.platforms.base import DdcLevel, Platform

# A monitor's own buttons tell nothing, and each question takes its cable for a moment.
LOOK_EVERY = 600.0


@dataclass(slots=True)
class _Monitor:
    """A monitor, and what it answered last.

    Attributes:
        bus: The I²C bus that it is on.
        due: When it is asked again.
        level: What it answered; `None` when it did not.
        trouble: Why it did not.
    """

    bus: int
    due: float = 0
    level: DdcLevel | None = None
    trouble: str = ""


class DdcMonitors:
    """Reads and sets the brightness of monitors.

    Args:
        platform: The operating system.
        clock: Monotonic seconds.
    """

    def __init__(self, platform: Platform, clock: Callable[[], float] = time.monotonic) -> None:
        self._platform = platform
        self._clock = clock
        self._known: dict[str, _Monitor] = {}

    def levels(self) -> Mapping[str, int]:
        """Return the brightness of each monitor that answers, in percent."""
        buses = self._platform.ddc_buses()
        now = self._clock()
        self._known = {
            name: known if (known := self._known.get(name)) and known.bus == bus else _Monitor(bus)
            for name, bus in buses.items()
        }
        for monitor in self._known.values():
            if now >= monitor.due:
                self._ask(monitor)
        return {name: _percent(one.level) for name, one in self._known.items() if one.level}

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why a monitor has no brightness, by its name."""
        return {name: one.trouble for name, one in self._known.items() if one.trouble}

    def set(self, name: str, percent: float) -> None:
        """Set a brightness in percent, and read it back.

        Raises:
            CommandError: It did not work, with what was read instead.
        """
        monitor = self._known.get(name)
        if monitor is None or monitor.level is None:
            raise CommandError("failed", f"the monitor {name} does not answer by DDC/CI")
        wanted = round(monitor.level.maximum * percent / 100)
        try:
            self._platform.set_ddc_level(monitor.bus, wanted)
        except Unavailable as error:
            raise CommandError("failed", f"DDC/CI: {error.reason}") from error
        self._ask(monitor)
        if monitor.level is None:
            raise CommandError("failed", f"DDC/CI: {name}: {monitor.trouble}")
        if monitor.level.value != wanted:
            seen = _percent(monitor.level)
            raise CommandError(
                "failed", f"DDC/CI: {name} was set to {percent:g} %, it is at {seen} %"
            )

    def _ask(self, monitor: _Monitor) -> None:
        monitor.due = self._clock() + LOOK_EVERY
        try:
            monitor.level, monitor.trouble = self._platform.ddc_level(monitor.bus), ""
        except Unavailable as error:
            hint = f"; {error.hint}" if error.hint else ""
            monitor.level, monitor.trouble = None, f"{error.reason}{hint}"


def _percent(level: DdcLevel) -> int:
    return round(100 * level.value / level.maximum)
