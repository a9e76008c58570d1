"""Which settings a sensor on the I²C buses has: its interval, its mean and its offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import CommandError
from companion_agent.models import Argument, Command
from companion_agent.plugins.i2c.overrides import (
    MAX_AVERAGE,
    MAX_INTERVAL,
    MIN_INTERVAL,
    Change,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RESET = "reset_tuning"

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


def offset_of(quantity: str) -> str:
    """Return what the setting is called that is added to a quantity."""
    return f"{quantity}_offset"


def commands(plugin: str, sensor: str, quantities: Iterable[str]) -> Iterator[Command]:
    """List what can be set of a sensor.

    Args:
        plugin: The name of the plug-in.
        sensor: The sensor's id.
        quantities: What it measures.
    """
    settings = {"interval": _INTERVAL, "average": _AVERAGE}
    settings |= {offset_of(quantity): _OFFSETS[quantity] for quantity in quantities}
    for setting, argument in settings.items():
        key = f"{plugin}.{sensor}.{setting}"
        yield Command(
            key, {"value": argument}, kind=f"{plugin}.{setting}", device=sensor, state=key
        )
    yield Command(
        f"{plugin}.{sensor}.{RESET}",
        kind=f"{plugin}.{RESET}",
        device=sensor,
        # Any of them: it has the sensor read again.
        state=f"{plugin}.{sensor}.interval",
    )


def change(setting: str, value: float) -> Change:
    """Return the change that a setting's new value makes.

    Raises:
        CommandError: The value is none that it can have.
    """
    # Set in another unit, 1 may arrive as 0.9999999999999999.
    value = round(value, _DIGITS)
    if setting == "interval":
        return Change(interval=value)
    if setting == "average":
        if value != int(value):
            raise CommandError("bad_arguments", "value is not a whole number")
        return Change(average=int(value))
    return Change({quantity: value for quantity in _OFFSETS if offset_of(quantity) == setting})
