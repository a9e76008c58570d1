"""Numbers of Pilot: what can be set on a host, and on what hangs on it.

A setting is a command with a reading that says its present value. What is shown is always what
the host says, never what somebody wishes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, override

from homeassistant.components.number import NumberEntity, NumberEntityDescription, NumberMode
from homeassistant.components.number.const import NumberDeviceClass
from homeassistant.const import (
    LIGHT_LUX,
    EntityCategory,
    Platform,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfPower,
    UnitOfPressure,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
)

from .entity import ReadingEntity
from .kinds import KindMixin
from .setting import ARGUMENT, Setting, async_add_settings

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotConfigEntry, PilotCoordinator
    from .protocol import Limits
    from .readings import NativeValue

# Hosts carry out what they are asked in their own order.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class PilotNumberDescription(NumberEntityDescription, KindMixin):
    """How a kind of setting is drawn; the key is the kind."""

    entity_category: EntityCategory | None = EntityCategory.CONFIG
    mode: NumberMode | None = NumberMode.BOX


DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        PilotNumberDescription(
            key="i2c.interval",
            translation_key="i2c_interval",
            device_class=NumberDeviceClass.DURATION,
            native_unit_of_measurement=UnitOfTime.SECONDS,
        ),
        PilotNumberDescription(key="i2c.average", translation_key="i2c_average"),
        PilotNumberDescription(
            key="i2c.temperature_offset",
            translation_key="i2c_temperature_offset",
            # A difference: no 32 is added to it for who thinks in °F.
            device_class=NumberDeviceClass.TEMPERATURE_DELTA,
            native_unit_of_measurement=UnitOfTemperature.CELSIUS,
        ),
        PilotNumberDescription(
            key="i2c.humidity_offset",
            translation_key="i2c_humidity_offset",
            native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        ),
        PilotNumberDescription(
            key="i2c.pressure_offset",
            translation_key="i2c_pressure_offset",
            device_class=NumberDeviceClass.PRESSURE,
            native_unit_of_measurement=UnitOfPressure.HPA,
        ),
        PilotNumberDescription(
            key="i2c.illuminance_offset",
            translation_key="i2c_illuminance_offset",
            native_unit_of_measurement=LIGHT_LUX,
        ),
        PilotNumberDescription(
            key="i2c.carbon_dioxide_offset",
            translation_key="i2c_carbon_dioxide_offset",
            native_unit_of_measurement=UnitOfRatio.PARTS_PER_MILLION,
        ),
        PilotNumberDescription(
            key="i2c.voltage_offset",
            translation_key="i2c_voltage_offset",
            device_class=NumberDeviceClass.VOLTAGE,
            native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        ),
        PilotNumberDescription(
            key="i2c.current_offset",
            translation_key="i2c_current_offset",
            device_class=NumberDeviceClass.CURRENT,
            native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        ),
        PilotNumberDescription(
            key="i2c.power_offset",
            translation_key="i2c_power_offset",
            device_class=NumberDeviceClass.POWER,
            native_unit_of_measurement=UnitOfPower.WATT,
        ),
    )
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the numbers of a host."""
    async_add_settings(entry, Platform.NUMBER, DESCRIPTIONS, async_add_entities, _make)


def _make(coordinator: PilotCoordinator, setting: Setting, device: dr.DeviceEntry) -> SettingNumber:
    return SettingNumber(coordinator, DESCRIPTIONS[setting.kind], setting, device)


class SettingNumber(ReadingEntity, NumberEntity):
    """A setting."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: PilotNumberDescription,
        setting: Setting,
        device: dr.DeviceEntry,
    ) -> None:
        """Take over what the host says that it may be."""
        super().__init__(coordinator, description, setting.reading, device)
        self._command = setting.command.key
        limits: Limits = setting.command.limits[ARGUMENT]
        self._attr_native_min_value = limits.minimum
        self._attr_native_max_value = limits.maximum
        if limits.step is not None:
            self._attr_native_step = limits.step

    @override
    def _take(self, value: NativeValue | None) -> None:
        self._attr_available = value is not None
        self._attr_native_value = value if isinstance(value, (int, float)) else None

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Have the host set it; it says by itself what it is then."""
        await self.coordinator.control.async_do(self._command, {ARGUMENT: value})
