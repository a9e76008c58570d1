"""The lights of Pilot: monitors of a host that can be dimmed."""

from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.light import LightEntity, LightEntityDescription
from homeassistant.components.light.const import ATTR_BRIGHTNESS, ColorMode
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import callback
from homeassistant.util.color import brightness_to_value, value_to_brightness

from .descriptions import translation_key
from .entity import ARGUMENT, Setting, SettingEntity
from .factory import (
    AnnouncedEntity,
    async_add_announced_entities,
    dimmable_monitors,
    while_paired,
)

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotCoordinator
    from .data import PilotConfigEntry
    from .protocol.announce import Announce
    from .readings import NativeValue

# Hosts carry out what they are asked in their own order.
PARALLEL_UPDATES = 0

_BRIGHTNESS: Final = "screen.brightness"

DESCRIPTIONS: Final = {
    _BRIGHTNESS: LightEntityDescription(
        key=_BRIGHTNESS,
        translation_key=translation_key(_BRIGHTNESS),
        # As with the switch of the screen: no action on an area darkens it by the way.
        entity_category=EntityCategory.CONFIG,
    )
}

_SCALE: Final = (1, 100)
"""Per cent, as hosts say it; 0 is off."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the lights of a host."""
    coordinator = entry.runtime_data.coordinator

    def announced(brightness: Setting, switch: Setting | None) -> AnnouncedEntity:
        return AnnouncedEntity(
            brightness.reading.key,
            (brightness, switch),
            lambda device: MonitorLight(coordinator, brightness, switch, device),
            brightness.reading.device,
        )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [announced(*monitor) for monitor in dimmable_monitors(announce)]

    async_add_announced_entities(
        entry, Platform.LIGHT, async_add_entities, while_paired(coordinator, source)
    )


class MonitorLight(SettingEntity, LightEntity):
    """A monitor that can be dimmed, and switched off where the host can switch it alone.

    One that cannot be switched is as dark as it gets while it is off.
    """

    _attr_color_mode = ColorMode.BRIGHTNESS
    _attr_supported_color_modes = {ColorMode.BRIGHTNESS}  # noqa: RUF012

    def __init__(
        self,
        coordinator: PilotCoordinator,
        brightness: Setting,
        switch: Setting | None,
        device: dr.DeviceEntry,
    ) -> None:
        """Create the light; `switch` is the setting that says whether it is on."""
        super().__init__(coordinator, DESCRIPTIONS[_BRIGHTNESS], brightness, device)
        self._switch = switch

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        if self._switch is not None:
            listen = self.coordinator.async_add_reading_listener
            self.async_on_remove(listen(self._switch.reading.key, self))

    @override
    @callback
    def async_show(self, value: NativeValue | None) -> None:
        # Either of its readings.
        super().async_show(self.coordinator.value(self.reading.key))

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        percent = value if isinstance(value, (int, float)) else None
        self._attr_available = percent is not None
        self._attr_brightness = value_to_brightness(_SCALE, percent) if percent else None
        if self._switch is None:
            self._attr_is_on = None if percent is None else percent > 0
        else:
            on = self.coordinator.value(self._switch.reading.key)
            self._attr_is_on = on if isinstance(on, bool) else None

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Have the host switch it on, at a brightness where one is given."""
        wanted: int | None = kwargs.get(ATTR_BRIGHTNESS)
        if self._switch is not None and not self.is_on:
            await self._async_switch(1)
        if wanted is not None:
            await self.async_request_value(round(brightness_to_value(_SCALE, wanted)))
        elif not self._attr_brightness:
            await self.async_request_value(_SCALE[1])

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Have the host switch it off, or as dark as it gets."""
        if self._switch is None:
            await self.async_request_value(0)
        else:
            await self._async_switch(0)

    async def _async_switch(self, value: int) -> None:
        assert self._switch is not None
        await self.coordinator.commands.async_do(self._switch.command.key, {ARGUMENT: value})
