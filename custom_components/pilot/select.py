"""Selects of Pilot: settings of a host, and what its owner has added, that are a choice."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.const import EntityCategory, Platform

from .descriptions import OWN_COMMAND, category_of, translation_key
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

DESCRIPTIONS: Final = {
    kind: SelectEntityDescription(
        key=kind,
        translation_key=translation_key(kind),
        entity_category=EntityCategory.CONFIG,
    )
    for kind in (
        "sound.output",
        "sound.input",
        "processor.profile",
        "processor.governor",
        "processor.energy_preference",
    )
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the selects of a host."""
    coordinator = entry.runtime_data.coordinator
    async_add_announced_entities(
        entry,
        Platform.SELECT,
        async_add_entities,
        setting_source(
            coordinator,
            DESCRIPTIONS,
            SettingSelect,
            accepts=lambda setting: ARGUMENT in setting.command.options,
        ),
        owners_setting_source(coordinator, Platform.SELECT, _describe_owners, SettingSelect),
    )


def _describe_owners(setting: Setting) -> SelectEntityDescription:
    """Describe what the host's owner has added."""
    return SelectEntityDescription(
        key=setting.reading.kind,
        translation_key=OWN_COMMAND,
        entity_category=category_of(setting.command),
    )


class SettingSelect(SettingEntity, SelectEntity):
    """A setting that is one of several texts."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: SelectEntityDescription,
        setting: Setting,
        device: dr.DeviceEntry,
    ) -> None:
        """Take over the options that the host announces."""
        super().__init__(coordinator, description, setting, device)
        self._attr_options = list(setting.command.options.get(ARGUMENT, setting.reading.options))

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_available = value is not None
        self._attr_current_option = value if isinstance(value, str) else None

    @override
    async def async_select_option(self, option: str) -> None:
        """Have the host choose an option."""
        await self.async_request_value(option)
