"""The actions of Pilot."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from homeassistant.auth.permissions.const import POLICY_CONTROL, POLICY_READ
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import Platform
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
from homeassistant.helpers.target import TargetSelection, async_extract_referenced_entity_ids
import probatio

from . import button, notifications, notify, programs, switch
from .access import Caller, async_register_action
from .const import DOMAIN
from .descriptions import called
from .devices import child_identifier, host_identifier, unique_id
from .entity import ATTR_CONFIRM, entity_key
from .protocol.validation import is_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from homeassistant.util.json import JsonObjectType

    from .data import PilotConfigEntry
    from .protocol.announce import Announce

ATTR_ARGS: Final = "args"
ATTR_ARGUMENTS: Final = "arguments"
ATTR_COMMAND: Final = "command"
ATTR_DELAY: Final = "delay"
ATTR_MUTED: Final = "muted"
ATTR_PROGRAM: Final = "program"
ATTR_TAG: Final = "tag"
ATTR_USER: Final = "user"
ATTR_VOLUME: Final = "volume"

SERVICE_CANCEL_SHUTDOWN: Final = "cancel_shutdown"
SERVICE_CLEAR_NOTIFICATION: Final = "clear_notification"
SERVICE_GET_PROGRAMS: Final = "get_programs"
SERVICE_NOTIFY: Final = "notify"
SERVICE_REBOOT: Final = "reboot"
SERVICE_REFRESH: Final = "refresh"
SERVICE_RUN_COMMAND: Final = "run_command"
SERVICE_SEND_COMMAND: Final = "send_command"
SERVICE_SET_PROGRAM_VOLUME: Final = "set_program_volume"
SERVICE_SHUTDOWN: Final = "shutdown"

REFRESH: Final = "readings.refresh"
OWN_COMMANDS: Final = "own_commands"
"""The first segment of the keys of commands that a host's owner has added."""

_COMMANDS: Final[Mapping[str, str]] = {
    SERVICE_CANCEL_SHUTDOWN: "power.cancel",
    SERVICE_REBOOT: "power.reboot",
    SERVICE_SHUTDOWN: "power.shutdown",
}
_ENTITIES: Final[Mapping[str, tuple[Platform, str]]] = {
    "power.cancel": (Platform.BUTTON, entity_key(button.DESCRIPTIONS["power.cancel"])),
    "power.reboot": (Platform.BUTTON, entity_key(button.DESCRIPTIONS["power.reboot"])),
    "power.shutdown": (Platform.SWITCH, entity_key(switch.POWER)),
    notifications.SHOW: (Platform.NOTIFY, entity_key(notify.SHOW)),
    programs.VOLUME: (Platform.NUMBER, "sound.output_volume"),
}
"""The entity that does the same as an action, by its command: platform and key."""
SERVICES: Final = (
    *_COMMANDS,
    SERVICE_CLEAR_NOTIFICATION,
    SERVICE_GET_PROGRAMS,
    SERVICE_NOTIFY,
    SERVICE_REFRESH,
    SERVICE_RUN_COMMAND,
    SERVICE_SEND_COMMAND,
    SERVICE_SET_PROGRAM_VOLUME,
)
_NOTIFY_SCHEMA: Final = cv.make_entity_service_schema(
    {
        probatio.Required("message"): cv.string,
        probatio.Optional("title"): cv.string,
        probatio.Optional("image"): cv.string,
        probatio.Optional("urgency"): probatio.In(notifications.URGENCIES),
        probatio.Optional("actions"): probatio.All(cv.ensure_list, [dict]),
        probatio.Optional(ATTR_TAG): cv.string,
        probatio.Optional("timeout"): cv.positive_time_period,
        probatio.Optional("sound"): cv.string,
        probatio.Optional(ATTR_USER): cv.string,
        probatio.Optional("when_absent"): probatio.In(notifications.WHEN_ABSENT),
        probatio.Optional("data"): dict,
    }
)
_PROGRAM_SCHEMA: Final = probatio.Schema(
    probatio.All(
        cv.make_entity_service_schema(
            {
                probatio.Required(ATTR_PROGRAM): cv.string,
                probatio.Optional(ATTR_VOLUME): probatio.All(
                    probatio.Coerce(float), probatio.Range(min=0, max=100)
                ),
                probatio.Optional(ATTR_MUTED): cv.boolean,
                probatio.Optional(ATTR_USER, default=""): cv.string,
            }
        ),
        cv.has_at_least_one_key(ATTR_VOLUME, ATTR_MUTED),
    )
)
_DELAYED: Final = (SERVICE_REBOOT, SERVICE_SHUTDOWN)


