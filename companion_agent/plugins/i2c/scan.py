"""Looks for sensors that can be told without harm to whatever else may be at their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.platforms.i2c import NoAnswerError
from companion_agent.plugins.i2c.bus import Link
from companion_agent.plugins.i2c.drivers import DRIVERS
from companion_agent.plugins.i2c.place import Place
from companion_agent.plugins.i2c.settings import SensorConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from companion_agent.plugins.i2c.bus import Bus
    from companion_agent.plugins.i2c.drivers.base import Steps

CHANNELS = 8


def before(number: int, multiplexers: Collection[int]) -> Iterator[Place]:
    """List where on a bus a known sensor can be."""
    return (Place(number, address) for address in _addresses() if address not in multiplexers)


def behind(
    number: int, multiplexers: Collection[int], answering: Collection[int]
) -> Iterator[Place]:
    """List where behind a bus's multiplexers a known sensor can be.

    Args:
        number: The bus.
        multiplexers: Its multiplexers.
        answering: The addresses of what is before them.
    """
    for multiplexer in sorted(multiplexers):
        for channel in range(CHANNELS):
            for address in _addresses():
                if address not in multiplexers and address not in answering:
                    yield Place(number, address, multiplexer, channel)


def look(bus: Bus, place: Place) -> Steps[SensorConfig | None]:
    """Look what is at a place.

    What is written there is one byte or two that name a register or a command, and that no part
    known to share the address takes for anything else: see each driver's `identify()`.

    Returns:
        The sensor; its type is empty for something that answers to being read and that only a
        person can tell. `None` for nothing, and for what a driver of the operating system uses.

    Raises:
        OSError: The bus failed.
    """
    if bus.driver(place):
        return None
    link = Link(bus, place)
    cannot_tell = False
    for name, driver in DRIVERS.items():
        if place.address not in driver.addresses:
            continue
        found = yield from driver.identify(link)
        if found:
            return SensorConfig(name, place)
        cannot_tell = cannot_tell or found is None
    if cannot_tell:
        try:
            # Reading changes nothing in any of them.
            link.read(1)
        except NoAnswerError:
            return None
        return SensorConfig("", place)
    return None


def _addresses() -> list[int]:
    return sorted({address for driver in DRIVERS.values() for address in driver.addresses})


def guess(place: Place) -> str:
    """Say what may be at a place, in words."""
    names = [name for name, driver in DRIVERS.items() if place.address in driver.addresses]
    return f"{place} ({' or '.join(names)}?)"
