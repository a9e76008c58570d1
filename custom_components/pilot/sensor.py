"""Sensors of Pilot: what the host reports, and what has become of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    LIGHT_LUX,
    REVOLUTIONS_PER_MINUTE,
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    Platform,
    UnitOfDataRate,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfFrequency,
    UnitOfInformation,
    UnitOfPower,
    UnitOfPressure,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
)

from .coordinator import PilotConfigEntry, PilotCoordinator, Status
from .devices import async_get_device
from .entity import ReadingEntity, StatusEntity, async_add_announced
from .kinds import KindMixin, Of
from .protocol import CATALOGUE_OPTIONS, Reading, ReadingType
from .rooms.sensor import async_add_rooms

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .readings import NativeValue

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class PilotSensorDescription(SensorEntityDescription, KindMixin):
    """How a kind of the catalogue is drawn; the key is the kind."""


DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        # The processor
        PilotSensorDescription(
            key="cpu.percent",
            translation_key="cpu_percent",
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="cpu.core_percent",
            translation_key="cpu_core_percent",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="cpu.load_1m",
            translation_key="cpu_load_1m",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        PilotSensorDescription(
            key="cpu.load_5m",
            translation_key="cpu_load_5m",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        PilotSensorDescription(
            key="cpu.load_15m",
            translation_key="cpu_load_15m",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        PilotSensorDescription(
            key="cpu.frequency",
            translation_key="cpu_frequency",
            device_class=SensorDeviceClass.FREQUENCY,
            entity_category=EntityCategory.DIAGNOSTIC,
            native_unit_of_measurement=UnitOfFrequency.MEGAHERTZ,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfFrequency.GIGAHERTZ,
        ),
        PilotSensorDescription(
            key="cpu.temperature",
            translation_key="cpu_temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            native_unit_of_measurement=UnitOfTemperature.CELSIUS,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="cpu.context_switches",
            translation_key="cpu_context_switches",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement="1/s",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Memory
        PilotSensorDescription(
            key="memory.percent",
            translation_key="memory_percent",
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="memory.used",
            translation_key="memory_used",
            device_class=SensorDeviceClass.DATA_SIZE,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="memory.available",
            translation_key="memory_available",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="memory.total",
            translation_key="memory_total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="memory.swap_percent",
            translation_key="memory_swap_percent",
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="memory.swap_used",
            translation_key="memory_swap_used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="memory.swap_total",
            translation_key="memory_swap_total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        # File systems and the devices they lie on
        PilotSensorDescription(
            key="disk.used_percent",
            translation_key="disk_used_percent",
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="disk.used",
            translation_key="disk_used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="disk.free",
            translation_key="disk_free",
            device_class=SensorDeviceClass.DATA_SIZE,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="disk.total",
            translation_key="disk_total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            of=Of.MANY,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="disk_io.read_rate",
            translation_key="disk_io_read_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            native_unit_of_measurement=UnitOfDataRate.BYTES_PER_SECOND,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABYTES_PER_SECOND,
        ),
        PilotSensorDescription(
            key="disk_io.write_rate",
            translation_key="disk_io_write_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            native_unit_of_measurement=UnitOfDataRate.BYTES_PER_SECOND,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABYTES_PER_SECOND,
        ),
        # Network
        PilotSensorDescription(
            key="network.download_rate",
            translation_key="network_download_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            native_unit_of_measurement=UnitOfDataRate.BYTES_PER_SECOND,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABITS_PER_SECOND,
        ),
        PilotSensorDescription(
            key="network.upload_rate",
            translation_key="network_upload_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            native_unit_of_measurement=UnitOfDataRate.BYTES_PER_SECOND,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABITS_PER_SECOND,
        ),
        PilotSensorDescription(
            key="network.received",
            translation_key="network_received",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            of=Of.MANY,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="network.sent",
            translation_key="network_sent",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            of=Of.MANY,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        PilotSensorDescription(
            key="network.ipv4",
            translation_key="network_ipv4",
            entity_category=EntityCategory.DIAGNOSTIC,
            of=Of.MANY,
        ),
        PilotSensorDescription(
            key="network.ipv6",
            translation_key="network_ipv6",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            of=Of.MANY,
        ),
        PilotSensorDescription(
            key="wifi.ssid",
            translation_key="wifi_ssid",
            entity_category=EntityCategory.DIAGNOSTIC,
            of=Of.MANY,
        ),
        PilotSensorDescription(
            key="wifi.signal",
            translation_key="wifi_signal",
            device_class=SensorDeviceClass.SIGNAL_STRENGTH,
            entity_category=EntityCategory.DIAGNOSTIC,
            native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Heat and air inside the machine
        PilotSensorDescription(
            key="temperature.sensor",
            translation_key="temperature_sensor",
            device_class=SensorDeviceClass.TEMPERATURE,
            entity_category=EntityCategory.DIAGNOSTIC,
            native_unit_of_measurement=UnitOfTemperature.CELSIUS,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="fan.speed",
            translation_key="fan_speed",
            entity_category=EntityCategory.DIAGNOSTIC,
            native_unit_of_measurement=REVOLUTIONS_PER_MINUTE,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Power
        PilotSensorDescription(
            key="battery.level",
            translation_key="battery_level",
            device_class=SensorDeviceClass.BATTERY,
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="battery.state",
            translation_key="battery_state",
            device_class=SensorDeviceClass.ENUM,
            of=Of.MANY,
            options=list(CATALOGUE_OPTIONS["battery.state"]),
        ),
        PilotSensorDescription(
            key="battery.time_left",
            translation_key="battery_time_left",
            device_class=SensorDeviceClass.DURATION,
            native_unit_of_measurement=UnitOfTime.SECONDS,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
            suggested_unit_of_measurement=UnitOfTime.MINUTES,
        ),
        PilotSensorDescription(
            key="battery.power",
            translation_key="battery_power",
            device_class=SensorDeviceClass.POWER,
            native_unit_of_measurement=UnitOfPower.WATT,
            of=Of.MANY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        # The system
        PilotSensorDescription(
            key="system.started",
            translation_key="system_started",
            device_class=SensorDeviceClass.UPTIME,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotSensorDescription(
            key="system.users",
            translation_key="system_users",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="system.processes",
            translation_key="system_processes",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="system.os",
            translation_key="system_os",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        PilotSensorDescription(
            key="system.kernel",
            translation_key="system_kernel",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
        ),
        # The agent itself
        PilotSensorDescription(
            key="agent.memory",
            translation_key="agent_memory",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfInformation.BYTES,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.MEBIBYTES,
        ),
        PilotSensorDescription(
            key="agent.cpu_time",
            translation_key="agent_cpu_time",
            device_class=SensorDeviceClass.DURATION,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            native_unit_of_measurement=UnitOfTime.SECONDS,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=1,
        ),
        PilotSensorDescription(
            key="agent.reconnects",
            translation_key="agent_reconnects",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="agent.dropped_messages",
            translation_key="agent_dropped_messages",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="agent.refused_messages",
            translation_key="agent_refused_messages",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        # Room sensors
        PilotSensorDescription(
            key="temperature",
            translation_key="temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            native_unit_of_measurement=UnitOfTemperature.CELSIUS,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        PilotSensorDescription(
            key="humidity",
            translation_key="humidity",
            device_class=SensorDeviceClass.HUMIDITY,
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="pressure",
            translation_key="pressure",
            device_class=SensorDeviceClass.ATMOSPHERIC_PRESSURE,
            native_unit_of_measurement=UnitOfPressure.HPA,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        PilotSensorDescription(
            key="illuminance",
            translation_key="illuminance",
            device_class=SensorDeviceClass.ILLUMINANCE,
            native_unit_of_measurement=LIGHT_LUX,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        PilotSensorDescription(
            key="carbon_dioxide",
            translation_key="carbon_dioxide",
            device_class=SensorDeviceClass.CO2,
            native_unit_of_measurement=UnitOfRatio.PARTS_PER_MILLION,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Meters of voltage and current
        PilotSensorDescription(
            key="voltage",
            translation_key="voltage",
            device_class=SensorDeviceClass.VOLTAGE,
            native_unit_of_measurement=UnitOfElectricPotential.VOLT,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        PilotSensorDescription(
            key="current",
            translation_key="current",
            device_class=SensorDeviceClass.CURRENT,
            native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=3,
        ),
        PilotSensorDescription(
            key="power",
            translation_key="power",
            device_class=SensorDeviceClass.POWER,
            native_unit_of_measurement=UnitOfPower.WATT,
            of=Of.MAYBE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
    )
}

STATUS: Final = SensorEntityDescription(
    key="status",
    translation_key="status",
    device_class=SensorDeviceClass.ENUM,
    entity_category=EntityCategory.DIAGNOSTIC,
    options=[status.value for status in Status],
)

# Units that can only mean one thing. "%", "dB" and "ppm" cannot, and neither can energy:
# whether a counter starts again, the unit does not say.
DEVICE_CLASS_BY_UNIT: Final = (
    dict.fromkeys(UnitOfDataRate, SensorDeviceClass.DATA_RATE)
    | dict.fromkeys(UnitOfInformation, SensorDeviceClass.DATA_SIZE)
    | dict.fromkeys(UnitOfElectricCurrent, SensorDeviceClass.CURRENT)
    | dict.fromkeys(UnitOfElectricPotential, SensorDeviceClass.VOLTAGE)
    | dict.fromkeys(UnitOfFrequency, SensorDeviceClass.FREQUENCY)
    | dict.fromkeys(UnitOfTemperature, SensorDeviceClass.TEMPERATURE)
    | dict.fromkeys(("mW", UnitOfPower.WATT, UnitOfPower.KILO_WATT), SensorDeviceClass.POWER)
    | dict.fromkeys(
        (UnitOfPressure.HPA, UnitOfPressure.MBAR), SensorDeviceClass.ATMOSPHERIC_PRESSURE
    )
    | dict.fromkeys(
        (UnitOfTime.MILLISECONDS, UnitOfTime.SECONDS, UnitOfTime.MINUTES, UnitOfTime.HOURS),
        SensorDeviceClass.DURATION,
    )
    | {
        LIGHT_LUX: SensorDeviceClass.ILLUMINANCE,
        SIGNAL_STRENGTH_DECIBELS_MILLIWATT: SensorDeviceClass.SIGNAL_STRENGTH,
    }
)


def describe(reading: Reading) -> SensorEntityDescription:
    """Return how a reading is drawn: as the catalogue says, or else as its host does."""
    if (description := DESCRIPTIONS.get(reading.kind)) is not None:
        return description
    match reading.type:
        case ReadingType.NUMBER:
            return SensorEntityDescription(
                key=reading.kind,
                device_class=DEVICE_CLASS_BY_UNIT.get(reading.unit or ""),
                native_unit_of_measurement=reading.unit,
                state_class=SensorStateClass.MEASUREMENT,
                suggested_display_precision=reading.precision,
            )
        case ReadingType.ENUM:
            return SensorEntityDescription(
                key=reading.kind,
                device_class=SensorDeviceClass.ENUM,
                options=list(reading.options),
            )
        case ReadingType.TIMESTAMP:
            return SensorEntityDescription(
                key=reading.kind, device_class=SensorDeviceClass.TIMESTAMP
            )
        case _:
            return SensorEntityDescription(key=reading.kind)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of a host."""
    device = async_get_device(hass, entry)
    async_add_entities([StatusSensor(entry.runtime_data, STATUS, STATUS.key, device)])
    async_add_announced(entry, Platform.SENSOR, async_add_entities, _make)
    async_add_rooms(entry, async_add_entities)


def _make(coordinator: PilotCoordinator, reading: Reading, device: dr.DeviceEntry) -> ReadingSensor:
    return ReadingSensor(coordinator, describe(reading), reading, device)


class ReadingSensor(ReadingEntity, SensorEntity):
    """A reading."""

    @override
    def _take(self, value: NativeValue | None) -> None:
        self._attr_available = value is not None
        self._attr_native_value = value


class StatusSensor(StatusEntity, SensorEntity):
    """What has become of the host."""

    @override
    def _take(self) -> None:
        super()._take()
        self._attr_native_value = self.coordinator.status
