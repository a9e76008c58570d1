"""The actions that read and correct placements."""

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.const import ATTR_AREA_ID, ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import area_registry as ar, config_validation as cv
from homeassistant.util import dt as dt_util
import probatio

from ..access import Caller, async_register_action
from ..const import DOMAIN
from . import view
from .model import Span
from .quantities import QUANTITIES
from .rooms import Hours, hour_after, hour_of, stays
from .statistics import RoomStatistics, statistic_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from homeassistant.util.json import JsonObjectType, JsonValueType

    from .runtime import Placements
    from .tracker import Change, Tracker

ATTR_AFTER: Final = "area_after"
ATTR_AT: Final = "at"
ATTR_BEFORE: Final = "area_before"
ATTR_END: Final = "end"
ATTR_INTO: Final = "into"
ATTR_QUANTITY: Final = "quantity"
ATTR_START: Final = "start"

SERVICE_ADD: Final = "add_placement"
SERVICE_DELETE: Final = "delete_placement"
SERVICE_GET: Final = "get_placements"
SERVICE_HISTORY: Final = "get_room_history"
SERVICE_MERGE: Final = "merge_rooms"
SERVICE_MOVE: Final = "move_placement"
SERVICE_SPLIT: Final = "split_placement"
SERVICE_TRACK: Final = "track_device"
SERVICE_UNTRACK: Final = "untrack_device"

SERVICES: Final = (
    SERVICE_ADD,
    SERVICE_DELETE,
    SERVICE_GET,
    SERVICE_HISTORY,
    SERVICE_MERGE,
    SERVICE_MOVE,
    SERVICE_SPLIT,
    SERVICE_TRACK,
    SERVICE_UNTRACK,
)

MAX_DAYS: Final = 366
"""How much of a room's history is read at once."""

type _Fields = dict[probatio.Marker, Any]

_ID: Final = probatio.All(cv.string, probatio.Length(min=1, max=255))
_DEVICE: Final[_Fields] = {probatio.Required(ATTR_DEVICE_ID): _ID}
_AT: Final[_Fields] = {probatio.Required(ATTR_AT): view.valid_moment}
_PERIOD: Final[_Fields] = {
    probatio.Optional(ATTR_START): view.valid_moment,
    probatio.Optional(ATTR_END): view.valid_moment,
}


@callback
def async_setup_services(hass: HomeAssistant, kept: Placements) -> None:
    """Register the actions."""
    tracker, statistics = kept.tracker, kept.statistics
    corrections: Mapping[str, tuple[_Fields, Callable[[Mapping[str, Any]], Change]]] = {
        SERVICE_ADD: (
            {
                probatio.Required(ATTR_AREA_ID): _ID,
                probatio.Required(ATTR_START): view.valid_moment,
                probatio.Optional(ATTR_END): view.valid_moment,
            },
            _add,
        ),
        SERVICE_MOVE: (
            {
                **_AT,
                **_PERIOD,
                probatio.Optional(ATTR_AREA_ID): _ID,
            },
            _move,
        ),
        SERVICE_SPLIT: (
            {
                **_AT,
                probatio.Optional(ATTR_BEFORE): _ID,
                probatio.Optional(ATTR_AFTER): _ID,
            },
            _split,
        ),
        SERVICE_DELETE: (_AT, _delete),
    }
    for service, (fields, change) in corrections.items():
        async_register_action(
            hass,
            service,
            partial(_async_correct, tracker, change),
            probatio.Schema({**_DEVICE, **fields}),
            SupportsResponse.OPTIONAL,
            admin=True,
        )
    for service, action in ((SERVICE_TRACK, _async_track), (SERVICE_UNTRACK, _async_untrack)):
        async_register_action(
            hass,
            service,
            partial(action, tracker),
            probatio.Schema(_DEVICE),
            SupportsResponse.OPTIONAL,
            admin=True,
        )
    async_register_action(
        hass,
        SERVICE_MERGE,
        partial(_async_merge, tracker),
        probatio.Schema({probatio.Required(ATTR_AREA_ID): _ID, probatio.Required(ATTR_INTO): _ID}),
        SupportsResponse.OPTIONAL,
        admin=True,
    )
    ids = probatio.All(cv.ensure_list, [_ID])
    async_register_action(
        hass,
        SERVICE_GET,
        partial(_async_get, tracker),
        probatio.Schema(
            {
                probatio.Optional(ATTR_DEVICE_ID): ids,
                probatio.Optional(ATTR_AREA_ID): ids,
                **_PERIOD,
            }
        ),
        SupportsResponse.ONLY,
    )
    async_register_action(
        hass,
        SERVICE_HISTORY,
        partial(_async_history, tracker, statistics),
        probatio.Schema(
            {
                probatio.Required(ATTR_AREA_ID): _ID,
                probatio.Required(ATTR_START): view.valid_moment,
                probatio.Optional(ATTR_END): view.valid_moment,
                probatio.Optional(ATTR_QUANTITY, default=list(QUANTITIES)): probatio.All(
                    cv.ensure_list, [probatio.In(QUANTITIES)]
                ),
            }
        ),
        SupportsResponse.ONLY,
    )


# --- Corrections -----------------------------------------------------------------------------


async def _async_correct(
    tracker: Tracker,
    change: Callable[[Mapping[str, Any]], Change],
    call: ServiceCall,
    _: Caller,
) -> ServiceResponse:
    """Correct a device's placements, and return them."""
    for attribute in (ATTR_AREA_ID, ATTR_BEFORE, ATTR_AFTER):
        if (area_id := call.data.get(attribute)) is not None:
            _check_area(tracker, area_id)
    device_id: str = call.data[ATTR_DEVICE_ID]
    await tracker.async_correct(device_id, change(call.data))
    return _placements_of(tracker, device_id)