class _Target(NamedTuple):
    """A host that an action is for, and which of its entities the call names one by one."""

    entry: PilotConfigEntry
    device_id: str
    named: frozenset[str]


def _command(value: object) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise probatio.Invalid("not the name of a command")
    return value


def _owners_command(value: object) -> str:
    """Return the key of a command, by that or the name that its owner gave it."""
    return _command(f"{OWN_COMMANDS}.{str(value).removeprefix(f'{OWN_COMMANDS}.')}")


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for service in _COMMANDS:
        delay: dict[probatio.Marker, Any] = (
            {probatio.Optional(ATTR_DELAY): cv.positive_time_period} if service in _DELAYED else {}
        )
        async_register_action(hass, service, _async_power, cv.make_entity_service_schema(delay))
    async_register_action(hass, SERVICE_REFRESH, _async_refresh, cv.make_entity_service_schema({}))
    async_register_action(
        hass, SERVICE_NOTIFY, _async_notify, _NOTIFY_SCHEMA, SupportsResponse.OPTIONAL
    )
    async_register_action(
        hass,
        SERVICE_CLEAR_NOTIFICATION,
        _async_clear_notification,
        cv.make_entity_service_schema({probatio.Required(ATTR_TAG): cv.string}),
    )
    async_register_action(
        hass,
        SERVICE_GET_PROGRAMS,
        _async_get_programs,
        cv.make_entity_service_schema({probatio.Optional(ATTR_USER, default=""): cv.string}),
        SupportsResponse.ONLY,
    )
    async_register_action(
        hass, SERVICE_SET_PROGRAM_VOLUME, _async_set_program_volume, _PROGRAM_SCHEMA
    )
    async_register_action(
        hass,
        SERVICE_RUN_COMMAND,
        _async_run_command,
        cv.make_entity_service_schema(
            {
                probatio.Required(ATTR_COMMAND): _owners_command,
                probatio.Optional(ATTR_ARGUMENTS, default=dict): dict,
                probatio.Optional(ATTR_CONFIRM, default=False): cv.boolean,
            }
        ),
        SupportsResponse.OPTIONAL,
        admin=True,
    )
    async_register_action(
        hass,
        SERVICE_SEND_COMMAND,
        _async_send_command,
        cv.make_entity_service_schema(
            {
                probatio.Required(ATTR_COMMAND): _command,
                probatio.Optional(ATTR_ARGS, default=dict): dict,
            }
        ),
        SupportsResponse.OPTIONAL,
        admin=True,
    )


async def _async_power(call: ServiceCall, caller: Caller) -> None:
    """Shut hosts down, restart them, or call that off, if the caller may do so to all of them."""
    delay: timedelta | None = call.data.get(ATTR_DELAY)
    args = {} if delay is None else {"delay": delay.total_seconds()}
    key = _COMMANDS[call.service]
    targets = _targets(call)
    for target in targets:
        _require_control(call.hass, caller, target, key)
    await _async_each(targets, key, args, really=True)


async def _async_notify(call: ServiceCall, caller: Caller) -> ServiceResponse:
    """Have hosts show a notification, and return what they leave out of it."""
    wanted = notifications.wanted_by(call.data)
    entries = _controlled_by(call, caller, notifications.SHOW)
    left_out = await _async_of_each(
        entries, lambda entry: notifications.async_notify(call.hass, entry, wanted, caller)
    )
    if not call.return_response:
        return None
    return _by_name(entries, [{"left_out": [*left]} for left in left_out])


async def _async_clear_notification(call: ServiceCall, caller: Caller) -> None:
    """Have hosts clear a notification, for all users."""
    entries = _controlled_by(call, caller, notifications.SHOW)
    await _async_of_each(
        entries, lambda entry: notifications.async_clear(entry, call.data[ATTR_TAG])
    )


async def _async_get_programs(call: ServiceCall, caller: Caller) -> ServiceResponse:
    """Return what plays sound on hosts."""
    targets = _targets(call)
    caller.require_devices([target.device_id for target in targets], POLICY_READ)
    entries = [target.entry for target in targets]
    found = await _async_of_each(
        entries, lambda entry: programs.async_list(entry, call.data[ATTR_USER])
    )
    return _by_name(entries, [{"programs": [*playing]} for playing in found])


