"""How readings are drawn: by which platform, and under which name."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from homeassistant.const import EntityCategory, Platform

from .messages import one_line
from .protocol.announce import Command, Reading
from .protocol.catalogue import CATALOGUE, SETTINGS, ReadingType

SYSTEM_DISKS: Final = frozenset({"/", "C:"})
"""What hosts call the file system that their operating system is on."""

MEDIA: Final = frozenset(kind for kind in CATALOGUE if kind.startswith("media."))
"""The kinds that are shown together, by one media player."""


class Detail(NamedTuple):
    """A reading that is an attribute of another one's entity, and has none of its own.

    Attributes:
        of: The kind whose entity it is; a host has one of it, whose key is the kind.
        attribute: What it is called there.
        read: Makes the attribute of a value.
    """

    of: str
    attribute: str
    read: Callable[[Any], object]


def _sessions(value: str) -> list[dict[str, str | bool]]:
    """Return the sessions of `session.users`."""
    sessions: list[dict[str, str | bool]] = []
    for session in _texts(value):
        kind, _, rest = session.partition(" ")
        place, _, user = rest.partition(" ")
        sessions.append({"user": user, "type": kind, "remote": place == "remote"})
    return sessions


def _moment(value: datetime) -> str:
    """Return a time as attributes have it."""
    return value.isoformat(timespec="seconds")


def _texts(value: str) -> list[str]:
    """Return the texts of one that has commas between them."""
    return value.split(", ") if value else []


DETAILS: Final[Mapping[str, Detail]] = {
    "camera.programs": Detail("camera.in_use", "programs", _texts),
    "presence.since": Detail("presence.in_use", "since", _moment),
    "services.failed_units": Detail("services.failed", "services", _texts),
    "session.users": Detail("system.users", "sessions", _sessions),
    "sound.microphone_programs": Detail("sound.microphone_in_use", "programs", _texts),
    "usb.names": Detail("usb.devices", "devices", _texts),
    "updates.lists_refreshed": Detail("updates.waiting", "lists_refreshed", _moment),
    "updates.packages": Detail("updates.waiting", "packages", _texts),
    "processor.profile_degraded": Detail("processor.profile", "performance_degraded", str),
}
"""The details by their kinds."""

_FILE_SYSTEMS: Final = frozenset({"disk.used_percent", "disk.used", "disk.free", "disk.total"})


def is_of_system_disk(reading: Reading) -> bool:
    """Return whether a reading is about the file system that the operating system is on."""
    return reading.kind in _FILE_SYSTEMS and reading.of in SYSTEM_DISKS


_SHOWN: Final = {
    "button": Platform.BUTTON,
    "number": Platform.NUMBER,
    "select": Platform.SELECT,
    "switch": Platform.SWITCH,
}
OWN_COMMAND: Final = "own_command"
"""Where the translations have what a host's owner has added; its name is announced."""


def shown_as(command: Command) -> Platform | None:
    """Return the platform that a host's owner wants a command on; None for no entity."""
    return _SHOWN.get(command.show or "")


def category_of(command: Command) -> EntityCategory | None:
    """Return the category of what a host's owner has added.

    Unless the owner says that it ends no work, actions on areas leave it out.
    """
    return None if command.harmless else EntityCategory.CONFIG


def called(command: Command) -> str:
    """Return the name of a command that a host's owner has added."""
    return one_line(command.name or command.key)


def platform_of(reading: Reading) -> Platform | None:
    """Return the platform that shows a reading.

    None for a setting: the platform that describes its kind shows it, while it can be set; and
    for a detail of another reading.
    """
    if reading.kind in SETTINGS or reading.kind in DETAILS:
        return None
    if reading.kind in MEDIA:
        return Platform.MEDIA_PLAYER
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
    return one_line(f"{name} {reading.of}" if reading.of else name)
