"""Conditions of Pilot: whether hosts are there, and whether their screens are locked."""

from typing import TYPE_CHECKING, override

from homeassistant.components.binary_sensor.const import DOMAIN as BINARY_SENSOR_DOMAIN
from homeassistant.components.sensor.const import DOMAIN as SENSOR_DOMAIN
from homeassistant.const import STATE_OFF
from homeassistant.helpers.automation import DomainSpec
from homeassistant.helpers.condition import Condition, EntityStateConditionBase

from .automation import SESSION_LOCKED, STATUS, entities_with_key
from .coordinator import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeassistant.core import HomeAssistant


class StatusCondition(EntityStateConditionBase):
    """A host has a status."""

    _domain_specs: Mapping[str, DomainSpec] = {SENSOR_DOMAIN: DomainSpec()}

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Keep the status of hosts out of the entities of the target."""
        return entities_with_key(self._hass, super().entity_filter(entities), STATUS)


class LockedCondition(EntityStateConditionBase):
    """The screen of a host is locked: a user has to log in or unlock it first."""

    _domain_specs: Mapping[str, DomainSpec] = {BINARY_SENSOR_DOMAIN: DomainSpec()}
    # The sensor is a diagnostic one.
    _primary_entities_only = False
    # The sensor is on while the screen is unlocked. It had the device class of locks once, and
    # automations rely on its states.
    _states = {STATE_OFF}  # noqa: RUF012  (as the base class has it)

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Keep the locks of hosts out of the entities of the target."""
        return entities_with_key(self._hass, super().entity_filter(entities), SESSION_LOCKED)


def _status(status: Status) -> type[Condition]:
    class Is(StatusCondition):
        _states = {status.value}  # noqa: RUF012  (as the base class has it)

    return Is


CONDITIONS: dict[str, type[Condition]] = {
    "is_online": _status(Status.ONLINE),
    "is_asleep": _status(Status.ASLEEP),
    "is_off": _status(Status.OFF),
    "is_lost": _status(Status.LOST),
    "is_locked": LockedCondition,
}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions."""
    return CONDITIONS
