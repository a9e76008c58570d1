"""Numbers of Pilot: the settings of a host, and of the devices below it, that are numbers."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.number import NumberEntity, NumberEntityDescription, NumberMode
from homeassistant.components.number.const import NumberDeviceClass
from homeassistant.const import (
    EntityCategory,
    Platform,
)

from .descriptions import OWN_COMMAND, category_of, native_unit, translation_key
from .entity import ARGUMENT, Setting, SettingEntity
from .factory import async_add_announced_entities, owners_setting_source, setting_source

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotCoordinator
    from .data import PilotConfigEntry
    from .readings import NativeValue

# Hosts carry out what they are asked in their own order.
PARALLEL_UPDATES = 0


def _describe(
    kind: str,
    device_class: NumberDeviceClass | None = None,
    mode: NumberMode = NumberMode.BOX,
) -> NumberEntityDescription:
    """Describe how a kind of setting is drawn; its unit stands in the catalogue."""
    return NumberEntityDescription(
        key=kind,
        translation_key=translation_key(kind),
        device_class=device_class,
        entity_category=EntityCategory.CONFIG,
        mode=mode,
        native_unit_of_measurement=native_unit(kind),
    )


DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        _describe(
            "screen.time_out",
            device_class=NumberDeviceClass.DURATION,
        ),
        _describe("sound.output_volume", mode=NumberMode.SLIDER),
        _describe("sound.input_volume", mode=NumberMode.SLIDER),
        _describe(
            "processor.minimum_frequency",
            device_class=NumberDeviceClass.FREQUENCY,
            mode=NumberMode.SLIDER,
        ),
        _describe(
            "processor.maximum_frequency",
            device_class=NumberDeviceClass.FREQUENCY,
            mode=NumberMode.SLIDER,
        ),
        _describe(
            "i2c.interval",
            device_class=NumberDeviceClass.DURATION,
        ),
        _describe("i2c.average"),
        _describe(
            "i2c.temperature_offset",
            # A difference: no 32 is added to it for who thinks in °F.
            device_class=NumberDeviceClass.TEMPERATURE_DELTA,
        ),
        _describe(
            "i2c.humidity_offset",
        ),
        _describe(
            "i2c.pressure_offset",
            device_class=NumberDeviceClass.PRESSURE,
        ),
        _describe(
            "i2c.illuminance_offset",
        ),
        _describe(
            "i2c.carbon_dioxide_offset",
        ),
        _describe(
            "i2c.voltage_offset",
            device_class=NumberDeviceClass.VOLTAGE,
        ),
        _describe(
            "i2c.current_offset",
            device_class=NumberDeviceClass.CURRENT,
        ),
        _describe(
            "i2c.power_offset",
            device_class=NumberDeviceClass.POWER,
        ),
    )
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the numbers of a host."""
    async_add_announced_entities(
        entry,
        Platform.NUMBER,
        async_add_entities,
        setting_source(
            entry.runtime_data.coordinator,
            DESCRIPTIONS,
            SettingNumber,
            accepts=lambda setting: ARGUMENT in setting.command.limits,
        ),
        owners_setting_source(
            entry.runtime_data.coordinator, Platform.NUMBER, _describe_owners, SettingNumber
        ),
    )


def _describe_owners(setting: Setting) -> NumberEntityDescription:
    """Describe what the host's owner has added."""
    return NumberEntityDescription(
        key=setting.reading.kind,
        translation_key=OWN_COMMAND,
        entity_category=category_of(setting.command),
        native_unit_of_measurement=setting.reading.unit,
    )


class SettingNumber(SettingEntity, NumberEntity):
    """A setting that is a number within limits."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: NumberEntityDescription,
        setting: Setting,
        device: dr.DeviceEntry,
    ) -> None:
        """Take over the limits that the host announces."""
        super().__init__(coordinator, description, setting, device)
        limits = setting.command.limits[ARGUMENT]
        self._attr_native_min_value = limits.minimum
        self._attr_native_max_value = limits.maximum
        if limits.step is not None:
            self._attr_native_step = limits.step

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_available = value is not None
        self._attr_native_value = value if isinstance(value, (int, float)) else None

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Have the host set the number."""
        await self.async_request_value(value)
