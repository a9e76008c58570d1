"""Binary sensors of Pilot: the readings that are true or false, and whether the host is online."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, override

from homeassistant.components.binary_sensor import (
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory, Platform

from .coordinator import Status
from .devices import async_get_device
from .entity import PilotEntity, ReadingEntity, StatusEntity
from .factory import async_add_announced_entities, reading_source
from .problem import problem_source

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
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
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="disk_health.array_degraded",
            translation_key="disk_health_array_degraded",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="ups.on_battery",
            translation_key="ups_on_battery",
        ),
        PilotBinarySensorDescription(
            key="ups.low_battery",
            translation_key="ups_low_battery",
            device_class=BinarySensorDeviceClass.BATTERY,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="ups.replace_battery",
            translation_key="ups_replace_battery",
            device_class=BinarySensorDeviceClass.PROBLEM,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
        ),
        PilotBinarySensorDescription(
            key="network.connected",
            translation_key="network_connected",
            device_class=BinarySensorDeviceClass.CONNECTIVITY,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="camera.in_use",
            translation_key="camera_in_use",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="presence.in_use",
            translation_key="presence_in_use",
            device_class=BinarySensorDeviceClass.OCCUPANCY,
        ),
        PilotBinarySensorDescription(
            key="window.full_screen",
            translation_key="window_full_screen",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="graphics.too_hot",
            translation_key="graphics_too_hot",
            device_class=BinarySensorDeviceClass.HEAT,
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
            key="processes.running",
            translation_key="processes_running",
            device_class=BinarySensorDeviceClass.RUNNING,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="services.running",
            translation_key="services_running",
            device_class=BinarySensorDeviceClass.RUNNING,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotBinarySensorDescription(
            key="session.locked",
            translation_key="session_locked",
            entity_category=EntityCategory.DIAGNOSTIC,
            on=False,
        ),
        PilotBinarySensorDescription(
            key="sound.microphone_in_use",
            translation_key="sound_microphone_in_use",
            device_class=BinarySensorDeviceClass.RUNNING,
            entity_category=EntityCategory.DIAGNOSTIC,
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
    # The status says the same, and more.
    entity_registry_enabled_default=False,
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
    coordinator = entry.runtime_data.coordinator
    device = async_get_device(hass, entry)
    async_add_entities(
        [
            ConnectivitySensor(coordinator, CONNECTIVITY, CONNECTIVITY.key, device),
            PairedSensor(coordinator, PAIRED, PAIRED.key, device),
        ]
    )
    async_add_announced_entities(
        entry,
        Platform.BINARY_SENSOR,
        async_add_entities,
        reading_source(coordinator, Platform.BINARY_SENSOR, describe, ReadingBinarySensor),
        problem_source(coordinator),
        permanent=[CONNECTIVITY.key, PAIRED.key],
    )


def describe(reading: Reading) -> BinarySensorEntityDescription:
    """Return the description of the kind of a reading, or one of the class that its host says."""
    if (description := DESCRIPTIONS.get(reading.kind)) is not None:
        return description
    device_class = None
    with suppress(ValueError):
        device_class = BinarySensorDeviceClass(reading.device_class or "")
    return BinarySensorEntityDescription(key=reading.kind, device_class=device_class)


class ReadingBinarySensor(ReadingEntity, BinarySensorEntity):
    """A reading that is either true or false."""

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        description = self.entity_description
        on = description.on if isinstance(description, PilotBinarySensorDescription) else True
        self._attr_available = value is not None
        self._attr_is_on = value is on


class ConnectivitySensor(StatusEntity, BinarySensorEntity):
    """Whether the host is online; where it is not, the attributes say why.

    It is unknown until the host was heard of: `off` first, and `on` a moment later, would look
    like a host that came online at every start.
    """

    @override
    def _update_attrs(self) -> None:
        super()._update_attrs()
        status = self.coordinator.status
        is_known = status not in (Status.UNKNOWN, Status.NO_BROKER)
        self._attr_is_on = status is Status.ONLINE if is_known else None
        self._attr_extra_state_attributes[ATTR_STATUS] = status.value


class PairedSensor(PilotEntity, BinarySensorEntity):
    """Whether the host can be commanded; the config entry is reloaded when that changes."""

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether Home Assistant and the host share a key; None where that is not known."""
        auth = self.coordinator.auth
        return auth.paired if auth.readable else None
