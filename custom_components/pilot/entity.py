"""What all entities of Pilot have in common."""

from typing import TYPE_CHECKING, Any, override

from homeassistant.core import callback
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.restore_state import ExtraStoredData, RestoreEntity
from homeassistant.util import dt as dt_util

from .coordinator import PilotConfigEntry, PilotCoordinator, ReadingsListener, Status
from .descriptions import announced_name, platform_of, translation_key
from .devices import async_get_device, unique_id
from .protocol.catalogue import CATALOGUE, Several

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeassistant.const import Platform
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .protocol.announce import Announce, Reading
    from .readings import NativeValue

ATTR_SINCE = "since"

_HOST_STATUS = "host_status"
_HOST_SINCE = "host_since"


class PilotEntity(Entity):
    """An entity of a host, or of a device below it."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: EntityDescription,
        key: str,
        device: dr.DeviceEntry,
    ) -> None:
        """Hang the entity on its device."""
        self.coordinator = coordinator
        self.entity_description = description
        # The devices are there already: naming one here spares the registry a search for
        # each of a host's entities.
        self.device_entry = device
        self._attr_unique_id = unique_id(coordinator.host_id, key)


class ReadingEntity(PilotEntity):
    """An entity that shows a reading."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: EntityDescription,
        reading: Reading,
        device: dr.DeviceEntry,
    ) -> None:
        """Decide all there is to decide, so that showing a value takes next to nothing."""
        super().__init__(coordinator, description, reading.key, device)
        self.reading = reading
        if (kind := CATALOGUE.get(reading.kind)) is None:
            self._attr_name = announced_name(reading)
        elif kind.several is Several.YES or (kind.several is Several.OPTIONAL and reading.of):
            self._attr_translation_placeholders = {"of": reading.of or reading.value_name}
            if kind.several is Several.OPTIONAL:
                self._attr_translation_key = translation_key(reading.kind, of=True)

    @override
    async def async_added_to_hass(self) -> None:
        """Begin to show the reading."""
        self.async_on_remove(self.coordinator.async_listen(self.reading, self))
        self._take(self.coordinator.value(self.reading.key))

    @callback
    def async_show(self, value: NativeValue | None) -> None:
        """Show a value; None when there is none to believe in."""
        self._take(value)
        self.async_write_ha_state()

    def _take(self, value: NativeValue | None) -> None:
        """Keep what is to be shown."""
        raise NotImplementedError


class _HostStatus(ExtraStoredData):
    """What is kept of a host's status over a restart of Home Assistant."""

    def __init__(self, coordinator: PilotCoordinator) -> None:
        """Look at what is known now."""
        self._host_status = coordinator.host_status

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that can be stored."""
        if self._host_status is None:
            return {}
        status, since = self._host_status
        return {_HOST_STATUS: status, _HOST_SINCE: since.isoformat()}


class StatusEntity(PilotEntity, RestoreEntity):
    """An entity that shows whether the host is there, and therefore always has a state."""

    _unrecorded_attributes = frozenset({ATTR_SINCE})

    @override
    async def async_added_to_hass(self) -> None:
        """Begin to show the status."""
        if (stored := await self.async_get_last_extra_data()) is not None:
            data = stored.as_dict()
            since = dt_util.parse_datetime(str(data.get(_HOST_SINCE)))
            if since and since.tzinfo and data.get(_HOST_STATUS) in set(Status):
                self.coordinator.async_restore(Status(data[_HOST_STATUS]), since)
        self.async_on_remove(self.coordinator.async_listen_status(self._status_changed))
        self._take()

    @property
    @override
    def extra_restore_state_data(self) -> ExtraStoredData:
        """Return what is to be kept."""
        return _HostStatus(self.coordinator)

    @callback
    def _status_changed(self) -> None:
        self._take()
        self.async_write_ha_state()

    def _take(self) -> None:
        """Keep what is to be shown."""
        self._attr_extra_state_attributes = {
            ATTR_SINCE: self.coordinator.since.isoformat(timespec="seconds")
        }


@callback
def async_add_announced(
    entry: PilotConfigEntry,
    platform: Platform,
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[PilotCoordinator, Reading, dr.DeviceEntry], ReadingEntity],
) -> None:
    """Make an entity of every reading that a platform shows, now and whenever one is announced.

    Entities of readings that are not announced any more are removed with their registry
    entry, before this is called.
    """
    coordinator = entry.runtime_data

    def shown(announce: Announce) -> dict[str, Reading]:
        return {
            key: reading
            for key, reading in announce.readings.items()
            if platform_of(reading) is platform
        }

    def made(reading: Reading) -> ReadingEntity:
        device = async_get_device(coordinator.hass, entry, reading.device)
        return make(coordinator, reading, device)

    follow = drawer(entry, async_add_entities, shown, made)
    entry.async_on_unload(coordinator.async_listen_readings(follow))


def drawer[T](
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    shown: Callable[[Announce], dict[str, T]],
    made: Callable[[T], ReadingEntity],
) -> ReadingsListener:
    """Return what makes an entity of everything that an announce has to show.

    Args:
        entry: The host's.
        async_add_entities: Adds to the platform.
        shown: Finds what is to be shown, by the key of its reading.
        made: Makes its entity.
    """
    coordinator = entry.runtime_data
    known: dict[str, T] = {}

    async def replace(entity: Entity, item: T) -> None:
        await entity.async_remove()
        async_add_entities([made(item)])

    @callback
    def follow(announce: Announce) -> None:
        found = shown(announce)
        new: list[T] = []
        for key, item in found.items():
            if known.get(key) == item:
                continue
            shown_by = coordinator.readings.listener(key)
            if key in known and isinstance(shown_by, ReadingEntity):
                # The same key with another name, unit, device or limit: the entity stays the
                # same to its user, and is drawn anew.
                entry.async_create_task(coordinator.hass, replace(shown_by, item))
            else:
                new.append(item)
        known.clear()
        known.update(found)
        if new:
            async_add_entities([made(item) for item in new])

    return follow
