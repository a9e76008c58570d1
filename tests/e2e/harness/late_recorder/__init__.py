"""Has the recorder of the Home Assistant that it is loaded into compile no statistics for now.

The recorder compiles every five minutes of real time, whatever its played clock shows, and the
hours before that are lost to it: its next start goes on where it compiled last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeassistant.helpers.recorder import get_instance

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant, ServiceCall
    from homeassistant.helpers.typing import ConfigType

DOMAIN = "late_recorder"


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Offer the action that leaves compiling to the next start."""

    async def compile_at_next_start(call: ServiceCall) -> None:
        recorder = get_instance(hass)
        # The recorder has no other switch for it.
        assert recorder._periodic_listener
        recorder._periodic_listener()
        recorder._periodic_listener = None

    hass.services.async_register(DOMAIN, "compile_at_next_start", compile_at_next_start)
    return True
