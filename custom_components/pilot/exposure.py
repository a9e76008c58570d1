"""What can end work, and keeping it from voice assistants.

The entities of commands of the kinds `power.*` and `session.*` carry an entity category, so that
Home Assistant exposes none of them to voice assistants by itself. Until version 1.2 of the config
entry they had none: Home Assistant exposed the power switch to Assist, and keeps to that.
"""

from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.homeassistant.exposed_entities import (
    KNOWN_ASSISTANTS,
    async_expose_entity,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from . import button, issues, switch
from .const import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .coordinator import PilotConfigEntry

ENDS_WORK: Final = frozenset(
    {
        (DOMAIN, Platform.SWITCH, switch.POWER.translation_key),
        *(
            (DOMAIN, Platform.BUTTON, description.translation_key)
            for kind, description in button.DESCRIPTIONS.items()
            if kind.startswith(("power.", "session."))
        ),
    }
)
"""Platform, domain and translation key of the entities that can end work."""


@callback
def async_withhold(hass: HomeAssistant, entry_id: str) -> None:
    """Withdraw what can end a host's work from all voice assistants."""
    for entity in _exposed(hass, entry_id):
        for assistant in KNOWN_ASSISTANTS:
            if _is_exposed(entity, assistant):
                async_expose_entity(hass, assistant, entity.entity_id, should_expose=False)


@callback
def async_migrate(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Give entities of earlier versions their category, and report those that are exposed.

    The entity itself takes over its category only when its host announces it again, which may
    be in weeks; Home Assistant may decide on exposure any time before.
    """
    registry = er.async_get(hass)
    for entity in _ending_work(hass, entry.entry_id):
        registry.async_update_entity(entity.entity_id, entity_category=EntityCategory.CONFIG)
    if exposed := [entity.entity_id for entity in _exposed(hass, entry.entry_id)]:
        issues.async_report_exposed(hass, entry, exposed)


@callback
def async_review(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Withdraw the report once nothing of it is exposed any more."""
    if not _exposed(hass, entry.entry_id):
        issues.async_forget_exposed(hass, entry)


def _ending_work(hass: HomeAssistant, entry_id: str) -> list[er.RegistryEntry]:
    return [
        entity
        for entity in er.async_entries_for_config_entry(er.async_get(hass), entry_id)
        if (entity.platform, entity.domain, entity.translation_key) in ENDS_WORK
    ]


def _exposed(hass: HomeAssistant, entry_id: str) -> list[er.RegistryEntry]:
    return [
        entity
        for entity in _ending_work(hass, entry_id)
        if any(_is_exposed(entity, assistant) for assistant in KNOWN_ASSISTANTS)
    ]


def _is_exposed(entity: er.RegistryEntry, assistant: str) -> bool:
    """Say whether Home Assistant or the user has exposed an entity.

    Asking Home Assistant would have it decide where nothing is decided yet.
    """
    options: Mapping[str, Any] | None = entity.options.get(assistant)
    return bool(options and options.get("should_expose"))
