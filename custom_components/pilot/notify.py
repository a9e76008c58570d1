"""Notifications of Pilot: one entity per host for simple texts."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.auth.permissions.const import POLICY_CONTROL
from homeassistant.components.notify import NotifyEntity, NotifyEntityDescription
from homeassistant.components.notify.const import NOTIFY_SERVICE_SCHEMA, NotifyEntityFeature
from homeassistant.const import EntityCategory, Platform
from homeassistant.util import slugify

from . import notifications
from .access import Caller, async_register_action
from .const import DOMAIN
from .entity import OnlineEntity, entity_key
from .factory import AnnouncedEntity, async_add_announced_entities, while_paired

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant, ServiceCall
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .data import PilotConfigEntry
    from .protocol.announce import Announce

# Hosts are independent of each other, and show several notifications at once.
PARALLEL_UPDATES = 0

SHOW: Final = NotifyEntityDescription(
    key=notifications.SHOW,
    translation_key="notifications_show",
    # As with all that acts on a host: no action on an area, and no assistant, reaches it.
    entity_category=EntityCategory.CONFIG,
)
DESCRIPTIONS: Final = {SHOW.key: SHOW}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the notifications of a host."""
    coordinator = entry.runtime_data.coordinator
    key = entity_key(SHOW)
    entity = AnnouncedEntity(
        key, SHOW, lambda device: HostNotifyEntity(coordinator, SHOW, key, device)
    )

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [entity] if SHOW.key in announce.commands else []

    async_add_announced_entities(
        entry, Platform.NOTIFY, async_add_entities, while_paired(coordinator, source)
    )
    notifications.async_tell_answers(hass, entry)


class HostNotifyEntity(OnlineEntity, NotifyEntity):
    """Shows texts on the desktop that is in use."""

    _attr_supported_features = NotifyEntityFeature.TITLE

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        # Automations that were made for phones name an action, and have no target.
        name = slugify(f"{DOMAIN} {self.coordinator.config_entry.title}")
        if not self.hass.services.has_service(Platform.NOTIFY, name):
            async_register_action(
                self.hass, name, self._async_notify, NOTIFY_SERVICE_SCHEMA, domain=Platform.NOTIFY
            )
            self.async_on_remove(lambda: self.hass.services.async_remove(Platform.NOTIFY, name))

    async def _async_notify(self, call: ServiceCall, caller: Caller) -> None:
        """Show or clear what a phone would."""
        caller.require_entities([self.entity_id], POLICY_CONTROL)
        wanted = notifications.wanted_by(call.data)
        await notifications.async_notify(self.hass, self.coordinator.config_entry, wanted, caller)

    @override
    async def async_send_message(self, message: str, title: str | None = None) -> None:
        """Have the host show a text."""
        await notifications.async_show(
            self.hass,
            self.coordinator.config_entry,
            notifications.Notification(message=message, title=title or ""),
        )
