"""The quantities that rooms have statistics of, and the entities that measure them."""

from dataclasses import dataclass
from typing import Final

from homeassistant.components.sensor import (
    ATTR_STATE_CLASS,
    DOMAIN as SENSOR,
    SensorDeviceClass,
    SensorStateClass,
)
from homeassistant.const import LIGHT_LUX, UnitOfPressure, UnitOfRatio, UnitOfTemperature
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util.unit_conversion import (
    BaseUnitConverter,
    PressureConverter,
    TemperatureConverter,
    UnitlessRatioConverter,
)

from ..const import DOMAIN
from .store import Source


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that a room has a statistic of; the key is that of its name, too."""

    key: str
    unit: str
    converter: type[BaseUnitConverter] | None = None

    @property
    def unit_class(self) -> str | None:
        """The unit class as the recorder has it."""
        return None if self.converter is None else self.converter.UNIT_CLASS

    def understands(self, unit: str | None) -> bool:
        """Say whether values in this unit can be had in the quantity's."""
        return unit == self.unit or (
            self.converter is not None and unit in self.converter.VALID_UNITS
        )


QUANTITIES: Final = {
    quantity.key: quantity
    for quantity in (
        Quantity("temperature", UnitOfTemperature.CELSIUS, TemperatureConverter),
        Quantity("humidity", UnitOfRatio.PERCENTAGE, UnitlessRatioConverter),
        Quantity("pressure", UnitOfPressure.HPA, PressureConverter),
        Quantity("illuminance", LIGHT_LUX),
        Quantity("carbon_dioxide", UnitOfRatio.PARTS_PER_MILLION, UnitlessRatioConverter),
    )
}

_BY_DEVICE_CLASS: Final[dict[str | None, str]] = {
    SensorDeviceClass.TEMPERATURE: "temperature",
    SensorDeviceClass.HUMIDITY: "humidity",
    SensorDeviceClass.PRESSURE: "pressure",
    SensorDeviceClass.ATMOSPHERIC_PRESSURE: "pressure",
    SensorDeviceClass.ILLUMINANCE: "illuminance",
    SensorDeviceClass.CO2: "carbon_dioxide",
}


def quantity_of(entity: er.RegistryEntry) -> str | None:
    """Return what an entity measures of the room that its device stands in, if anything.

    Of Pilot's own only the kinds of room sensors do: a processor is hot in any room.
    """
    if entity.domain != SENSOR or entity.entity_category is not None:
        return None
    if entity.platform == DOMAIN:
        kind = (entity.translation_key or "").removesuffix("_of")
        return kind if kind in QUANTITIES else None
    if (entity.capabilities or {}).get(ATTR_STATE_CLASS) != SensorStateClass.MEASUREMENT:
        return None
    return _BY_DEVICE_CLASS.get(entity.device_class or entity.original_device_class)


@callback
def async_sources(hass: HomeAssistant, device_id: str) -> dict[str, Source]:
    """Return the statistics that a device's entities make."""
    return {
        entity.id: Source(entity.entity_id, quantity)
        for entity in er.async_entries_for_device(
            er.async_get(hass), device_id, include_disabled_entities=True
        )
        if (quantity := quantity_of(entity)) is not None
    }
