"""What belongs to Home Assistant as a whole, and not to one host."""

from typing import TYPE_CHECKING

from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN

if TYPE_CHECKING:
    from .importer import Importer

BACKLOG: HassKey[Importer] = HassKey(f"{DOMAIN}_backlog")
"""There is none without a recorder."""
