"""Takes the entities over that Home Assistant's MQTT discovery has made of the same host.

An agent can describe its host by MQTT discovery, for a Home Assistant without this integration.
Its entities have the unique ids that they have here. When the host is added here, MQTT unloads
them without forgetting them, and they go on as Pilot's: with their ids, names, areas and history.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from homeassistant.components import mqtt
from homeassistant.components.mqtt.const import CONF_DISCOVERY_PREFIX, DEFAULT_PREFIX
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import entity_sources
from homeassistant.helpers.event import async_track_state_change_event

from .const import DOMAIN, LOGGER
from .devices import async_get_device, unique_id

if TYPE_CHECKING:
    from .data import PilotConfigEntry

MIGRATE: Final = '{"migrate_discovery": true}'
"""Has MQTT unload entities and keep them in the registry."""
PATIENCE: Final = 10.0
"""Seconds in which MQTT unloads entities."""


async def async_take_over(hass: HomeAssistant, entry: PilotConfigEntry) -> None:
    """Take over what MQTT discovery has made of a host, and end its discovery."""
    assert entry.unique_id is not None
    registry = er.async_get(hass)
    # Not all of the registry: a thousand hosts look through this, each at its start.
    theirs = [
        entity
        for mqtt_entry in hass.config_entries.async_entries(mqtt.DOMAIN)
        for entity in er.async_entries_for_config_entry(registry, mqtt_entry.entry_id)
        if entity.unique_id.startswith(unique_id(entry.unique_id, ""))
    ]
    if not theirs:
        return
    topic = f"{_discovery_prefix(hass)}/device/{entry.unique_id}/config"
    try:
        await mqtt.async_publish(hass, topic, MIGRATE, qos=1)
        async with asyncio.timeout(PATIENCE):
            await _async_wait_until_unloaded(hass, {entity.entity_id for entity in theirs})
        # The agent hears that too, and says nothing there any more.
        await mqtt.async_publish(hass, topic, "", qos=1, retain=True)
    except (HomeAssistantError, TimeoutError) as err:
        LOGGER.warning(
            "The entities that MQTT discovery has made of %s could not be taken over, so they "
            "exist twice now. Reload the entry of %s to try again: %s",
            entry.title,
            entry.title,
            err,
        )
        return
    device = async_get_device(hass, entry)
    devices = {entity.device_id for entity in theirs if entity.device_id is not None}
    for entity in theirs:
        if registry.async_get_entity_id(entity.domain, DOMAIN, entity.unique_id) is not None:
            registry.async_remove(entity.entity_id)
            continue
        registry.async_update_entity_platform(
            entity.entity_id,
            DOMAIN,
            new_config_entry_id=entry.entry_id,
            new_device_id=device.id,
        )
    for device_id in devices:
        _async_replace_device(hass, device_id, device.id)
    LOGGER.info("%s entities of %s were taken over from MQTT", len(theirs), entry.title)


@callback
def _discovery_prefix(hass: HomeAssistant) -> str:
    for entry in hass.config_entries.async_entries(mqtt.DOMAIN):
        settings = {**entry.data, **entry.options}
        return str(settings.get(CONF_DISCOVERY_PREFIX, DEFAULT_PREFIX))
    return DEFAULT_PREFIX


@callback
def _async_replace_device(hass: HomeAssistant, theirs: str, ours: str) -> None:
    """Remove a device of MQTT's that has nothing left; ours takes over what the user has set."""
    registry = dr.async_get(hass)
    old = registry.async_get(theirs)
    if old is None or er.async_entries_for_device(
        er.async_get(hass), theirs, include_disabled_entities=True
    ):
        return
    registry.async_update_device(
        ours, area_id=old.area_id, labels=old.labels, name_by_user=old.name_by_user
    )
    registry.async_remove_device(theirs)


async def _async_wait_until_unloaded(hass: HomeAssistant, entity_ids: set[str]) -> None:
    unloaded = asyncio.Event()

    @callback
    def look(_: Event[EventStateChangedData] | None = None) -> None:
        if not any(entity_id in entity_sources(hass) for entity_id in entity_ids):
            unloaded.set()

    unsubscribe = async_track_state_change_event(hass, entity_ids, look)
    try:
        look()
        await unloaded.wait()
    finally:
        unsubscribe()
