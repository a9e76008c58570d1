"""Power supplies that go on when the mains fail, by Network UPS Tools."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Event, Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.naming import segment, title
from companion_agent.plugins.ups import nut
from companion_agent.plugins.ups.settings import UpsConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext
    from companion_agent.plugins.ups.nut import Ups

ON_BATTERY, ON_LINE, LOW_BATTERY = "on_battery", "on_line", "low_battery"

# NUT's words of `ups.status` that the state is made of, the gravest first.
_STATES = {
    "FSD": "shutting_down",
    "LB": "low_battery",
    "OFF": "off",
    "BYPASS": "bypass",
    "CAL": "calibrating",
    "OB": "on_battery",
    "OVER": "overloaded",
    "OL": "online",
}
# By NUT's names: the reading, its resolution, and what is noise.
_NUMBERS = {
    "battery.charge": ("charge", 1, 0),
    "battery.runtime": ("runtime", 1, 30),
    "battery.voltage": ("battery_voltage", 0.1, 0.2),
    "input.voltage": ("input_voltage", 0.1, 1),
    "output.voltage": ("output_voltage", 0.1, 1),
    "ups.load": ("load", 1, 0),
}
_MOST = 1e9


class UpsPlugin(Collector):
    """Reads power supplies, each a device of its own, and tells when they go to battery."""

    name: ClassVar[str] = "ups"
    events: ClassVar[tuple[str, ...]] = (ON_BATTERY, ON_LINE, LOW_BATTERY)
    interval: ClassVar[float] = 10
    selects: ClassVar[str] = "UPS"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        config: UpsConfig | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._config = config
        self._known: dict[str, Ups] = {}
        self._words: dict[str, frozenset[str]] = {}
        self._events: list[Event] = []
        self._troubles: Mapping[str, str] = {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the server that the configuration names."""
        return cls(context.platform, context.selection, context.get(UpsConfig))

    def collect(self) -> Mapping[str, Value]:
        """Ask the server.

        Raises:
            Unavailable: None is configured, or it has no UPS.
            OSError: The server does not answer.
        """
        if self._config is None:
            raise Unavailable(
                "no server of Network UPS Tools is configured",
                "where a UPS hangs on this machine or on another, name the server at 'ups'",
            )
        try:
            found = nut.read(
                self._config.host, self._config.port, lambda name: self.wants(title(name))
            )
        except nut.RefusedError as error:
            raise OSError(0, str(error), f"{self._config.host}:{self._config.port}") from None
        if not found:
            raise self.none_selected("UPS", "the server of Network UPS Tools has no UPS")
        self._troubles = {title(one.name): one.failure for one in found if one.failure}
        for one in found:
            self._follow(one)
        # One whose driver has lost it is what it was, and says nothing.
        told = [self._known.get(one.name, one) if one.failure else one for one in found]
        self._known = {one.name: one for one in told if one.variables}
        self.describe(
            tuple((one.name, _device(one), *_values(one)) for one in told), lambda: _readings(told)
        )
        return {
            f"{segment(now.name)}.{key}": None if now.failure else value
            for now, known in zip(found, told, strict=True)
            for key, value in _values(known).items()
        }

    def troubles(self) -> Mapping[str, str]:
        """Name those that the server cannot ask."""
        return self._troubles

    def take_events(self) -> Sequence[Event]:
        """Return what has happened to the mains and the batteries since the last call."""
        events, self._events = self._events, []
        return events

    def _follow(self, one: Ups) -> None:
        words = frozenset(one.variables.get("ups.status", "").split())
        if not words:
            return
        before = self._words.get(one.name)
        self._words[one.name] = words
        if before is None:
            # It may be so for hours.
            return
        data = {"ups": title(one.name)}
        if "OB" in words and "OB" not in before:
            self._events.append(Event(ON_BATTERY, data))
        if "LB" in words and "LB" not in before:
            self._events.append(Event(LOW_BATTERY, data))
        if "OL" in words and "OL" not in before:
            self._events.append(Event(ON_LINE, data))


def _values(one: Ups) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if status := one.variables.get("ups.status", ""):
        words = status.split()
        values["status"] = next(
            (state for word, state in _STATES.items() if word in words), "unknown"
        )
        values["on_battery"] = "OB" in words
        values["low_battery"] = "LB" in words
        values["replace_battery"] = "RB" in words
    for name, (key, _, _) in _NUMBERS.items():
        with suppress(KeyError, ValueError):
            values[key] = _sensible(key, float(one.variables[name]))
    return values


def _sensible(key: str, value: float) -> float | None:
    """Return a number that can be so; drivers say -1 and the like for what they do not know."""
    if not 0 <= value < _MOST:
        return None
    # A battery that holds more than it is made for is full.
    return min(value, 100) if key == "charge" else value


def _device(one: Ups) -> Device:
    variables = one.variables
    serial = variables.get("ups.serial") or variables.get("device.serial") or ""
    return Device(
        f"ups-{segment(one.name)}",
        name=title(one.description or one.name),
        manufacturer=_words(variables.get("ups.mfr") or variables.get("device.mfr") or ""),
        model=_words(variables.get("ups.model") or variables.get("device.model") or ""),
        serial=_words(serial),
    )


def _words(text: str) -> str:
    return title(text) if text.strip() else ""


def _readings(found: Iterable[Ups]) -> Iterator[Reading]:
    grains = {key: (resolution, noise) for key, resolution, noise in _NUMBERS.values()}
    for one in found:
        device = _device(one)
        for key in _values(one):
            resolution, noise = grains.get(key, (0, 0))
            yield Reading(
                f"{segment(one.name)}.{key}",
                kind=f"ups.{key}",
                device=device,
                resolution=resolution,
                deadband=noise,
            )
