"""What belongs to Home Assistant as a whole, and not to one host."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN

if TYPE_CHECKING:
    from .statistics import RoomStatistics
    from .tracker import Tracker


@dataclass(frozen=True, slots=True)
class Placements:
    """Where devices stand, and what the rooms' statistics are made from."""

    tracker: Tracker
    statistics: RoomStatistics | None
    """None where there is no recorder."""


PLACEMENTS: HassKey[Placements] = HassKey(f"{DOMAIN}_placements")
