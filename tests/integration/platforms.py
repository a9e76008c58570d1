"""The platforms of the integration, and which of them describes a kind of the catalogue."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from homeassistant.const import Platform

from custom_components.pilot.const import PLATFORMS
from custom_components.pilot.protocol.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

DESCRIPTIONS: Final[Mapping[Platform, Mapping[str, Any]]] = {
    platform: getattr(import_module(f"custom_components.pilot.{platform}"), "DESCRIPTIONS", {})
    for platform in PLATFORMS
}
"""The table of each platform; some have none."""

# The keys of these tables are commands and events.
_WITHOUT_READINGS: Final = {Platform.BUTTON, Platform.EVENT, Platform.NOTIFY}

KINDS: Final = [
    (kind, platform)
    for platform, descriptions in DESCRIPTIONS.items()
    if platform not in _WITHOUT_READINGS
    for kind in descriptions
]
"""Every description of a reading or a setting: its kind, and its platform."""


def platform_of_kind(kind: str) -> Platform:
    """Return the platform that describes a kind of the catalogue."""
    assert kind in CATALOGUE
    [platform] = [platform for described, platform in KINDS if described == kind]
    return platform
