"""Settings: commands with a reading that says what is set now."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .devices import async_get_device, unique_id
from .entity import ReadingEntity, drawer

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from homeassistant.const import Platform
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotConfigEntry, PilotCoordinator
    from .protocol.announce import Announce, Command, Reading

ARGUMENT: Final = "value"
"""The argument of a command that sets something."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that can be set, and that says how it is set."""

    reading: Reading
    command: Command

    @property
    def kind(self) -> str:
        """What it is."""
        return self.reading.kind


def settings(announce: Announce, kinds: Container[str]) -> dict[str, Setting]:
    """Return the settings of some kinds by the keys of their readings."""
    return {
        reading.key: Setting(reading, command)
        for command in announce.commands.values()
        if command.state is not None
        and ARGUMENT in command.limits
        and (reading := announce.readings.get(command.state)) is not None
        and reading.kind == command.kind
        and reading.kind in kinds
    }


@callback
def async_add_settings(
    entry: PilotConfigEntry,
    platform: Platform,
    kinds: Container[str],
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[PilotCoordinator, Setting, dr.DeviceEntry], ReadingEntity],
) -> None:
    """Make an entity of every setting of some kinds, as long as the host is paired.

    Those that can be set no more are removed with their registry entry. Whoever is not announced
    any more is gone before this is called.
    """
    coordinator = entry.runtime_data

    def shown(announce: Announce) -> dict[str, Setting]:
        found = settings(announce, kinds) if coordinator.control.paired else {}
        registry = er.async_get(coordinator.hass)
        wanted = {unique_id(coordinator.host_id, key) for key in found}
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
            if entity.domain == platform and entity.unique_id not in wanted:
                registry.async_remove(entity.entity_id)
        return found

    def made(setting: Setting) -> ReadingEntity:
        device = async_get_device(coordinator.hass, entry, setting.reading.device)
        return make(coordinator, setting, device)

    follow = drawer(entry, async_add_entities, shown, made)
    entry.async_on_unload(coordinator.async_listen_announce(follow))
