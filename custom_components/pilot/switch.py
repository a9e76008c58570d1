"""The switch of Pilot: a host's power."""

from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory, Platform

from .coordinator import PilotConfigEntry, Status
from .offered import OfferedEntity, async_add_offered, entity_key
from .wake_on_lan import async_wake, wakeable

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .protocol.announce import Announce

# Hosts are independent of each other.
PARALLEL_UPDATES = 0

SHUTDOWN: Final = "power.shutdown"

POWER: Final = SwitchEntityDescription(
    key="power",
    translation_key="power",
    # As with the buttons that end work: no action on an area, and no assistant, turns it off.
    entity_category=EntityCategory.CONFIG,
)

_STATES: Final = {
    Status.ONLINE: True,
    Status.ASLEEP: False,
    Status.OFF: False,
}
"""Whether a host is on. Of one that is lost nobody knows."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the switch of a host."""

    def offered(announce: Announce) -> dict[str, SwitchEntityDescription]:
        if not entry.runtime_data.control.paired or SHUTDOWN not in announce.commands:
            return {}
        return {POWER.key: POWER}

    async_add_offered(
        entry,
        Platform.SWITCH,
        async_add_entities,
        offered,
        lambda coordinator, description, device: PowerSwitch(
            coordinator, description, entity_key(description), device
        ),
    )


class PowerSwitch(OfferedEntity, SwitchEntity):
    """Off shuts the host down, on wakes it over the network."""

    @override
    def _take(self) -> None:
        status = self.coordinator.status
        announce = self.coordinator.announce
        can_wake = announce is not None and bool(wakeable(announce.host.macs))
        self._attr_available = status is Status.ONLINE or (
            can_wake and status is not Status.NO_BROKER
        )
        self._attr_is_on = _STATES.get(status)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Shut the host down; one that is off is what it shall be."""
        if self.coordinator.status is not Status.OFF:
            await self.coordinator.control.async_do(SHUTDOWN)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Wake the host; one that is online needs no waking."""
        if self.coordinator.status is not Status.ONLINE:
            await async_wake(self.hass, self.coordinator)
