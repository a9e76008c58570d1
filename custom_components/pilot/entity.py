"""The base classes of Pilot's entities."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.core import callback
from homeassistant.helpers.restore_state import ExtraStoredData, RestoreEntity
from homeassistant.helpers.update_coordinator import CoordinatorEntity
from homeassistant.util import dt as dt_util, slugify
from propcache.api import cached_property

from .coordinator import PilotCoordinator, Status
from .descriptions import DETAILS, announced_name, is_of_system_disk, translation_key
from .devices import unique_id
from .messages import one_line
from .protocol.catalogue import CATALOGUE, Several

if TYPE_CHECKING:
    import asyncio

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr
    from homeassistant.helpers.entity import EntityDescription
    from homeassistant.helpers.entity_platform import EntityPlatform

    from .protocol.announce import Command, Reading
    from .readings import NativeValue

ATTR_SINCE: Final = "since"

ATTR_CONFIRM: Final = "confirm"

ARGUMENT: Final = "value"
"""The argument of a command that sets something."""

_LONGEST_OBJECT_ID: Final = 235
"""Characters of an entity id with its domain are 255, the number of a second one included."""

_HOST_STATUS: Final = "host_status"
_HOST_SINCE: Final = "host_since"


def entity_key(description: EntityDescription) -> str:
    """Return the key of an entity below its host.

    Keys with a dot in them belong to readings.
    """
    return description.key.replace(".", "_")


class PilotEntity(CoordinatorEntity[PilotCoordinator]):
    """An entity of a host, or of a device below it.

    It is updated with every announce and status of the host.
    """

    _attr_has_entity_name = True

    host_device: dr.DeviceEntry | None = None
    """The host, where a new entity id begins with its name.

    Two computers may have the same graphics card: its name alone would tell their entities apart
    by a number at the end.
    """

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: EntityDescription,
        key: str,
        device: dr.DeviceEntry,
    ) -> None:
        """Create the entity on its device; `key` is unique below the host."""
        super().__init__(coordinator)
        self.entity_description = description
        # The devices exist already: naming one here spares the registry a search for each of a
        # host's entities.
        self.device_entry = device
        self._attr_unique_id = unique_id(coordinator.host_id, key)

    @callback
    @override
    def add_to_platform_start(
        self,
        hass: HomeAssistant,
        platform: EntityPlatform,
        parallel_updates: asyncio.Semaphore | None,
    ) -> None:
        super().add_to_platform_start(hass, platform, parallel_updates)
        # Only here the name is known, in the language of entity ids. One that is registered keeps
        # its entity id.
        devices = filter(None, (self.host_device, self.device_entry))
        name = " ".join(filter(None, (one.name_by_user or one.name for one in devices)))
        whole = " ".join(filter(None, (name, self.suggested_object_id)))
        if self.host_device is None and len(whole) <= _LONGEST_OBJECT_ID and whole.isascii():
            return  # A fleet has tens of thousands of these.
        object_id = slugify(whole)
        if len(object_id) > _LONGEST_OBJECT_ID:
            # Home Assistant cuts it anywhere, and adds no entity whose id ends in an underscore.
            shortened = (slugify(name)[:150], slugify(self.suggested_object_id or "")[:80])
            object_id = "_".join(part.strip("_") for part in shortened if part)
        elif self.host_device is None:
            return
        self.entity_id = f"{platform.domain}.{object_id}"

    @cached_property
    @override
    def available(self) -> bool:
        """Whether the state is known, which does not depend on the last update of others."""
        return self._attr_available

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self._update_attrs()

    @override
    @callback
    def _handle_coordinator_update(self) -> None:
        self._update_attrs()
        self.async_write_in_turn()

    @callback
    def async_write_in_turn(self) -> None:
        """Write the state, at once unless those of very many hosts are to be written."""
        self.coordinator.pacer.write(self)

    def _update_attrs(self) -> None:
        """Update the attributes that follow from announce and status."""


class OnlineEntity(PilotEntity):
    """An entity that is available while the host is online."""

    @override
    def _update_attrs(self) -> None:
        self._attr_available = self.coordinator.status is Status.ONLINE


class ReadingEntity(PilotEntity):
    """An entity that shows a reading; it is updated when the value changes, and only then.

    The details of its reading are its attributes.
    """

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: EntityDescription,
        reading: Reading,
        device: dr.DeviceEntry,
    ) -> None:
        """Derive all that does not depend on the value, so that showing one is cheap."""
        super().__init__(coordinator, description, reading.key, device)
        self.reading = reading
        self._details = {
            key: detail for key, detail in DETAILS.items() if detail.of == reading.kind
        }
        if (kind := CATALOGUE.get(reading.kind)) is None:
            self._attr_name = announced_name(reading)
        elif is_of_system_disk(reading):
            self._attr_translation_key = translation_key(reading.kind, "system")
        elif kind.several is Several.YES or (kind.several is Several.OPTIONAL and reading.of):
            self._attr_translation_placeholders = {"of": one_line(reading.of or reading.value_name)}
            if kind.several is Several.OPTIONAL:
                self._attr_translation_key = translation_key(reading.kind, "of")

    @override
    async def async_added_to_hass(self) -> None:
        # Without the listener of `CoordinatorEntity`: status and announce change no value that
        # the coordinator does not show by itself.
        for key in (self.reading.key, *self._details):
            self.async_on_remove(self.coordinator.async_add_reading_listener(key, self))
        self._set_value(self.coordinator.value(self.reading.key))
        self._set_details()

    @callback
    def async_show(self, value: NativeValue | None) -> None:
        """Show a value, which may be that of a detail; None makes the entity unavailable."""
        if self._details:
            value = self.coordinator.value(self.reading.key)
            self._set_details()
        self._set_value(value)
        self.async_write_ha_state()

    def _set_details(self) -> None:
        if self._details:
            self._attr_extra_state_attributes = {
                detail.attribute: detail.read(value)
                for key, detail in self._details.items()
                if (value := self.coordinator.value(key)) is not None
            }

    def _set_value(self, value: NativeValue | None) -> None:
        """Update the attributes that follow from the value."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Setting:
    """A reading, and the command that sets it by its argument `value`."""

    reading: Reading
    command: Command


