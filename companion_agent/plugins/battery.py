"""Batteries and external power."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from companion_agent.platforms.base import Battery, Platform

# Resolution and dead-band. The time is computed from a flow that never rests: minutes, and news
# only from five of them on. Half a watt is a screen's backlight by one step.
_ROUNDING: dict[str, tuple[float, float]] = {
    "level": (1, 1),
    "state": (0, 0),
    "time_left": (60, 300),
    "power": (0.1, 0.5),
    # A charge of some minutes; capacities are measured anew at every full one, and wander.
    "energy": (0.1, 0.5),
    "health": (1, 1),
}


class BatteryPlugin(Collector):
    """Reads the batteries that the computer runs on."""

    name: ClassVar[str] = "battery"
    interval: ClassVar[float] = 30
    selects: ClassVar[str] = "battery"

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._found: dict[str, frozenset[str]] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read every selected battery.

        Raises:
            Unavailable: There is no battery, or none is selected.
        """
        sample = self.platform.power(lambda name: self.wants(title(name)))
        if not sample.batteries:
            raise self.none_selected("battery")
        found: dict[str, frozenset[str]] = {}
        values: dict[str, Value] = {}
        for battery in sample.batteries:
            # A driver leaves out what it cannot tell just now (a full battery's time).
            kept = self._found.get(battery.name, frozenset())
            offered = found[battery.name] = kept | _offered(battery)
            values.update(_values(battery, offered))
        self._found = found
        if sample.plugged is not None:
            values["plugged"] = sample.plugged
        plugged = [] if sample.plugged is None else [Reading("plugged")]
        self.describe((tuple(found.items()), bool(plugged)), lambda: (*_readings(found), *plugged))
        return values


def _readings(found: Mapping[str, frozenset[str]]) -> Iterator[Reading]:
    for name, offered in found.items():
        for key, (resolution, deadband) in _ROUNDING.items():
            if key in offered:
                yield Reading(
                    f"{_key(name)}.{key}",
                    kind=f"battery.{key}",
                    # The only one needs no name beside its host's.
                    of=title(name) if len(found) > 1 else "",
                    resolution=resolution,
                    deadband=deadband,
                )


def _key(name: str) -> str:
    return segment(name, fold_case=True)


def _offered(battery: Battery) -> frozenset[str]:
    offered = {"level", "state"}
    if battery.reports_time:
        offered.add("time_left")
    if battery.reports_power:
        offered.add("power")
    offered |= {key for key in ("energy", "health") if getattr(battery, key) is not None}
    return frozenset(offered)


def _values(battery: Battery, offered: frozenset[str]) -> dict[str, Value]:
    values: dict[str, Value] = {
        "level": battery.level,
        "state": battery.state,
        "time_left": battery.time_left,
        "power": battery.power,
        "energy": battery.energy,
        "health": battery.health,
    }
    return {f"{_key(battery.name)}.{key}": values[key] for key in values if key in offered}
