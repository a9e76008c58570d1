"""The programs that play sound on hosts: listed, and their volume set."""

import json
from typing import TYPE_CHECKING, Any, Final

from homeassistant.exceptions import ServiceValidationError

from .const import DOMAIN
from .entity import ARGUMENT

if TYPE_CHECKING:
    from .data import PilotConfigEntry

LIST: Final = "sound.programs"
VOLUME: Final = "sound.program_volume"
MUTED: Final = "sound.program_muted"

_FIELDS: Final = {"name": str, "volume": int, "muted": bool, "playing": bool}


async def async_list(entry: PilotConfigEntry, user: str = "") -> list[dict[str, Any]]:
    """Return the programs that play on a host: `name`, `volume` in percent, `muted`, `playing`.

    Raises:
        ServiceValidationError: The host offers no sound.
        HomeAssistantError: It did not say, and why.
    """
    _require(entry, LIST)
    commands = entry.runtime_data.coordinator.commands
    result = await commands.async_command(LIST, _session(user))
    try:
        found = json.loads(result.output or "[]")
    except ValueError:
        found = []
    return [
        {name: one[name] for name in _FIELDS}
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        and all(isinstance(one.get(name), kind) for name, kind in _FIELDS.items())
    ]


async def async_set(
    entry: PilotConfigEntry,
    program: str,
    *,
    volume: float | None = None,
    muted: bool | None = None,
    user: str = "",
) -> None:
    """Set volume (in percent) and mute of all that a program plays on a host.

    Raises:
        ServiceValidationError: The host offers no sound.
        HomeAssistantError: It did not, and why.
    """
    commands = entry.runtime_data.coordinator.commands
    for key, value in ((VOLUME, volume), (MUTED, None if muted is None else int(muted))):
        if value is not None:
            _require(entry, key)
            await commands.async_do(key, {"program": program, ARGUMENT: value, **_session(user)})


def _session(user: str) -> dict[str, str]:
    return {"session": user} if user else {}


def _require(entry: PilotConfigEntry, key: str) -> None:
    announce = entry.runtime_data.coordinator.data
    if announce is None or key not in announce.commands:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_sound",
            translation_placeholders={"name": entry.title},
        )
