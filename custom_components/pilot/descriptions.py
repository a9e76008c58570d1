"""How readings are drawn: by which platform, and under which name."""

from typing import Final

from homeassistant.const import Platform

from .protocol.announce import Reading
from .protocol.catalogue import CATALOGUE, SETTINGS, ReadingType

SYSTEM_DISKS: Final = frozenset({"/", "C:"})
"""What hosts call the file system that their operating system is on."""

_FILE_SYSTEMS: Final = frozenset({"disk.used_percent", "disk.used", "disk.free", "disk.total"})


def is_of_system_disk(reading: Reading) -> bool:
    """Return whether a reading is about the file system that the operating system is on."""
    return reading.kind in _FILE_SYSTEMS and reading.of in SYSTEM_DISKS


def platform_of(reading: Reading) -> Platform | None:
    """Return the platform that shows a reading.

    None for a setting: the platform that describes its kind shows it, while it can be set.
    """
    if reading.kind in SETTINGS:
        return None
    if reading.type is ReadingType.BOOLEAN:
        return Platform.BINARY_SENSOR
    return Platform.SENSOR


def translation_key(kind: str, variant: str = "") -> str:
    """Return where the translations have the name of a kind.

    Args:
        kind: The kind.
        variant: `of` for one of several where there may be a single one, `system` for the system
            disk.
    """
    key = kind.replace(".", "_")
    return f"{key}_{variant}" if variant else key


def native_unit(kind: str) -> str | None:
    """Return the unit of a kind of the catalogue, as descriptions want it."""
    return CATALOGUE[kind].unit or None


def announced_name(reading: Reading) -> str:
    """Return the name of a reading whose kind is not in the catalogue."""
    name = reading.name or reading.value_name.replace(".", " ").replace("_", " ").capitalize()
    return f"{name} {reading.of}" if reading.of else name