async def _async_merge(tracker: Tracker, call: ServiceCall, _: Caller) -> ServiceResponse:
    """Give one room's past to another, and return who stood there."""
    area_id, into = call.data[ATTR_AREA_ID], call.data[ATTR_INTO]
    for one in (area_id, into):
        _check_area(tracker, one)
    await tracker.async_merge(area_id, into)
    return {"placements": view.placements(tracker, areas=[into])}


def _add(data: Mapping[str, Any]) -> Change:
    return lambda timeline, now: timeline.add(
        data[ATTR_AREA_ID], view.seconds_of(data[ATTR_START]), _optional(data, ATTR_END), now
    )


def _move(data: Mapping[str, Any]) -> Change:
    return lambda timeline, now: timeline.move(
        view.seconds_of(data[ATTR_AT]),
        now,
        start=_optional(data, ATTR_START),
        end=_optional(data, ATTR_END),
        area=data.get(ATTR_AREA_ID),
    )


def _split(data: Mapping[str, Any]) -> Change:
    return lambda timeline, _: timeline.split(
        view.seconds_of(data[ATTR_AT]), before=data.get(ATTR_BEFORE), after=data.get(ATTR_AFTER)
    )


def _delete(data: Mapping[str, Any]) -> Change:
    return lambda timeline, _: timeline.delete(view.seconds_of(data[ATTR_AT]))


async def _async_track(tracker: Tracker, call: ServiceCall, _: Caller) -> ServiceResponse:
    """Keep the placements of any device."""
    device_id: str = call.data[ATTR_DEVICE_ID]
    await tracker.async_track(device_id)
    return _placements_of(tracker, device_id)


async def _async_untrack(tracker: Tracker, call: ServiceCall, _: Caller) -> ServiceResponse:
    """Forget a device's placements; what they were is the response."""
    device_id: str = call.data[ATTR_DEVICE_ID]
    forgotten = _placements_of(tracker, device_id)
    await tracker.async_untrack(device_id)
    return forgotten


# --- Reading ---------------------------------------------------------------------------------


async def _async_get(tracker: Tracker, call: ServiceCall, caller: Caller) -> ServiceResponse:
    """Return placements, by device, area and period: of those devices that the caller may read."""
    start, end = _optional(call.data, ATTR_START), _optional(call.data, ATTR_END)
    return {
        "placements": view.placements(
            tracker,
            devices=view.devices(tracker, caller, call.data.get(ATTR_DEVICE_ID)),
            areas=call.data.get(ATTR_AREA_ID),
            start=-inf if start is None else start,
            end=inf if end is None else end,
        )
    }


async def _async_history(
    tracker: Tracker, statistics: RoomStatistics | None, call: ServiceCall, caller: Caller
) -> ServiceResponse:
    """Return what was measured in a room, hour by hour, and by what.

    It is for those who may read everything that stood there: an hour is the mean of all of it.
    """
    if statistics is None:
        raise ServiceValidationError(translation_domain=DOMAIN, translation_key="no_recorder")
    area_id: str = call.data[ATTR_AREA_ID]
    _check_area(tracker, area_id)
    now = dt_util.utcnow().timestamp()
    end = _optional(call.data, ATTR_END)
    end = now if end is None else min(end, now)
    start = view.seconds_of(call.data[ATTR_START])
    if start >= end or end - start > MAX_DAYS * 86400:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="bad_period",
            translation_placeholders={"days": str(MAX_DAYS)},
        )
    span = Span(hour_of(start), hour_after(end))
    stood = stays(tracker.timelines, area_id, span.start, span.end)
    caller.require_devices({stay.device for stay in stood}, POLICY_READ)
    measured: dict[str, JsonValueType] = {}
    for key in call.data[ATTR_QUANTITY]:
        quantity = QUANTITIES[key]
        if hours := await statistics.async_room_hours(area_id, quantity, span):
            measured[key] = {
                "statistic_id": statistic_id_of(area_id, quantity),
                "unit": quantity.unit,
                "values": _hours(hours),
            }
    return {
        "area_id": area_id,
        "area": _area_name(tracker, area_id),
        "sensors": [
            view.stay(tracker, stay) for stay in stays(tracker.timelines, area_id, start, end)
        ],
        "measured": measured,
    }


# --- Inside ----------------------------------------------------------------------------------


def _hours(hours: Hours) -> list[JsonValueType]:
    return [
        {"start": view.moment(hour), "mean": value.mean, "min": value.min, "max": value.max}
        for hour, value in sorted(hours.items())
    ]


def _placements_of(tracker: Tracker, device_id: str) -> JsonObjectType:
    return {"placements": view.placements(tracker, devices=[device_id])}


def _area_name(tracker: Tracker, area_id: str) -> str:
    area = ar.async_get(tracker.hass).async_get_area(area_id)
    return tracker.area_name(area_id) if area is None else area.name


def _check_area(tracker: Tracker, area_id: str) -> None:
    """Refuse a room that is not there and never was."""
    known = ar.async_get(tracker.hass).async_get_area(area_id) is not None
    if not known and area_id not in tracker.state.rooms:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="unknown_area",
            translation_placeholders={"area": area_id},
        )


def _optional(data: Mapping[str, Any], attribute: str) -> float | None:
    return None if (moment := data.get(attribute)) is None else view.seconds_of(moment)
