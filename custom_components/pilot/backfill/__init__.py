"""Nothing lost: what hosts measured while they were not heard, in the recorder's statistics."""

from typing import TYPE_CHECKING

from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.recorder import DATA_INSTANCE

from ..const import LOGGER
from .importer import Importer
from .runtime import BACKLOG

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant


async def async_setup_backlog(hass: HomeAssistant) -> None:
    """Take up what waits, if there is a recorder."""
    if DATA_INSTANCE not in hass.data:
        return
    importer = Importer(hass)
    try:
        await importer.async_start()
    except HomeAssistantError as err:
        # Hosts keep what they have; what is stored is not touched.
        LOGGER.error("What was measured during outages waits until its file can be read: %s", err)
        return
    hass.data[BACKLOG] = importer
