"""The actions of Pilot."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.service import async_register_admin_service
from homeassistant.helpers.target import TargetSelection, async_extract_referenced_entity_ids
import probatio

from .const import DOMAIN
from .devices import host_identifier
from .protocol import is_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from .coordinator import PilotConfigEntry

ATTR_ARGS: Final = "args"
ATTR_COMMAND: Final = "command"
ATTR_DELAY: Final = "delay"

SERVICE_CANCEL_SHUTDOWN: Final = "cancel_shutdown"
SERVICE_REBOOT: Final = "reboot"
SERVICE_SEND_COMMAND: Final = "send_command"
SERVICE_SHUTDOWN: Final = "shutdown"

_COMMANDS: Final[Mapping[str, str]] = {
    SERVICE_CANCEL_SHUTDOWN: "power.cancel",
    SERVICE_REBOOT: "power.reboot",
    SERVICE_SHUTDOWN: "power.shutdown",
}
SERVICES: Final = (*_COMMANDS, SERVICE_SEND_COMMAND)
_DELAYED: Final = (SERVICE_REBOOT, SERVICE_SHUTDOWN)


def _command(value: object) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise probatio.Invalid("not the name of a command")
    return value


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for service in _COMMANDS:
        delay: dict[probatio.Marker, Any] = (
            {probatio.Optional(ATTR_DELAY): cv.positive_time_period} if service in _DELAYED else {}
        )
        hass.services.async_register(
            DOMAIN, service, _async_power, cv.make_entity_service_schema(delay)
        )
    async_register_admin_service(
        hass,
        DOMAIN,
        SERVICE_SEND_COMMAND,
        _async_send_command,
        cv.make_entity_service_schema(
            {
                probatio.Required(ATTR_COMMAND): _command,
                probatio.Optional(ATTR_ARGS, default=dict): dict,
            }
        ),
        supports_response=SupportsResponse.OPTIONAL,
    )


async def _async_power(call: ServiceCall) -> None:
    """Shut hosts down, restart them, or call that off."""
    delay: timedelta | None = call.data.get(ATTR_DELAY)
    args = {} if delay is None else {"delay": delay.total_seconds()}
    key = _COMMANDS[call.service]
    await _async_each(call, key, args, really=True)


async def _async_send_command(call: ServiceCall) -> ServiceResponse:
    """Have hosts do anything that they can."""
    wants_response = call.return_response
    answers = await _async_each(
        call, call.data[ATTR_COMMAND], call.data[ATTR_ARGS], really=not wants_response
    )
    return answers if wants_response else None


async def _async_each(
    call: ServiceCall, key: str, args: Mapping[str, Any], *, really: bool
) -> ServiceResponse:
    """Ask all targeted hosts at once, and return what each answered."""
    entries = _hosts(call)

    async def ask(entry: PilotConfigEntry) -> dict[str, Any]:
        if entry.state is not ConfigEntryState.LOADED:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="host_not_loaded",
                translation_placeholders={"name": entry.title},
            )
        control = entry.runtime_data.control
        if really:
            await control.async_do(key, args)
            return {}
        result = await control.async_command(key, args)
        return {"status": result.status, "detail": result.detail, "dry_run": result.dry_run}

    answers = await asyncio.gather(*(ask(entry) for entry in entries), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="several_failed",
            translation_placeholders={"errors": " ".join(str(failure) for failure in failures)},
        )
    return {
        entry.title: answer
        for entry, answer in zip(entries, answers, strict=True)
        if not isinstance(answer, BaseException)
    }


def _hosts(call: ServiceCall) -> list[PilotConfigEntry]:
    """Return the hosts that an action is for.

    A host is meant by its own device or one of its entities. A room sensor below it stands
    somewhere else: who shuts down what is in that room does not mean the host.
    """
    hass = call.hass
    devices, entities = dr.async_get(hass), er.async_get(hass)
    selected = async_extract_referenced_entity_ids(hass, TargetSelection(call.data))
    device_ids = set(selected.referenced_devices)
    for entity_id in selected.referenced:
        entity = entities.async_get(entity_id)
        if entity is not None and entity.device_id is not None:
            device_ids.add(entity.device_id)
    hosts = [
        entry
        for entry in hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        if entry.unique_id is not None
        and (
            device := devices.async_get_device_by_identifier(
                host_identifier(entry.unique_id), entry.entry_id
            )
        )
        is not None
        and device.id in device_ids
    ]
    if not hosts:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key="no_host_targeted")
    return hosts