async def _async_set_program_volume(call: ServiceCall, caller: Caller) -> None:
    """Set volume and mute of a program on hosts."""
    await _async_of_each(
        _controlled_by(call, caller, programs.VOLUME),
        lambda entry: programs.async_set(
            entry,
            call.data[ATTR_PROGRAM],
            volume=call.data.get(ATTR_VOLUME),
            muted=call.data.get(ATTR_MUTED),
            user=call.data[ATTR_USER],
        ),
    )


def _controlled_by(call: ServiceCall, caller: Caller, key: str) -> list[PilotConfigEntry]:
    """Return the hosts that an action is for, if the caller may have all of them do it."""
    targets = _targets(call)
    for target in targets:
        _require_control(call.hass, caller, target, key)
    return [target.entry for target in targets]


async def _async_refresh(call: ServiceCall, caller: Caller) -> None:
    """Have hosts read now what is targeted: all of a host, or what a device or entity shows."""
    hass = call.hass
    devices, entities = dr.async_get(hass), er.async_get(hass)
    selected = async_extract_referenced_entity_ids(hass, TargetSelection(call.data))
    wanted: dict[str, set[str]] = {}
    """What is to be read, by config entry; an empty name stands for everything."""
    for device_id in selected.referenced_devices:
        device = devices.async_get(device_id)
        entry = None if device is None else _entry_of(hass, device.config_entry_id)
        if device is not None and entry is not None:
            caller.require_devices([device_id], POLICY_CONTROL)
            wanted.setdefault(entry.entry_id, set()).update(_collectors_of(entry, device))
    for entity_id in selected.referenced:
        entity = entities.async_get(entity_id)
        entry = None if entity is None else _entry_of(hass, entity.config_entry_id)
        if entity is not None and entry is not None:
            caller.require_entities([entity_id], POLICY_CONTROL)
            wanted.setdefault(entry.entry_id, set()).add(_collector_of(entry, entity.unique_id))
    if not wanted:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key="no_host_targeted")
    collectors = {
        entry_id: "" if "" in names else ",".join(sorted(names))
        for entry_id, names in wanted.items()
    }
    await _async_of_each(
        _meant([entry for one in wanted if (entry := _entry_of(hass, one)) is not None]),
        lambda entry: _async_ask(
            entry, REFRESH, {"collectors": collectors[entry.entry_id]}, really=True
        ),
    )


def _entry_of(hass: HomeAssistant, entry_id: str | None) -> PilotConfigEntry | None:
    """Return a config entry if it is one of Pilot's."""
    entry = None if entry_id is None else hass.config_entries.async_get_entry(entry_id)
    return entry if entry is not None and entry.domain == DOMAIN else None


def _announced(entry: PilotConfigEntry) -> Announce | None:
    loaded = entry.state is ConfigEntryState.LOADED
    return entry.runtime_data.coordinator.data if loaded else None


def _collectors_of(entry: PilotConfigEntry, device: dr.AnyDeviceEntry) -> set[str]:
    """Return the collectors of what a device below a host shows; all for the host itself."""
    announce = _announced(entry)
    if announce is None:
        return {""}
    below = {child_identifier(announce.host.id, key): key for key in announce.devices}
    keys = {below[one] for one in device.identifiers if one in below}
    found = {one.collector for one in announce.readings.values() if one.device in keys}
    return found or {""}


def _collector_of(entry: PilotConfigEntry, entity: str) -> str:
    """Return the collector of the reading that an entity shows; empty where it shows none."""
    announce = _announced(entry)
    assert entry.unique_id is not None
    for reading in () if announce is None else announce.readings.values():
        if unique_id(entry.unique_id, reading.key) == entity:
            return reading.collector
    return ""


async def _async_send_command(call: ServiceCall, caller: Caller) -> ServiceResponse:
    """Have hosts do anything that they can; only administrators come here."""
    wants_response = call.return_response
    answers = await _async_each(
        _targets(call), call.data[ATTR_COMMAND], call.data[ATTR_ARGS], really=not wants_response
    )
    return answers if wants_response else None


async def _async_run_command(call: ServiceCall, caller: Caller) -> ServiceResponse:
    """Have hosts start what their owners have added; only administrators come here."""
    key, wants_response = call.data[ATTR_COMMAND], call.return_response
    targets = _targets(call)
    for entry in (target.entry for target in targets):
        announce = _announced(entry)
        command = None if announce is None else announce.commands.get(key)
        if command is not None and command.confirm and not call.data[ATTR_CONFIRM]:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="not_confirmed",
                translation_placeholders={"name": entry.title, "command": called(command)},
            )
    answers = await _async_each(targets, key, call.data[ATTR_ARGUMENTS], really=not wants_response)
    return answers if wants_response else None


