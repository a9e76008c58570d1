"""Tuning of sensors on the I²C buses: intervals, means and offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import CommandError
from companion_agent.models import Argument, Command
from companion_agent.plugins.base import CommandGroup
from companion_agent.plugins.i2c.collector import offset_of
from companion_agent.plugins.i2c.overrides import (
    MAX_AVERAGE,
    MAX_INTERVAL,
    MIN_INTERVAL,
    Change,
    TunedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.i2c.collector import I2cCollector

_INTERVAL = Argument(unit="seconds", minimum=MIN_INTERVAL, maximum=MAX_INTERVAL, step=1)
_AVERAGE = Argument(unit="", minimum=1, maximum=MAX_AVERAGE, step=1)
# Units as in the catalogue; bounds beyond which a sensor is not off, but broken (or, with air
# pressure, reduced to sea level); steps that are no smaller than what the sensors flicker by.
_OFFSETS = {
    "temperature": Argument(unit="°C", minimum=-20, maximum=20, step=0.1),
    "humidity": Argument(unit="%", minimum=-50, maximum=50, step=0.5),
    "pressure": Argument(unit="hPa", minimum=-500, maximum=500, step=0.1),
    "illuminance": Argument(unit="lx", minimum=-10_000, maximum=10_000, step=1),
    "carbon_dioxide": Argument(unit="ppm", minimum=-2_000, maximum=2_000, step=5),
    "voltage": Argument(unit="V", minimum=-10, maximum=10, step=0.01),
    "current": Argument(unit="A", minimum=-100, maximum=100, step=0.001),
    "power": Argument(unit="W", minimum=-1_000, maximum=1_000, step=0.01),
}
_DIGITS = 6
_RESET = "reset_tuning"


class I2cCommands(CommandGroup):
    """Tunes sensors, and takes that back.

    Args:
        platform: The operating system.
        collector: Reads them.
    """

    name: ClassVar[str] = "i2c"

    def __init__(self, platform: Platform, collector: I2cCollector) -> None:
        super().__init__(platform)
        self._collector = collector

    def probe(self) -> Sequence[Command]:
        """Ask the collector which sensors there are."""
        return [
            command
            for sensor, quantities in self._collector.tunable().items()
            for command in self._commands(sensor, quantities)
        ]

    def _commands(self, sensor: str, quantities: Sequence[str]) -> Iterator[Command]:
        settings = {"interval": _INTERVAL, "average": _AVERAGE}
        settings |= {offset_of(quantity): _OFFSETS[quantity] for quantity in quantities}
        for setting, argument in settings.items():
            key = f"{self.name}.{sensor}.{setting}"
            yield Command(
                key, {"value": argument}, kind=f"{self.name}.{setting}", device=sensor, state=key
            )
        yield Command(
            f"{self.name}.{sensor}.{_RESET}",
            kind=f"{self.name}.{_RESET}",
            device=sensor,
            # Any of them: it has the sensor read again.
            state=f"{self.name}.{sensor}.interval",
        )

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the collector do it, and keep it."""
        _, sensor, setting = key.split(".")
        try:
            if setting == _RESET:
                self._collector.reset_tuning(sensor)
            else:
                self._collector.tune(sensor, _change(setting, args["value"]))
        except KeyError:
            raise CommandError("failed", f"there is no sensor {sensor} any more") from None
        except TunedError as error:
            raise CommandError("failed", str(error)) from error


def _change(setting: str, value: float) -> Change:
    # Whoever sets it in another unit sends 0.9999999999999999 for 1.
    value = round(value, _DIGITS)
    if setting == "interval":
        return Change(interval=value)
    if setting == "average":
        if value != int(value):
            raise CommandError("bad_arguments", "value is not a whole number")
        return Change(average=int(value))
    return Change({quantity: value for quantity in _OFFSETS if offset_of(quantity) == setting})
