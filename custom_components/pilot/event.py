"""Events of Pilot: what happened on a host."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback

from .entity import PilotEntity
from .offered import async_add_offered

if TYPE_CHECKING:
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotConfigEntry
    from .protocol.announce import Announce
    from .protocol.messages import HostEvent

PARALLEL_UPDATES = 0

ATTRIBUTES: Final = ("user", "remote", "type")
"""What events say besides their type; `type` is that of the session, and named so."""

DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        EventEntityDescription(
            key="power",
            translation_key="power",
            event_types=["going_to_sleep", "woke", "shutting_down"],
        ),
        EventEntityDescription(
            key="session",
            translation_key="session",
            event_types=["locked", "unlocked", "logged_in", "logged_out"],
        ),
    )
}


def entity_key(description: EventEntityDescription) -> str:
    """Return what an event's entity is known by below its host."""
    return f"{description.key}_event"


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the events of a host."""

    def offered(announce: Announce) -> dict[str, EventEntityDescription]:
        return {key: DESCRIPTIONS[key] for key in announce.events if key in DESCRIPTIONS}

    async_add_offered(
        entry,
        Platform.EVENT,
        async_add_entities,
        offered,
        lambda coordinator, description, device: HostEventEntity(
            coordinator, description, entity_key(description), device
        ),
        entity_key,
    )


class HostEventEntity(PilotEntity, EventEntity):
    """What happens on a host, as it tells it."""

    @override
    async def async_added_to_hass(self) -> None:
        """Begin to listen."""
        self.async_on_remove(
            self.coordinator.control.async_listen_event(self.entity_description.key, self._happened)
        )

    @callback
    def _happened(self, event: HostEvent) -> None:
        # A newer agent may tell more than this version has words for.
        if event.type not in self.event_types:
            return
        self._trigger_event(
            event.type,
            {
                "session_type" if name == "type" else name: event.data[name]
                for name in ATTRIBUTES
                if name in event.data
            },
        )
        self.async_write_ha_state()
