"""Buttons of Pilot: the commands of hosts that take no value."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.components.button.const import ButtonDeviceClass
from homeassistant.const import EntityCategory, Platform

from .calls_on_all import async_is_for_all
from .descriptions import OWN_COMMAND, called, category_of, shown_as
from .entity import ATTR_CONFIRM, OnlineEntity, entity_key
from .exposure import ends_work
from .factory import AnnouncedEntity, async_add_announced_entities, while_paired
from .messages import one_line

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

    from .coordinator import PilotCoordinator
    from .data import PilotConfigEntry
    from .protocol.announce import Announce, Command

# Every press is a request of its own; hosts answer several at once.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class PilotButtonDescription(ButtonEntityDescription):
    """How a kind of command is drawn; the key is the kind.

    A button carries the category of settings unless its kind says otherwise: actions on an
    area or a floor leave such entities out, dashboards do not draw them by themselves, and
    voice assistants are not given them.
    """

    entity_category: EntityCategory | None = EntityCategory.CONFIG


DESCRIPTIONS: Final = {
    description.key: description
    for description in (
        PilotButtonDescription(
            key="power.reboot",
            translation_key="power_reboot",
            device_class=ButtonDeviceClass.RESTART,
        ),
        PilotButtonDescription(key="power.suspend", translation_key="power_suspend"),
        PilotButtonDescription(
            key="power.hibernate",
            translation_key="power_hibernate",
            entity_registry_enabled_default=False,
        ),
        PilotButtonDescription(
            key="power.hybrid_sleep",
            translation_key="power_hybrid_sleep",
            entity_registry_enabled_default=False,
        ),
        PilotButtonDescription(key="power.cancel", translation_key="power_cancel"),
        PilotButtonDescription(key="session.lock", translation_key="session_lock"),
        PilotButtonDescription(
            key="session.log_out",
            translation_key="session_log_out",
            entity_registry_enabled_default=False,
        ),
        PilotButtonDescription(key="services.start", translation_key="services_start"),
        PilotButtonDescription(key="services.stop", translation_key="services_stop"),
        PilotButtonDescription(
            key="services.restart",
            translation_key="services_restart",
            device_class=ButtonDeviceClass.RESTART,
        ),
        PilotButtonDescription(key="i2c.reset_tuning", translation_key="i2c_reset_tuning"),
        PilotButtonDescription(key="agent.reload", translation_key="agent_reload"),
        PilotButtonDescription(
            key="agent.restart",
            translation_key="agent_restart",
            device_class=ButtonDeviceClass.RESTART,
        ),
    )
}
"""The commands that have a button; the key is the command's kind."""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PilotConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the buttons of a host."""
    coordinator = entry.runtime_data.coordinator

    def announced(command: Command, description: ButtonEntityDescription) -> AnnouncedEntity:
        key = entity_key(description)
        return AnnouncedEntity(
            key,
            (description, command.name),
            lambda device: CommandButton(coordinator, description, key, device, command),
            command.device,
        )

    def of_owner(command: Command) -> AnnouncedEntity:
        description = PilotButtonDescription(
            key=command.key, translation_key=OWN_COMMAND, entity_category=category_of(command)
        )
        key = entity_key(description)
        return AnnouncedEntity(
            key,
            command,
            lambda device: OwnersButton(coordinator, description, key, device, command),
            command.device,
        )

    def owners(announce: Announce) -> list[AnnouncedEntity]:
        return [
            of_owner(command)
            for command in announce.commands.values()
            if shown_as(command) is Platform.BUTTON
            and command.kind not in DESCRIPTIONS
            and command.device in {None, *announce.devices}
        ]

    def source(announce: Announce) -> list[AnnouncedEntity]:
        return [
            announced(command, replace(DESCRIPTIONS[command.kind], key=key))
            for key, command in announce.commands.items()
            if command.kind in DESCRIPTIONS and command.device in {None, *announce.devices}
        ]

    async_add_announced_entities(
        entry,
        Platform.BUTTON,
        async_add_entities,
        while_paired(coordinator, source),
        while_paired(coordinator, owners),
    )


class CommandButton(OnlineEntity, ButtonEntity):
    """A command of the host.

    It exists too when the host lacks a permission: pressing it says so, and has the host check
    the permission again.
    """

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: ButtonEntityDescription,
        key: str,
        device: dr.DeviceEntry,
        command: Command,
    ) -> None:
        """Take over what the command is about, where there are several of its kind."""
        super().__init__(coordinator, description, key, device)
        if command.name:
            self._attr_translation_placeholders = {"of": one_line(command.name)}

    @override
    async def async_press(self) -> None:
        """Have the host carry out the command; all buttons at once end no work."""
        if ends_work(Platform.BUTTON, self.entity_description.translation_key) and (
            await async_is_for_all(self.hass, self._context, self.entity_id)
        ):
            return
        await self.coordinator.commands.async_do(self.entity_description.key)


class OwnersButton(CommandButton):
    """A command that the host's owner has added; its name is announced."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: ButtonEntityDescription,
        key: str,
        device: dr.DeviceEntry,
        command: Command,
    ) -> None:
        """Take over what the owner says of it."""
        super().__init__(coordinator, description, key, device, command)
        self._attr_name = called(command)
        if command.confirm:
            self._attr_extra_state_attributes = {ATTR_CONFIRM: True}
        self._harmless = command.harmless

    @override
    async def async_press(self) -> None:
        """Have the host carry it out; all buttons at once end no work."""
        if self._harmless or not await async_is_for_all(self.hass, self._context, self.entity_id):
            await super().async_press()
