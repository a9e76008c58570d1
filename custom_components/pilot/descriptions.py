"""How readings are drawn: by which platform, and under which name."""

from homeassistant.const import Platform

from .protocol.announce import Reading
from .protocol.catalogue import CATALOGUE, SETTINGS, ReadingType


def platform_of(reading: Reading) -> Platform | None:
    """Return the platform that shows a reading.

    None for a setting: the platform that describes its kind shows it, while it can be set.
    """
    if reading.kind in SETTINGS:
        return None
    if reading.type is ReadingType.BOOLEAN:
        return Platform.BINARY_SENSOR
    return Platform.SENSOR


def translation_key(kind: str, *, of: bool = False) -> str:
    """Return where the translations have the name of a kind."""
    key = kind.replace(".", "_")
    return f"{key}_of" if of else key


def native_unit(kind: str) -> str | None:
    """Return the unit of a kind of the catalogue, as descriptions want it."""
    return CATALOGUE[kind].unit or None


def announced_name(reading: Reading) -> str:
    """Return the name of a reading whose kind is not in the catalogue."""
    name = reading.name or reading.value_name.replace(".", " ").replace("_", " ").capitalize()
    return f"{name} {reading.of}" if reading.of else name
