"""Batteries and external power."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins._choice import chosen
from companion_agent.plugins._following import FollowingCollector
from companion_agent.plugins._names import segment, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.platforms.base import Battery, Platform

# Resolution and dead-band. The time is computed from a flow that never rests: minutes, and news
# only from five of them on. Half a watt is a screen's backlight by one step.
_ROUNDING: dict[str, tuple[float, float]] = {
    "level": (1, 1),
    "state": (0, 0),
    "time_left": (60, 300),
    "power": (0.1, 0.5),
}


class BatteryCollector(FollowingCollector):
    """Reads the batteries that the computer runs on."""

    name: ClassVar[str] = "battery"
    interval: ClassVar[float] = 30
    selects: ClassVar[str] = "battery"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._found: tuple[tuple[str, frozenset[str]], ...] = ()
        self._tells_plugged = False

    def collect(self) -> Mapping[str, Value]:
        """Read every selected battery.

        Raises:
            Unavailable: There is no battery, or none is selected.
        """
        sample = self.platform.power()
        known = dict(self._found)
        found: dict[str, frozenset[str]] = {}
        values: dict[str, Value] = {}
        for battery in sample.batteries:
            if chosen(self.selection, title(battery.name)):
                # A driver leaves out what it cannot tell just now (a full battery's time).
                kept = known.get(battery.name, frozenset())
                offered = found[battery.name] = kept | _offered(battery)
                values.update(_values(battery, offered))
        if not found:
            raise Unavailable(
                "no battery is selected",
                "look at 'include' and 'exclude' of the collector 'battery'",
            )
        if sample.plugged is not None:
            values["plugged"] = sample.plugged
        self._describe(tuple(found.items()), sample.plugged)
        return values

    def _describe(
        self, found: tuple[tuple[str, frozenset[str]], ...], plugged: bool | None
    ) -> None:
        tells_plugged = plugged is not None
        if (found, tells_plugged) == (self._found, self._tells_plugged):
            return
        self._found, self._tells_plugged = found, tells_plugged
        readings = [
            Reading(
                f"{_key(name)}.{key}",
                kind=f"battery.{key}",
                # The only one needs no name beside its host's.
                of=title(name) if len(found) > 1 else "",
                resolution=resolution,
                deadband=deadband,
            )
            for name, offered in found
            for key, (resolution, deadband) in _ROUNDING.items()
            if key in offered
        ]
        if tells_plugged:
            readings.append(Reading("plugged"))
        self.described = tuple(readings)


def _key(name: str) -> str:
    return segment(name, fold_case=True)


def _offered(battery: Battery) -> frozenset[str]:
    offered = {"level", "state"}
    if battery.reports_time:
        offered.add("time_left")
    if battery.reports_power:
        offered.add("power")
    return frozenset(offered)


def _values(battery: Battery, offered: frozenset[str]) -> dict[str, Value]:
    values: dict[str, Value] = {
        "level": battery.level,
        "state": battery.state,
        "time_left": battery.time_left,
        "power": battery.power,
    }
    return {f"{_key(battery.name)}.{key}": values[key] for key in values if key in offered}
