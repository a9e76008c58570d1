"""The entities of Pilot that its triggers and conditions are about."""

from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .const import DOMAIN
from .devices import unique_id

STATUS: Final = "status"
SESSION_EVENT: Final = "session_event"
SESSION_LOCKED: Final = "session.locked"


@callback
def entities_with_key(hass: HomeAssistant, entity_ids: set[str], key: str) -> set[str]:
    """Return those of the entities that have this key below their host.

    The whole unique id is compared: hosts choose the names of custom readings, so that
    `custom.ups_status` ends as the status of a host does.
    """
    registry = er.async_get(hass)
    hosts = {
        entry.entry_id: entry.unique_id
        for entry in hass.config_entries.async_entries(DOMAIN)
        if entry.unique_id is not None
    }
    return {
        entity_id
        for entity_id in entity_ids
        if (entity := registry.async_get(entity_id)) is not None
        and entity.platform == DOMAIN
        and (host_id := hosts.get(entity.config_entry_id or "")) is not None
        and entity.unique_id == unique_id(host_id, key)
    }
