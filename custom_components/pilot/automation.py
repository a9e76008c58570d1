"""What triggers and conditions are about, out of everything that a target may hold."""

from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .const import DOMAIN

STATUS: Final = "_status"
SESSION_EVENT: Final = "_session_event"
SESSION_LOCKED: Final = "_session.locked"


@callback
def entities_of(hass: HomeAssistant, entities: set[str], ending: str) -> set[str]:
    """Return those that are Pilot's, and known by something that ends so."""
    registry = er.async_get(hass)
    return {
        entity_id
        for entity_id in entities
        if (entity := registry.async_get(entity_id)) is not None
        and entity.platform == DOMAIN
        and entity.unique_id.endswith(ending)
    }