class SettingEntity(ReadingEntity):
    """A reading that can be set; it shows what the host reports, never what was requested."""

    def __init__(
        self,
        coordinator: PilotCoordinator,
        description: EntityDescription,
        setting: Setting,
        device: dr.DeviceEntry,
    ) -> None:
        """Create the entity of a setting."""
        super().__init__(coordinator, description, setting.reading, device)
        self.setting = setting
        if setting.command.confirm:
            self._attr_extra_state_attributes = {ATTR_CONFIRM: True}

    async def async_request_value(self, value: float | bool | str) -> None:
        """Have the host set a value; it reports by itself what is set then.

        Raises:
            HomeAssistantError: It did not set it, and why.
        """
        await self.coordinator.commands.async_do(self.setting.command.key, {ARGUMENT: value})


class _HostStatus(ExtraStoredData):
    """The status of a host, as it is stored over a restart of Home Assistant."""

    def __init__(self, coordinator: PilotCoordinator) -> None:
        self._host_status = coordinator.host_status

    @override
    def as_dict(self) -> dict[str, Any]:
        if self._host_status is None:
            return {}
        status, since = self._host_status
        return {_HOST_STATUS: status, _HOST_SINCE: since.isoformat()}


class StatusEntity(PilotEntity, RestoreEntity):
    """An entity that shows the status of the host, and therefore always has a state."""

    _unrecorded_attributes = frozenset({ATTR_SINCE})

    @override
    async def async_added_to_hass(self) -> None:
        if (stored := await self.async_get_last_extra_data()) is not None:
            data = stored.as_dict()
            since = dt_util.parse_datetime(str(data.get(_HOST_SINCE)))
            if since and since.tzinfo and data.get(_HOST_STATUS) in set(Status):
                self.coordinator.async_restore(Status(data[_HOST_STATUS]), since)
        await super().async_added_to_hass()

    @property
    @override
    def extra_restore_state_data(self) -> ExtraStoredData:
        return _HostStatus(self.coordinator)

    @override
    def _update_attrs(self) -> None:
        self._attr_extra_state_attributes = {
            ATTR_SINCE: self.coordinator.since.isoformat(timespec="seconds")
        }
