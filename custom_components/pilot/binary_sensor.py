"""Binary sensors of Pilot: what is either so or not, and whether the host is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, override

from homeassistant.components.binary_sensor import (
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory, Platform

from .coordinator import PilotConfigEntry, PilotCoordinator, Status
from .devices import async_get_device
from .entity import PilotEntity, ReadingEntity, StatusEntity, async_add_announced

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .protocol.announce import Reading
    from .readings import NativeValue

PARALLEL_UPDATES = 0

ATTR_STATUS = "status"


@dataclass(frozen=True, kw_only=True)
class PilotBinarySensorDescription(BinarySensorEntityDescription):
    """How a kind of the catalogue is drawn; the key is the kind.

    Attributes:
        on: The value that is shown as on.
    """

    on: bool = True


DESCRIPTIONS = {
    description.key: description
    for description in (
        PilotBinarySensorDescription(
            key="battery.plugged",
            translation_key="battery_plugged",
            device_class=BinarySensorDeviceClass.PLUG,
        ),
        PilotBinarySensorDescription(
            key="network.connected",
            translation_key="network_connected",
            device_class=BinarySensorDeviceClass.CONNECTIVITY,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="rpi.under_voltage",
            translation_key="rpi_under_voltage",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="rpi.throttled",
            translation_key="rpi_throttled",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="rpi.frequency_capped",
            translation_key="rpi_frequency_capped",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="rpi.soft_temperature_limit",
            translation_key="rpi_soft_temperature_limit",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="session.locked",
            translation_key="session_locked",
            on=False,
        ),
        PilotBinarySensorDescription(
            key="system.pending_reboot",
            translation_key="system_pending_reboot",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
    )
}

CONNECTIVITY = BinarySensorEntityDescription(
    key="connectivity",
    translation_key="connectivity",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
)

PAIRED = BinarySensorEntityDescription(
    key="paired",
    translation_key="paired",
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of a host."""
    device = async_get_device(hass, entry)
    async_add_entities(
        [
            ConnectivitySensor(entry.runtime_data, CONNECTIVITY, CONNECTIVITY.key, device),
            PairedSensor(entry.runtime_data, PAIRED, PAIRED.key, device),
        ]
    )
    async_add_announced(entry, Platform.BINARY_SENSOR, async_add_entities, _make)


def _make(
    coordinator: PilotCoordinator, reading: Reading, device: dr.DeviceEntry
) -> ReadingBinarySensor:
    description = DESCRIPTIONS.get(reading.kind) or BinarySensorEntityDescription(key=reading.kind)
    return ReadingBinarySensor(coordinator, description, reading, device)


class ReadingBinarySensor(ReadingEntity, BinarySensorEntity):
    """A reading that is either so or not."""

    @override
    def _take(self, value: NativeValue | None) -> None:
        description = self.entity_description
        on = description.on if isinstance(description, PilotBinarySensorDescription) else True
        self._attr_available = value is not None
        self._attr_is_on = value is on


class ConnectivitySensor(StatusEntity, BinarySensorEntity):
    """Whether the host is there; where it is not, the attributes say why."""

    @override
    def _take(self) -> None:
        super()._take()
        status = self.coordinator.status
        self._attr_is_on = status is Status.ONLINE
        self._attr_extra_state_attributes[ATTR_STATUS] = status.value


class PairedSensor(PilotEntity, BinarySensorEntity):
    """Whether the host can be commanded; the entry is set up anew when that changes."""

    @property
    @override
    def is_on(self) -> bool:
        """Return whether Home Assistant and the host share a key."""
        return self.coordinator.control.paired
