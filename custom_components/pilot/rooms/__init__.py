"""Which device stood in which room, from when to when, and what the rooms' history is then."""

from typing import TYPE_CHECKING

from homeassistant.helpers.recorder import DATA_INSTANCE

from ..storage import UnreadableFileError
from .runtime import PLACEMENTS, Placements
from .services import async_setup_services
from .statistics import RoomStatistics
from .tracker import Tracker
from .websocket import async_setup_websocket

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant


async def async_setup_placements(hass: HomeAssistant) -> None:
    """Follow where devices stand from now on, whatever hosts there are."""
    tracker = Tracker(hass)
    try:
        await tracker.async_start()
    except UnreadableFileError:
        return  # The rest of Pilot does not depend on it.
    statistics = RoomStatistics(hass, tracker) if DATA_INSTANCE in hass.data else None
    kept = hass.data[PLACEMENTS] = Placements(tracker, statistics)
    if statistics is not None:
        statistics.async_start()
    async_setup_services(hass, kept)
    async_setup_websocket(hass)
