"""Pilot: the computers of a house, as their agents report them over MQTT."""

from typing import TYPE_CHECKING

from homeassistant.config_entries import ConfigEntryState
from homeassistant.helpers import config_validation as cv, device_registry as dr

from .backfill import async_setup_backlog
from .backfill.receiver import BacklogReceiver
from .backfill.runtime import BACKLOG
from .bundled_release import async_setup_shipped
from .calls_on_all import async_watch_calls
from .cards import async_setup_cards
from .const import CONF_CLEAR_ON_REMOVE, CONF_PREFIX, DOMAIN, PLATFORMS
from .coordinator import PilotCoordinator, Status
from .data import PilotConfigEntry, PilotRuntimeData
from .devices import device_is_announced
from .discovery import async_ask_if_unheard, async_clear_retained, async_setup_search
from .exposure import async_categorize, exposed_entities
from .ignored_hosts import async_get_removed_hosts
from .kept_announces import async_get_kept_announces
from .pacing import async_get_pacer
from .pair import async_part
from .repairs import (
    async_forget_exposed,
    async_forget_issues,
    async_report_exposed,
    async_review_exposed,
)
from .rooms import async_setup_placements
from .sensor import numeric_units
from .services import async_setup_services
from .takeover import async_take_over
from .trust import async_get_trust

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers.typing import ConfigType

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set up what does not depend on hosts: actions, the release, placements, backlogs, cards."""
    async_setup_services(hass)
    async_watch_calls(hass)
    await async_setup_shipped(hass)
    await async_setup_placements(hass)
    await async_setup_backlog(hass)
    await async_setup_cards(hass)
    async_setup_search(hass)
    return True


async def async_migrate_entry(hass: HomeAssistant, entry: PilotConfigEntry) -> bool:
    """Migrate an entry of an earlier version; one of a later version cannot be loaded."""
    if entry.version > 1:
        return False
    if entry.minor_version < 2:
        async_categorize(hass, entry.entry_id)
        if exposed := exposed_entities(hass, entry.entry_id):
            async_report_exposed(hass, entry, exposed)
        hass.config_entries.async_update_entry(entry, minor_version=2)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: PilotConfigEntry) -> bool:
    """Set up a host, while there is time beside other hosts that are set up with it."""
    await async_get_pacer(hass).async_turn()
    async_review_exposed(hass, entry)
    coordinator = PilotCoordinator(
        hass, entry, await async_get_trust(hass), await async_get_kept_announces(hass)
    )
    entry.runtime_data = PilotRuntimeData(coordinator)
    await coordinator.async_config_entry_first_refresh()
    await async_take_over(hass, entry)
    await BacklogReceiver(coordinator, numeric_units).async_start()
    # A host that is set up is wanted, even if its config entry was removed before.
    (await async_get_removed_hosts(hass)).async_discard(coordinator.host_id)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    async_ask_if_unheard(hass, entry, lambda: coordinator.status is Status.UNKNOWN)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: PilotConfigEntry) -> bool:
    """Unload a host."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Do not discover the host again, and clear its retained messages if the user wants that."""
    assert entry.unique_id is not None
    async_forget_issues(hass, entry.unique_id)
    async_forget_exposed(hass, entry)
    if (importer := hass.data.get(BACKLOG)) is not None:
        await importer.async_forget(entry.unique_id)
    await async_part(hass, entry.data[CONF_PREFIX], entry.unique_id, entry.title)
    (await async_get_removed_hosts(hass)).async_add(entry.unique_id)
    (await async_get_kept_announces(hass)).async_forget(entry.unique_id)
    if entry.options.get(CONF_CLEAR_ON_REMOVE):
        await async_clear_retained(hass, entry.data[CONF_PREFIX], entry.unique_id)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: PilotConfigEntry, device: dr.AnyDeviceEntry
) -> bool:
    """Allow the removal of devices that the host does not announce."""
    if entry.state is not ConfigEntryState.LOADED:
        return True
    announce = entry.runtime_data.coordinator.data
    return announce is not None and not device_is_announced(announce, device)