async def _async_each(
    targets: Iterable[_Target], key: str, args: Mapping[str, Any], *, really: bool
) -> ServiceResponse:
    """Ask all targeted hosts the same at once, and return what each answered."""
    entries = [target.entry for target in targets]
    return _by_name(
        entries,
        await _async_of_each(entries, lambda entry: _async_ask(entry, key, args, really=really)),
    )


async def _async_ask(
    entry: PilotConfigEntry, key: str, args: Mapping[str, Any], *, really: bool
) -> dict[str, Any]:
    """Send a command with its arguments to a host, and return what it answered."""
    commands = entry.runtime_data.coordinator.commands
    if really:
        await commands.async_do(key, args)
        return {}
    result = await commands.async_command(key, args)
    answer = {"status": result.status, "detail": result.detail, "dry_run": result.dry_run}
    if result.output is not None:
        answer |= {"output": result.output, "truncated": result.truncated}
    return answer


async def _async_of_each[AnswerT](
    entries: Sequence[PilotConfigEntry], ask: Callable[[PilotConfigEntry], Awaitable[AnswerT]]
) -> list[AnswerT]:
    """Ask all hosts at once; what failed is told together, and keeps nothing from the others.

    Raises:
        HomeAssistantError: With one or several it did not work.
    """

    async def of_one(entry: PilotConfigEntry) -> AnswerT:
        if entry.state is not ConfigEntryState.LOADED:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="host_not_loaded",
                translation_placeholders={"name": entry.title},
            )
        return await ask(entry)

    answers = await asyncio.gather(*map(of_one, entries), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="several_failed",
            translation_placeholders={"errors": " ".join(str(failure) for failure in failures)},
        )
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def _by_name(
    entries: Sequence[PilotConfigEntry], answers: Iterable[JsonObjectType]
) -> JsonObjectType:
    """Return answers by the names of hosts; users may give several the same name."""
    names = Counter(entry.title for entry in entries)
    return {
        entry.title if names[entry.title] == 1 else f"{entry.title} ({entry.unique_id})": answer
        for entry, answer in zip(entries, answers, strict=True)
    }


def _require_control(hass: HomeAssistant, caller: Caller, target: _Target, key: str) -> None:
    """Let pass who may control what the target names, and the entity that does the same.

    A host that has no such entity is controlled by those who may control all that it has.
    """
    assert target.entry.unique_id is not None
    platform, entity = _ENTITIES[key]
    entity_id = er.async_get(hass).async_get_entity_id(
        platform, DOMAIN, unique_id(target.entry.unique_id, entity)
    )
    if entity_id is None:
        caller.require_devices([target.device_id], POLICY_CONTROL)
    else:
        caller.require_entities({entity_id, *target.named}, POLICY_CONTROL)


def _targets(call: ServiceCall) -> list[_Target]:
    """Return the hosts that an action is for.

    A host is meant by its own device or one of its entities. A room sensor below it stands
    somewhere else: who shuts down what is in that room does not mean the host.
    """
    hass = call.hass
    devices, entities = dr.async_get(hass), er.async_get(hass)
    selected = async_extract_referenced_entity_ids(hass, TargetSelection(call.data))
    named: dict[str, set[str]] = {device_id: set() for device_id in selected.referenced_devices}
    for entity_id in selected.referenced:
        entity = entities.async_get(entity_id)
        if entity is not None and entity.device_id is not None:
            named.setdefault(entity.device_id, set()).add(entity_id)
    targets = [
        _Target(entry, device.id, frozenset(named[device.id]))
        for entry in hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        if entry.unique_id is not None
        and (
            device := devices.async_get_device_by_identifier(
                host_identifier(entry.unique_id), entry.entry_id
            )
        )
        is not None
        and device.id in named
    ]
    if not targets:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key="no_host_targeted")
    meant = _meant([target.entry for target in targets])
    return [target for target in targets if target.entry in meant]


def _meant(entries: Sequence[PilotConfigEntry]) -> Sequence[PilotConfigEntry]:
    """Leave out disabled hosts, unless there is no other.

    Who disables a computer does not go through all automations that name its room.
    """
    return [entry for entry in entries if entry.disabled_by is None] or entries
