"""Graphics cards, each a device of its own below the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Reading, Selection, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.hardware_monitor import monitor_of
from companion_agent.plugins.naming import segment, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from companion_agent.platforms.base import GraphicsCard, GraphicsSample, Platform
    from companion_agent.platforms.libre_hardware_monitor import LibreHardwareMonitor
    from companion_agent.plugins.base import PluginContext

_MIB = 1 << 20

# Resolution and dead-band: what drivers resolve, and what a card at rest flickers by.
_ROUNDING: Mapping[str, tuple[float, float]] = {
    "percent": (1, 2),
    "memory_percent": (0.1, 0.5),
    "memory_used": (_MIB, 16 * _MIB),
    "memory_total": (_MIB, 0),
    "temperature": (0.1, 1),
    "too_hot": (0, 0),
    "power": (0.1, 1),
    "frequency": (1, 25),
    "fan_percent": (1, 2),
}


class GraphicsPlugin(Collector):
    """Reads the graphics cards, of those that sleep what wakes none."""

    name: ClassVar[str] = "graphics"
    interval: ClassVar[float] = 10
    selects: ClassVar[str] = "name and address"

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        monitor: LibreHardwareMonitor | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._monitor = monitor
        self._left_out: Mapping[str, str] = {}

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it, with LibreHardwareMonitor beside the system where that is configured."""
        return cls(context.platform, context.selection, monitor_of(context))

    def left_out(self) -> Mapping[str, str]:
        """Say what a card does not tell."""
        return self._left_out

    def collect(self) -> Mapping[str, Value]:
        """Read every selected card.

        Raises:
            Unavailable: There is no card that tells anything, or none is selected.
        """
        samples = self.platform.graphics(lambda label: self.wants(title(label)))
        if not samples:
            raise self.none_selected("graphics card")
        samples = self._with_monitor(samples)
        self._left_out = {
            f"{title(sample.card.label)} {quantity}": why
            for sample in samples
            for quantity, why in sample.left_out.items()
        }
        if not any(sample.values for sample in samples):
            told = "; ".join(": ".join(one) for one in self._left_out.items())
            raise Unavailable(f"no graphics card tells anything ({told})")
        found = {sample.card: _values(sample) for sample in samples}
        self.describe(
            tuple((card, tuple(values)) for card, values in found.items()),
            lambda: (one for card, values in found.items() for one in _readings(card, values)),
        )
        return {
            f"{segment(card.id)}.{quantity}": value
            for card, values in found.items()
            for quantity, value in values.items()
        }

    def _with_monitor(self, samples: list[GraphicsSample]) -> list[GraphicsSample]:
        """Add what LibreHardwareMonitor tells of the cards, by their models' names."""
        if self._monitor is None:
            return samples
        try:
            cards = self._monitor.cards()
        except Unavailable as error:
            return [
                one._replace(left_out={**one.left_out, "temperature": error.reason})
                if "temperature" not in one.values
                else one
                for one in samples
            ]
        return [
            one._replace(values={**cards.get(one.card.model, {}), **one.values}) for one in samples
        ]


def device_of(card: GraphicsCard) -> Device:
    """Return the device that a card is in Home Assistant."""
    return Device(f"graphics-{card.id}", title(card.name), card.manufacturer, card.model)


def _values(sample: GraphicsSample) -> dict[str, Value]:
    values: dict[str, Value] = dict(sample.values.items())
    used, total = sample.values.get("memory_used"), sample.values.get("memory_total")
    if "memory_used" in values and "memory_total" in values:
        values["memory_percent"] = (
            None if used is None or not total else min(100 * used / total, 100.0)
        )
    return values


def _readings(card: GraphicsCard, values: Mapping[str, Value]) -> Iterator[Reading]:
    device = device_of(card)
    for quantity in values:
        resolution, deadband = _ROUNDING[quantity]
        yield Reading(
            f"{segment(card.id)}.{quantity}",
            kind=f"graphics.{quantity}",
            device=device,
            resolution=resolution,
            deadband=deadband,
        )
