"""What the descriptions of all platforms share."""

from dataclasses import dataclass
from enum import Enum

from homeassistant.const import Platform

from .protocol import SETTINGS, Reading, ReadingType


class Of(Enum):
    """Whether there are several of a kind, told apart by what they are of."""

    ONE = "one"
    MANY = "many"
    MAYBE = "maybe"
    """A kind with two names in the translations: a plain one, and one for many."""


@dataclass(frozen=True, kw_only=True)
class KindMixin:
    """What a description of a kind says besides what Home Assistant asks for."""

    of: Of = Of.ONE


def platform_of(reading: Reading) -> Platform:
    """Return the platform that shows a reading."""
    if reading.type is ReadingType.BOOLEAN:
        return Platform.BINARY_SENSOR
    if reading.kind in SETTINGS:
        return Platform.NUMBER
    return Platform.SENSOR


def translation_key(kind: str, *, of: bool = False) -> str:
    """Return where the translations have the name of a kind."""
    key = kind.replace(".", "_")
    return f"{key}_of" if of else key


def announced_name(reading: Reading) -> str:
    """Return the name of a reading whose kind is not in the catalogue."""
    name = reading.name or reading.value_name.replace(".", " ").replace("_", " ").capitalize()
    return f"{name} {reading.of}" if reading.of else name
