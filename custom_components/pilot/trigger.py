"""Triggers of Pilot: what happens to hosts."""

from typing import TYPE_CHECKING, ClassVar, override

from homeassistant.components.event.const import DOMAIN as EVENT_DOMAIN
from homeassistant.components.sensor.const import DOMAIN as SENSOR_DOMAIN
from homeassistant.helpers.automation import DomainSpec
from homeassistant.helpers.trigger import (
    EntityTargetStateTriggerBase,
    NotTriggeredReasonReporter,
    StatelessEntityTriggerBase,
    Trigger,
)

from .automation import SESSION_EVENT, STATUS, entities_with_key
from .coordinator import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeassistant.core import HomeAssistant, State

_EVENT_TYPE = "event_type"


class StatusTrigger(EntityTargetStateTriggerBase):
    """A host has another status."""

    _domain_specs: Mapping[str, DomainSpec] = {SENSOR_DOMAIN: DomainSpec()}

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Keep the status of hosts out of the entities of the target."""
        return entities_with_key(self._hass, super().entity_filter(entities), STATUS)

    @override
    def is_valid_transition(self, from_state: State, to_state: State) -> bool:
        """Tell what happened to the host from what happened to the broker."""
        return from_state.state != Status.NO_BROKER and super().is_valid_transition(
            from_state, to_state
        )


class SessionTrigger(StatelessEntityTriggerBase):
    """Something happened in a session."""

    _domain_specs: Mapping[str, DomainSpec] = {EVENT_DOMAIN: DomainSpec()}
    # The events are diagnostic entities, and an action on an area is meant all the same.
    _primary_entities_only = False
    _event_type: ClassVar[str]

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Keep the session events of hosts out of the entities of the target."""
        return entities_with_key(self._hass, super().entity_filter(entities), SESSION_EVENT)

    @override
    def is_valid_state(
        self, state: State, report_not_triggered: NotTriggeredReasonReporter
    ) -> bool:
        """Say whether this is what happened."""
        return bool(state.attributes.get(_EVENT_TYPE) == self._event_type)


def _status(status: Status) -> type[Trigger]:
    class Became(StatusTrigger):
        _to_states = {status.value}  # noqa: RUF012  (as the base class has it)

    return Became


def _session(event_type: str) -> type[Trigger]:
    class Happened(SessionTrigger):
        _event_type: ClassVar = event_type

    return Happened


TRIGGERS: dict[str, type[Trigger]] = {
    "came_online": _status(Status.ONLINE),
    "went_to_sleep": _status(Status.ASLEEP),
    "switched_off": _status(Status.OFF),
    "was_lost": _status(Status.LOST),
    "session_locked": _session("locked"),
    "session_unlocked": _session("unlocked"),
    "user_logged_in": _session("logged_in"),
    "user_logged_out": _session("logged_out"),
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers."""
    return TRIGGERS
