"""The sensor that shows in which room a device stands, and since when."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.sensor import SensorEntity, SensorEntityDescription
from homeassistant.const import ATTR_AREA_ID, EntityCategory
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from ..devices import async_get_device, unique_id
from ..entity import ATTR_SINCE, PilotEntity
from .quantities import QUANTITIES
from .runtime import PLACEMENTS
from .view import moment

if TYPE_CHECKING:
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from ..coordinator import PilotConfigEntry, PilotCoordinator
    from ..protocol.announce import Announce
    from .tracker import Tracker

ROOM: Final = SensorEntityDescription(
    key="room",
    translation_key="room",
    entity_category=EntityCategory.DIAGNOSTIC,
)


class RoomSensor(PilotEntity, SensorEntity):
    """The room that a room sensor stands in."""

    _unrecorded_attributes = frozenset({ATTR_AREA_ID, ATTR_SINCE})

    def __init__(
        self, coordinator: PilotCoordinator, key: str, device: dr.DeviceEntry, tracker: Tracker
    ) -> None:
        """Hang the sensor on its device."""
        super().__init__(coordinator, ROOM, key, device)
        self._device_id = device.id
        self._tracker = tracker

    @override
    async def async_added_to_hass(self) -> None:
        """Begin to show the room."""
        self.async_on_remove(self._tracker.async_listen(self._changed))
        self._take()

    @callback
    def _changed(self) -> None:
        before = self._attr_native_value, self._attr_extra_state_attributes
        self._take()
        if before != (self._attr_native_value, self._attr_extra_state_attributes):
            self.async_write_ha_state()

    def _take(self) -> None:
        record = self._tracker.state.devices.get(self._device_id)
        placement = None if record is None else record.timeline.current
        if placement is None:
            self._attr_native_value = None
            self._attr_extra_state_attributes = {}
            return
        self._attr_native_value = self._tracker.area_name(placement.area)
        self._attr_extra_state_attributes = {
            ATTR_AREA_ID: placement.area,
            ATTR_SINCE: moment(placement.start),
        }


@callback
def async_add_rooms(
    entry: PilotConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Make a room's sensor for every room sensor that a host has below it, now and later."""
    coordinator = entry.runtime_data
    hass = coordinator.hass
    if (kept := hass.data.get(PLACEMENTS)) is None:
        return
    known: set[str] = set()

    @callback
    def follow(announce: Announce) -> None:
        devices = {
            reading.device
            for reading in announce.readings.values()
            if reading.device is not None and reading.kind in QUANTITIES
        }
        wanted = {unique_id(coordinator.host_id, _key(device)) for device in devices}
        registry = er.async_get(hass)
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
            if entity.translation_key == ROOM.key and entity.unique_id not in wanted:
                registry.async_remove(entity.entity_id)
        async_add_entities(
            RoomSensor(
                coordinator, _key(device), async_get_device(hass, entry, device), kept.tracker
            )
            for device in sorted(devices - known)
        )
        known.clear()
        known.update(devices)

    entry.async_on_unload(coordinator.async_listen_readings(follow))


def _key(device: str) -> str:
    # Keys with a dot in them belong to readings.
    return f"{device}_{ROOM.key}"
