"""Events of Pilot: what happens to a host, and what its users answer."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback

from .entity import PilotEntity
from .factory import AnnouncedEntity, async_add_announced_entities
from .notifications import EVENTS, reply_of

if TYPE_CHECKING:
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
    from .protocol.announce import Announce
    from .protocol.messages import HostEvent

PARALLEL_UPDATES = 0

ATTRIBUTES: Final = (
    "user",
    "remote",
    "type",
    "action",
    "tag",
    "reason",
    "hotkey",
    "ups",
    "device",
    "code",
)
"""The data of events that become attributes; `type` is that of the session, and named so."""

_REPLIED: Final = "replied"

DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        EventEntityDescription(
            key="power",
            translation_key="power",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["going_to_sleep", "woke", "shutting_down"],
        ),
        EventEntityDescription(
            key="session",
            translation_key="session",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["locked", "unlocked", "logged_in", "logged_out"],
        ),
        EventEntityDescription(
            key="screen",
            translation_key="screen",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["turned_on", "turned_off"],
        ),
        EventEntityDescription(
            key="hotkeys",
            translation_key="hotkeys",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["pressed"],
        ),
        EventEntityDescription(
            key="ups",
            translation_key="ups",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["on_battery", "on_line", "low_battery"],
        ),
        EventEntityDescription(
            key="usb",
            translation_key="usb",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["connected", "disconnected"],
        ),
        EventEntityDescription(
            key=EVENTS,
            translation_key="notifications",
            entity_category=EntityCategory.DIAGNOSTIC,
            event_types=["pressed", "replied", "closed"],
        ),
    )
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the events of a host."""
    coordinator = entry.runtime_data.coordinator

    def announced(description: EventEntityDescription) -> AnnouncedEntity:
        key = f"{description.key}_event"
        return AnnouncedEntity(
            key,
            description,
            lambda device: HostEventEntity(coordinator, description, key, device),
        )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [announced(DESCRIPTIONS[key]) for key in announce.events if key in DESCRIPTIONS]

    async_add_announced_entities(entry, Platform.EVENT, async_add_entities, source)


class HostEventEntity(PilotEntity, EventEntity):
    """Events of a host with one key."""

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(
            self.coordinator.async_add_event_listener(self.entity_description.key, self._on_event)
        )

    @callback
    def _on_event(self, event: HostEvent) -> None:
        # A newer agent may have types that this version does not know.
        if event.type not in self.event_types:
            return
        attributes = {
            "session_type" if name == "type" else name: event.data[name]
            for name in ATTRIBUTES
            if name in event.data
        }
        if event.type == _REPLIED:
            attributes["reply_text"] = reply_of(event.data)
        self._trigger_event(event.type, attributes)
        self.async_write_ha_state()
