"""Constants of the Pilot integration."""

from datetime import timedelta
import logging
from typing import Final

from homeassistant.const import Platform

DOMAIN: Final = "pilot"
LOGGER: Final = logging.getLogger(__package__)
PLATFORMS: Final = (
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.LIGHT,
    Platform.MEDIA_PLAYER,
    Platform.NOTIFY,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.UPDATE,
)

CONF_PREFIX: Final = "prefix"
CONF_HOST_NAME: Final = "host_name"
"""The name that the host gave itself when the entry's title was made."""
CONF_AUTO_TITLE: Final = "auto_title"
"""The title made from it: an entry that has another one was renamed by its user."""
CONF_CLEAR_ON_REMOVE: Final = "clear_on_remove"
CONF_PAIRED: Final = "paired"
"""Whether the host was paired by a code. The secret itself is kept elsewhere: `trust.py`."""
CONF_WAKE_ADDRESS: Final = "wake_address"
CONF_WAKE_PORT: Final = "wake_port"

STALE_AFTER: Final = 3
"""Intervals without a message after which the readings of a collector are too old."""

MISSED_AFTER: Final = 1.5
"""Intervals after which a host that is heard again must have sent a newer value."""

DOCUMENTATION_URL: Final = "https://github.com/pilot-home/pilot#when-something-is-wrong"

SEARCH_TIME: Final = timedelta(seconds=3)
"""How long a search listens: retained messages come at once, the subscription does not."""
SEARCH_QUIET: Final = timedelta(seconds=0.75)
"""A search ends early when nothing new came for so long."""
SEARCH_ANSWERS: Final = timedelta(seconds=2)
"""Within this time hosts answer a search that a person waits for."""
SEARCH_INTERVAL: Final = timedelta(minutes=10)
"""How often hosts are asked what they are: some brokers keep nothing for a wildcard."""
SEARCH_SPREAD: Final = timedelta(seconds=60)
"""Within this time they answer then, each at its own moment."""
SEARCH_PATIENCE: Final = timedelta(seconds=5)
"""What the broker keeps of a host comes within this time, or not at all."""
SEARCH_RATE: Final = 20
"""Hosts that answer in a second where one was not heard: each says all that it is."""
