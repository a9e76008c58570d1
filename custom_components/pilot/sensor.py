"""Sensors of Pilot: the readings of hosts, and their status."""

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, override

from homeassistant.components.sensor import (
    DOMAIN as SENSOR_DOMAIN,
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.components.sensor.const import (
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
    NON_NUMERIC_DEVICE_CLASSES,
)
from homeassistant.const import (
    LIGHT_LUX,
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
    UnitOfTemperature,
    UnitOfTime,
)

from .coordinator import Status
from .descriptions import is_of_system_disk, native_unit, translation_key
from .devices import async_get_device
from .entity import ReadingEntity, StatusEntity
from .factory import async_add_announced_entities, reading_source
from .protocol.announce import Announce, Reading
from .protocol.catalogue import CATALOGUE, ReadingType
from .room_sensor import room_source

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
    from homeassistant.helpers.entity_registry import EntityOptionsType

    from .data import PilotConfigEntry
    from .readings import NativeValue

PARALLEL_UPDATES = 0

_DISPLAY_PRECISION: Final = "suggested_display_precision"


def _describe(
    kind: str,
    *,
    device_class: SensorDeviceClass | None = None,
    entity_category: EntityCategory | None = None,
    entity_registry_enabled_default: bool = True,
    state_class: SensorStateClass | None = None,
    suggested_display_precision: int | None = None,
    suggested_unit_of_measurement: str | None = None,
) -> SensorEntityDescription:
    """Describe how a kind of the catalogue is drawn; its unit and options stand there."""
    return SensorEntityDescription(
        key=kind,
        translation_key=translation_key(kind),
        device_class=device_class,
        entity_category=entity_category,
        entity_registry_enabled_default=entity_registry_enabled_default,
        native_unit_of_measurement=native_unit(kind),
        options=list(CATALOGUE[kind].options) or None,
        state_class=state_class,
        suggested_display_precision=suggested_display_precision,
        suggested_unit_of_measurement=suggested_unit_of_measurement,
    )


# Home Assistant draws what has no category on area pages and in dashboards by itself. Of a computer
# that is its status, processor, memory, system disk, processor temperature and battery; the rest is
# diagnostic. Sensors of rooms and meters, which are devices of their own, have none either, nor
# have use, memory and temperature of a graphics card.
DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        # The processor
        _describe(
            "cpu.percent",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "cpu.core_percent",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "cpu.load_1m",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        _describe(
            "cpu.load_5m",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        _describe(
            "cpu.load_15m",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        _describe(
            "cpu.frequency",
            device_class=SensorDeviceClass.FREQUENCY,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfFrequency.GIGAHERTZ,
        ),
        _describe(
            "cpu.temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "cpu.context_switches",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Memory
        _describe(
            "memory.percent",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "memory.used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "memory.available",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "memory.total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "memory.swap_percent",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "memory.swap_used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "memory.swap_total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        # File systems and the devices they lie on
        _describe(
            "disk.used_percent",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk.used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "disk.free",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "disk.total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "disk_io.read_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABYTES_PER_SECOND,
        ),
        _describe(
            "disk_io.write_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABYTES_PER_SECOND,
        ),
        # Disks and the arrays that they are part of
        _describe(
            "disk_health.health",
            device_class=SensorDeviceClass.ENUM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "disk_health.wear",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.reallocated_sectors",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.pending_sectors",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.power_on_time",
            device_class=SensorDeviceClass.DURATION,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.unsafe_shutdowns",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.array_state",
            device_class=SensorDeviceClass.ENUM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "disk_health.array_progress",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "disk_health.array_errors",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Network
        _describe(
            "network.download_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABITS_PER_SECOND,
        ),
        _describe(
            "network.upload_rate",
            device_class=SensorDeviceClass.DATA_RATE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfDataRate.MEGABITS_PER_SECOND,
        ),
        _describe(
            "network.received",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "network.sent",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=2,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "network.ipv4",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "network.ipv6",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
        ),
        _describe(
            "notifications.server",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
        ),
        _describe(
            "wifi.ssid",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "wifi.signal",
            device_class=SensorDeviceClass.SIGNAL_STRENGTH,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # What is plugged in
        _describe(
            "usb.devices",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Heat and air inside the machine
        _describe(
            "temperature.sensor",
            device_class=SensorDeviceClass.TEMPERATURE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "fan.speed",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Graphics cards
        _describe(
            "graphics.percent",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "graphics.memory_percent",
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "graphics.memory_used",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "graphics.memory_total",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.GIBIBYTES,
        ),
        _describe(
            "graphics.temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "graphics.power",
            device_class=SensorDeviceClass.POWER,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "graphics.frequency",
            device_class=SensorDeviceClass.FREQUENCY,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfFrequency.GIGAHERTZ,
        ),
        _describe(
            "graphics.fan_percent",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Power
        _describe(
            "battery.level",
            device_class=SensorDeviceClass.BATTERY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "battery.state",
            device_class=SensorDeviceClass.ENUM,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "battery.time_left",
            device_class=SensorDeviceClass.DURATION,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
            suggested_unit_of_measurement=UnitOfTime.MINUTES,
        ),
        _describe(
            "battery.power",
            device_class=SensorDeviceClass.POWER,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "battery.energy",
            device_class=SensorDeviceClass.ENERGY_STORAGE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "battery.health",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Power supplies that go on when the mains fail
        _describe(
            "ups.status",
            device_class=SensorDeviceClass.ENUM,
        ),
        _describe(
            "ups.charge",
            device_class=SensorDeviceClass.BATTERY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "ups.runtime",
            device_class=SensorDeviceClass.DURATION,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
            suggested_unit_of_measurement=UnitOfTime.MINUTES,
        ),
        _describe(
            "ups.load",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "ups.input_voltage",
            device_class=SensorDeviceClass.VOLTAGE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "ups.output_voltage",
            device_class=SensorDeviceClass.VOLTAGE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "ups.battery_voltage",
            device_class=SensorDeviceClass.VOLTAGE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        # The system
        _describe(
            "power.planned_shutdown",
            device_class=SensorDeviceClass.TIMESTAMP,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "system.started",
            device_class=SensorDeviceClass.UPTIME,
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "system.users",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "system.processes",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "system.os",
            entity_category=EntityCategory.DIAGNOSTIC,
        ),
        _describe(
            "system.kernel",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
        ),
        _describe(
            "services.failed",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "processes.count",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "processes.cpu_percent",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "processes.memory",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
            suggested_unit_of_measurement=UnitOfInformation.MEBIBYTES,
        ),
        _describe(
            "updates.waiting",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "updates.security",
            entity_category=EntityCategory.DIAGNOSTIC,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # The desktop
        _describe("window.title", entity_category=EntityCategory.DIAGNOSTIC),
        _describe("window.program", entity_category=EntityCategory.DIAGNOSTIC),
        _describe("hotkeys.keys", entity_category=EntityCategory.DIAGNOSTIC),
        # The agent itself
        _describe(
            "agent.memory",
            device_class=SensorDeviceClass.DATA_SIZE,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
            suggested_unit_of_measurement=UnitOfInformation.MEBIBYTES,
        ),
        _describe(
            "agent.cpu_time",
            device_class=SensorDeviceClass.DURATION,
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=1,
        ),
        _describe(
            "agent.reconnects",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        _describe(
            "agent.dropped_messages",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        _describe(
            "agent.refused_messages",
            entity_category=EntityCategory.DIAGNOSTIC,
            entity_registry_enabled_default=False,
            state_class=SensorStateClass.TOTAL_INCREASING,
            suggested_display_precision=0,
        ),
        # Room sensors
        _describe(
            "temperature",
            device_class=SensorDeviceClass.TEMPERATURE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "humidity",
            device_class=SensorDeviceClass.HUMIDITY,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "pressure",
            device_class=SensorDeviceClass.ATMOSPHERIC_PRESSURE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=1,
        ),
        _describe(
            "illuminance",
            device_class=SensorDeviceClass.ILLUMINANCE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        _describe(
            "carbon_dioxide",
            device_class=SensorDeviceClass.CO2,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=0,
        ),
        # Meters of voltage and current
        _describe(
            "voltage",
            device_class=SensorDeviceClass.VOLTAGE,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
        _describe(
            "current",
            device_class=SensorDeviceClass.CURRENT,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=3,
        ),
        _describe(
            "power",
            device_class=SensorDeviceClass.POWER,
            state_class=SensorStateClass.MEASUREMENT,
            suggested_display_precision=2,
        ),
    )
}

STATUS: Final = SensorEntityDescription(
    key="status",
    translation_key="status",
    device_class=SensorDeviceClass.ENUM,
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
        if reading.kind == "disk.used_percent" and not is_of_system_disk(reading):
            return replace(description, entity_category=EntityCategory.DIAGNOSTIC)
        return description
    match reading.type:
        case ReadingType.NUMBER:
            return SensorEntityDescription(
                key=reading.kind,
                device_class=_device_class(reading),
                native_unit_of_measurement=reading.unit,
                state_class=_state_class(reading),
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


def _device_class(reading: Reading) -> SensorDeviceClass | None:
    """Return the class that a host's owner gives a number, else what its unit can only mean.

    A class that Home Assistant does not have, or that measures in other units, is left out: it
    would refuse every value.
    """
    if reading.device_class is None:
        return DEVICE_CLASS_BY_UNIT.get(reading.unit or "")
    with suppress(ValueError):
        device_class = SensorDeviceClass(reading.device_class)
        units = DEVICE_CLASS_UNITS.get(device_class)
        if device_class not in NON_NUMERIC_DEVICE_CLASSES and (
            units is None or reading.unit in units
        ):
            return device_class
    return None


def _state_class(reading: Reading) -> SensorStateClass | None:
    """Return how a host's owner has a number summed up, as far as its class allows that."""
    if reading.state_class == "none":
        return None
    with suppress(ValueError):
        wanted = SensorStateClass(reading.state_class or SensorStateClass.MEASUREMENT)
        device_class = _device_class(reading)
        allowed = DEVICE_CLASS_STATE_CLASSES.get(device_class) if device_class else None
        return wanted if allowed is None or wanted in allowed else None
    return SensorStateClass.MEASUREMENT


def numeric_units(announce: Announce) -> dict[str, str | None]:
    """Return the units of the readings of a host that are numbers, by their keys."""
    return {
        reading.key: describe(reading).native_unit_of_measurement
        for reading in announce.readings.values()
        if reading.type is ReadingType.NUMBER
    }


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of a host."""
    coordinator = entry.runtime_data.coordinator
    device = async_get_device(hass, entry)
    async_add_entities([StatusSensor(coordinator, STATUS, STATUS.key, device)])
    async_add_announced_entities(
        entry,
        Platform.SENSOR,
        async_add_entities,
        reading_source(coordinator, Platform.SENSOR, describe, ReadingSensor),
        room_source(coordinator),
        permanent=[STATUS.key],
    )


class ReadingSensor(ReadingEntity, SensorEntity):
    """A reading."""

    @override
    def get_initial_entity_options(self) -> EntityOptionsType | None:
        """Return the options that a new sensor has, its display precision among them.

        Home Assistant adds that by itself, by changing the entity that it has just registered: for
        a fleet that was a quarter of what its first set-up costs.
        """
        options = dict(super().get_initial_entity_options() or {})
        if (precision := self.suggested_display_precision) is not None:
            options[SENSOR_DOMAIN] = {_DISPLAY_PRECISION: precision}
        return options or None

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        available = value is not None
        if not available and self.coordinator.status is Status.ONLINE:
            kind = CATALOGUE.get(self.reading.kind)
            available = kind is not None and kind.nullable
        if self._attr_available is not available:
            self._attr_available = available  # Home Assistant does more at this than comparing.
        self._attr_native_value = value


class StatusSensor(StatusEntity, SensorEntity):
    """The status of the host."""

    @override
    def _update_attrs(self) -> None:
        super()._update_attrs()
        self._attr_native_value = self.coordinator.status
