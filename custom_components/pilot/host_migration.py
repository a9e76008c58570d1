"""Move an entry to another host: the same computer after a new installation."""

from typing import TYPE_CHECKING

from homeassistant.config_entries import SOURCE_IGNORE
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .backfill.runtime import BACKLOG
from .const import DOMAIN
from .devices import unique_id
from .ignored_hosts import async_get_removed_hosts
from .kept_announces import async_get_kept_announces
from .repairs import async_forget_issues

if TYPE_CHECKING:
    from homeassistant.config_entries import ConfigEntry


async def async_move_to(hass: HomeAssistant, entry: ConfigEntry, new_id: str) -> None:
    """Give an entry, its entities and its devices the id of another host, and nothing else.

    Names, areas, entity ids and history stay. The entry must not be loaded meanwhile.
    """
    assert entry.unique_id is not None
    old_id = entry.unique_id
    for other in hass.config_entries.async_entries(DOMAIN):
        if other.unique_id == new_id and other.source == SOURCE_IGNORE:
            await hass.config_entries.async_remove(other.entry_id)

    @callback
    def renamed(entity: er.RegistryEntry) -> dict[str, str]:
        key = entity.unique_id.removeprefix(unique_id(old_id, ""))
        return {"new_unique_id": unique_id(new_id, key)}

    await er.async_migrate_entries(hass, entry.entry_id, renamed)
    devices = dr.async_get(hass)
    for device in dr.async_entries_for_config_entry(devices, entry.entry_id):
        devices.async_update_device(
            device.id,
            new_identifiers={
                (domain, new_id + identifier.removeprefix(old_id))
                for domain, identifier in device.identifiers
            },
        )
    if (importer := hass.data.get(BACKLOG)) is None:
        hass.config_entries.async_update_entry(entry, unique_id=new_id)
    else:
        await importer.async_move(entry, new_id)
    async_forget_issues(hass, old_id)
    (await async_get_kept_announces(hass)).async_forget(old_id)
    # The broker may keep the old installation's announce for ever.
    (await async_get_removed_hosts(hass)).async_add(old_id)
