"""The switches of Pilot: the power of a host, its settings, and what its owner has added."""

from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory, Platform

from .calls_on_all import async_is_for_all
from .coordinator import Status
from .descriptions import OWN_COMMAND, category_of, translation_key
from .entity import ARGUMENT, PilotEntity, Setting, SettingEntity, entity_key
from .exposure import ends_work
from .factory import (
    AnnouncedEntity,
    async_add_announced_entities,
    dimmable_monitors,
    owners_setting_source,
    setting_source,
    while_paired,
)
from .wake_on_lan import async_wake, wakeable

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
    from .protocol.announce import Announce
    from .readings import NativeValue

# Hosts are independent of each other.
PARALLEL_UPDATES = 0

SHUTDOWN: Final = "power.shutdown"

POWER: Final = SwitchEntityDescription(
    key="power",
    translation_key="power",
    # As with the buttons that end work: no action on an area, and no assistant, turns it off.
    entity_category=EntityCategory.CONFIG,
)

DESCRIPTIONS: Final = {
    kind: SwitchEntityDescription(
        key=kind,
        translation_key=translation_key(kind),
        # What a user sits in front of: no action on an area darkens it by the way.
        entity_category=EntityCategory.CONFIG,
    )
    for kind in (
        "screen.on",
        "screen.keep_awake",
        "sound.output_muted",
        "sound.input_muted",
        "processor.boost",
        "services.switch",
    )
}

_STATES: Final = {
    Status.ONLINE: True,
    Status.ASLEEP: False,
    Status.OFF: False,
}
"""Whether a host is on, by its status; that of a lost one is not known."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the switches of a host."""
    coordinator = entry.runtime_data.coordinator
    key = entity_key(POWER)
    switch = AnnouncedEntity(
        key, POWER, lambda device: PowerSwitch(coordinator, POWER, key, device)
    )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [switch] if SHUTDOWN in announce.commands else []

    async_add_announced_entities(
        entry,
        Platform.SWITCH,
        async_add_entities,
        while_paired(coordinator, source),
        setting_source(
            coordinator,
            DESCRIPTIONS,
            SettingSwitch,
            accepts=lambda setting: ARGUMENT in setting.command.limits,
            elsewhere=_of_lights,
        ),
        owners_setting_source(coordinator, Platform.SWITCH, _describe_owners, OwnersSwitch),
    )


def _of_lights(announce: Announce) -> set[str]:
    """Return the keys of the readings that say whether a monitor is on that is a light."""
    return {switch.reading.key for _, switch in dimmable_monitors(announce) if switch}


def _describe_owners(setting: Setting) -> SwitchEntityDescription:
    """Describe what the host's owner has added."""
    return SwitchEntityDescription(
        key=setting.reading.kind,
        translation_key=OWN_COMMAND,
        entity_category=category_of(setting.command),
    )


class PowerSwitch(PilotEntity, SwitchEntity):
    """Off shuts the host down, on wakes it over the network."""

    @override
    def _update_attrs(self) -> None:
        status = self.coordinator.status
        announce = self.coordinator.data
        can_wake = announce is not None and bool(wakeable(announce.host.macs))
        self._attr_available = status is Status.ONLINE or (
            can_wake and status is not Status.NO_BROKER
        )
        self._attr_is_on = _STATES.get(status)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Shut the host down, unless it is off, or all switches are to be turned off."""
        if await async_is_for_all(self.hass, self._context, self.entity_id):
            return
        if self.coordinator.status is not Status.OFF:
            await self.coordinator.commands.async_do(SHUTDOWN)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Wake the host, unless it is online."""
        if self.coordinator.status is not Status.ONLINE:
            await async_wake(self.hass, self.coordinator)


class SettingSwitch(SettingEntity, SwitchEntity):
    """A setting that is on or off: 1 or 0 for the host."""

    @override
    def _set_value(self, value: NativeValue | None) -> None:
        self._attr_available = value is not None
        self._attr_is_on = value if isinstance(value, bool) else None

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Have the host set it."""
        await self._async_set(1)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Have the host set it back."""
        await self._async_set(0)

    async def _async_set(self, value: int) -> None:
        """Ask for it; an action on all switches at once ends no work."""
        if ends_work(Platform.SWITCH, self.entity_description.translation_key) and (
            await async_is_for_all(self.hass, self._context, self.entity_id)
        ):
            return
        await self.async_request_value(value)


class OwnersSwitch(SettingSwitch):
    """What the owner of a host has added: `on` or `off` for the host."""

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Have the host switch it on."""
        await self._async_request("on")

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Have the host switch it off."""
        await self._async_request("off")

    async def _async_request(self, value: str) -> None:
        """Ask for it; an action on all switches at once ends no work."""
        if self.setting.command.harmless or not await async_is_for_all(
            self.hass, self._context, self.entity_id
        ):
            await self.async_request_value(value)
