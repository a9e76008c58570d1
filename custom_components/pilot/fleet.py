"""The fleet key of the house: one secret that many hosts share, instead of codes."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from homeassistant.config_entries import SOURCE_MQTT, ConfigEntryState
from homeassistant.helpers import discovery_flow
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo

from .const import CONF_PAIRED, CONF_PREFIX, DOMAIN
from .discovery import async_search
from .flow_base import async_dismiss_offer, async_mqtt_problem
from .protocol.topics import DEFAULT_PREFIX, Topics
from .trust import async_get_trust

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

    from .trust import TrustStore


async def async_set_fleet_key(hass: HomeAssistant, secret: bytes | None, *, add: bool) -> None:
    """Keep another fleet key, or none, and let the hosts that it concerns follow.

    Args:
        hass: Home Assistant.
        secret: The key; None forgets it.
        add: Whether hosts that prove it are added without a question.
    """
    trust = await async_get_trust(hass)
    await trust.async_set_fleet(secret, add=add)
    entries = hass.config_entries.async_entries(DOMAIN, include_ignore=False)
    for entry in entries:
        # Those that have no key of their own may be of the fleet now, or not any more.
        if entry.state is ConfigEntryState.LOADED and not entry.data.get(CONF_PAIRED):
            hass.config_entries.async_schedule_reload(entry.entry_id)
    if secret is None or await async_mqtt_problem(hass) is not None:
        return
    prefixes = {DEFAULT_PREFIX, *(entry.data[CONF_PREFIX] for entry in entries)}
    await asyncio.gather(*(_async_offer(hass, trust, prefix) for prefix in prefixes))


async def _async_offer(hass: HomeAssistant, trust: TrustStore, prefix: str) -> None:
    """Offer the hosts that prove the key: MQTT does not repeat an announce that it has seen."""
    found = await async_search(hass, prefix)
    for host_id in found.hosts:
        topic, payload = Topics(prefix, host_id).announce, found.payloads[host_id]
        if trust.proves_fleet(prefix, host_id, topic, payload):
            async_dismiss_offer(hass, host_id)
            discovery_flow.async_create_flow(
                hass,
                DOMAIN,
                {"source": SOURCE_MQTT},
                MqttServiceInfo(topic, payload, 1, True, topic, monotonic()),
            )
