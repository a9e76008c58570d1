"""The sensor that shows in which room a device stands, and since when."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.sensor import SensorEntity, SensorEntityDescription
from homeassistant.const import ATTR_AREA_ID, EntityCategory
from homeassistant.core import callback

from .entity import ATTR_SINCE, PilotEntity
from .factory import AnnouncedEntity, EntitySource
from .rooms.quantities import QUANTITIES
from .rooms.runtime import PLACEMENTS
from .rooms.view import moment

if TYPE_CHECKING:
    from homeassistant.helpers import device_registry as dr

    from .coordinator import PilotCoordinator
    from .protocol.announce import Announce
    from .rooms.tracker import Tracker

ROOM: Final = SensorEntityDescription(
    key="room",
    translation_key="room",
    entity_category=EntityCategory.DIAGNOSTIC,
)


class RoomSensor(PilotEntity, SensorEntity):
    """The room in which a device stands."""

    _unrecorded_attributes = frozenset({ATTR_AREA_ID, ATTR_SINCE})

    def __init__(
        self, coordinator: PilotCoordinator, key: str, device: dr.DeviceEntry, tracker: Tracker
    ) -> None:
        """Create the sensor of a device."""
        super().__init__(coordinator, ROOM, key, device)
        self._device_id = device.id
        self._tracker = tracker

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the placements of the device."""
        self.async_on_remove(self._tracker.async_listen(self._on_placements))
        self._update_attrs()

    @callback
    def _on_placements(self) -> None:
        before = self._attr_native_value, self._attr_extra_state_attributes
        self._update_attrs()
        if before != (self._attr_native_value, self._attr_extra_state_attributes):
            self.async_write_in_turn()

    def _update_attrs(self) -> None:
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


def room_source(coordinator: PilotCoordinator) -> EntitySource:
    """Return the source of the room sensors of a host: one for each device with room readings."""
    placements = coordinator.hass.data.get(PLACEMENTS)

    def announced(device_key: str, tracker: Tracker) -> AnnouncedEntity:
        # Keys with a dot in them belong to readings.
        key = f"{device_key}_{ROOM.key}"
        return AnnouncedEntity(
            key, ROOM, lambda device: RoomSensor(coordinator, key, device, tracker), device_key
        )

    def source(announce: Announce) -> list[AnnouncedEntity] | None:
        if placements is None:
            return None
        devices = {
            reading.device
            for reading in announce.readings.values()
            if reading.device is not None and reading.kind in QUANTITIES
        }
        return [announced(device, placements.tracker) for device in sorted(devices)]

    return source
