"""Entities of what a host offers: its commands and events."""

from typing import TYPE_CHECKING, override

from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import EntityDescription

from .coordinator import PilotConfigEntry, PilotCoordinator, Status
from .devices import async_get_device, unique_id
from .entity import PilotEntity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from homeassistant.const import Platform
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .protocol.announce import Announce


class OfferedEntity(PilotEntity):
    """An entity of something that the host offers, as long as it is there."""

    @override
    async def async_added_to_hass(self) -> None:
        """Begin to show whether the host is there."""
        self.async_on_remove(self.coordinator.async_listen_status(self._status_changed))
        self._take()

    @callback
    def _status_changed(self) -> None:
        self._take()
        self.async_write_ha_state()

    def _take(self) -> None:
        """Keep what follows from the status."""
        self._attr_available = self.coordinator.status is Status.ONLINE


def entity_key(description: EntityDescription) -> str:
    """Return what an entity is known by below its host.

    Keys with a dot in them belong to readings, which come and go with theirs.
    """
    return description.key.replace(".", "_")


@callback
def async_add_offered[DescriptionT: EntityDescription](
    entry: PilotConfigEntry,
    platform: Platform,
    async_add_entities: AddConfigEntryEntitiesCallback,
    offered: Callable[[Announce], Mapping[str, DescriptionT]],
    make: Callable[[PilotCoordinator, DescriptionT, dr.DeviceEntry], PilotEntity],
    known_by: Callable[[DescriptionT], str] = entity_key,
    device_of: Callable[[Announce, DescriptionT], str | None] = lambda *_: None,
) -> None:
    """Make an entity of everything that a host offers on a platform, now and later.

    What is not offered any more goes, together with its registry entry: Home Assistant
    remembers names and areas in case it comes back. What it is about, `device_of` says: a
    device below the host, or the host itself.
    """
    coordinator = entry.runtime_data
    known: set[str] = set()

    @callback
    def follow(announce: Announce) -> None:
        descriptions = offered(announce)
        wanted = {
            unique_id(coordinator.host_id, known_by(description))
            for description in descriptions.values()
        }
        registry = er.async_get(coordinator.hass)
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
            if entity.domain == platform and entity.unique_id not in wanted:
                registry.async_remove(entity.entity_id)
        new = [description for key, description in descriptions.items() if key not in known]
        known.clear()
        known.update(descriptions)
        if new:
            devices = {
                device: async_get_device(coordinator.hass, entry, device)
                for device in {device_of(announce, description) for description in new}
            }
            async_add_entities(
                [
                    make(coordinator, description, devices[device_of(announce, description)])
                    for description in new
                ]
            )

    entry.async_on_unload(coordinator.async_listen_announce(follow))
