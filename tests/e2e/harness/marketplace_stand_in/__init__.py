"""Does what Home Assistant's Marketplace does behind a download: looks for new integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeassistant.loader import async_clear_custom_components_cache, async_get_custom_components

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant, ServiceCall
    from homeassistant.helpers.typing import ConfigType

DOMAIN = "marketplace_stand_in"


async def async_setup(hass: HomeAssistant, _: ConfigType) -> bool:
    """Offer the action."""

    async def rescan(_: ServiceCall) -> None:
        async_clear_custom_components_cache(hass)
        await async_get_custom_components(hass)

    hass.services.async_register(DOMAIN, "rescan", rescan)
    return True
