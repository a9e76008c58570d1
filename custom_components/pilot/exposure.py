"""The entities that can end work, and how they are kept from voice assistants.

The entities of commands of the kinds `power.*`, `session.*` and `services.*` carry an entity
category, so that Home Assistant exposes none of them to voice assistants by itself. Until version
1.2 of the config entry they had none: Home Assistant exposed the power switch to Assist, and keeps
to that.
"""

from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.homeassistant.exposed_entities import (
    KNOWN_ASSISTANTS,
    async_expose_entity,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .const import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

_SWITCHES: Final = ("power", "services_switch")
_BUTTONS: Final = ("power_", "session_", "services_")


def ends_work(domain: str, translation_key: str | None) -> bool:
    """Return whether an entity of Pilot can end work, by its domain and translation key.

    The translation key of a button is the kind of its command, with `_` for `.`.
    """
    if translation_key is None:
        return False
    if domain == Platform.SWITCH:
        return translation_key in _SWITCHES
    return domain == Platform.BUTTON and translation_key.startswith(_BUTTONS)


@callback
def async_withhold(hass: HomeAssistant, entry_id: str) -> None:
    """Withdraw the entities of a host that can end work from all voice assistants."""
    for entity in _exposed(hass, entry_id):
        for assistant in KNOWN_ASSISTANTS:
            if _is_exposed(entity, assistant):
                async_expose_entity(hass, assistant, entity.entity_id, should_expose=False)


@callback
def async_categorize(hass: HomeAssistant, entry_id: str) -> None:
    """Give entities of earlier versions that can end work their entity category.

    The entity itself takes over its category only when its host announces it again, which may
    be in weeks; Home Assistant may decide on exposure any time before.
    """
    registry = er.async_get(hass)
    for entity in _ending_work(hass, entry_id):
        registry.async_update_entity(entity.entity_id, entity_category=EntityCategory.CONFIG)


@callback
def exposed_entities(hass: HomeAssistant, entry_id: str) -> list[str]:
    """Return the ids of entities that can end work and are exposed to a voice assistant."""
    return [entity.entity_id for entity in _exposed(hass, entry_id)]


def _ending_work(hass: HomeAssistant, entry_id: str) -> list[er.RegistryEntry]:
    return [
        entity
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry_id)
        if entity.platform == DOMAIN and ends_work(entity.domain, entity.translation_key)
    ]


def _exposed(hass: HomeAssistant, entry_id: str) -> list[er.RegistryEntry]:
    return [
        entity
        for entity in _ending_work(hass, entry_id)
        if any(_is_exposed(entity, assistant) for assistant in KNOWN_ASSISTANTS)
    ]


def _is_exposed(entity: er.RegistryEntry, assistant: str) -> bool:
    """Return whether Home Assistant or the user has exposed an entity.

    Asking Home Assistant would have it decide where nothing is decided yet.
    """
    options: Mapping[str, Any] | None = entity.options.get(assistant)
    return bool(options and options.get("should_expose"))
