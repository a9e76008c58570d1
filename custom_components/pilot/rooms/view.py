"""Placements as actions, cards and scripts get them."""

from math import inf
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
import probatio

from ..const import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from homeassistant.util.json import JsonObjectType, JsonValueType

    from ..access import Caller
    from .rooms import Stay
    from .tracker import Tracker


_LATEST: Final = 253_370_764_800
"""The year 9999: later moments have no equivalent in some time zones."""


def valid_moment(value: Any) -> datetime:  # noqa: ANN401  (whatever the caller gives)
    """Return what was given as a moment, or raise `probatio.Invalid`."""
    # The parser reads beyond the end of what cannot be encoded.
    if isinstance(value, str) and not value.isascii():
        raise probatio.Invalid(f"{value!r} is no moment")
    return cv.datetime(value)


def seconds_of(moment: datetime) -> float:
    """Return a moment as seconds since 1970, UTC; without a time zone it is in that of the house.

    Raises:
        ServiceValidationError: It is before 1970, or so late that there is no time zone for it.
    """
    try:
        seconds = dt_util.as_utc(moment).timestamp()
    except OverflowError, ValueError:
        seconds = -inf
    if not 0 <= seconds < _LATEST:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="moment_out_of_range",
            translation_placeholders={"moment": str(moment)},
        )
    return seconds


def moment(seconds: float) -> str:
    """Return a moment as text."""
    return dt_util.utc_from_timestamp(seconds).isoformat()


def devices(tracker: Tracker, caller: Caller, wanted: Collection[str] | None) -> Collection[str]:
    """Return the devices that a caller wants to know of, or all that the caller may read.

    Raises:
        Unauthorized: The caller may not read one that is wanted.
    """
    if wanted is None:
        return caller.readable(tracker.state.devices)
    caller.require_devices(wanted, POLICY_READ)
    return wanted


def placements(
    tracker: Tracker,
    *,
    devices: Collection[str] | None = None,
    areas: Collection[str] | None = None,
    start: float = -inf,
    end: float = inf,
) -> list[JsonValueType]:
    """Return the placements of these devices, in these areas, during this time, in order."""
    found = [
        (placement, device_id, record)
        for device_id, record in tracker.state.devices.items()
        if devices is None or device_id in devices
        for placement in record.timeline.within(start, end)
        if areas is None or placement.area in areas
    ]
    found.sort(key=lambda item: (item[0].start, item[2].name, item[1]))
    return [
        {
            "device_id": device_id,
            "device": record.name,
            "area_id": placement.area,
            "area": tracker.area_name(placement.area),
            "start": moment(placement.start),
            "end": None if placement.end is None else moment(placement.end),
        }
        for placement, device_id, record in found
    ]


def stay(tracker: Tracker, stood: Stay) -> JsonObjectType:
    """Return who stood in a room, and when."""
    return {
        "device_id": stood.device,
        "device": tracker.state.devices[stood.device].name,
        "start": moment(stood.start),
        "end": moment(stood.end),
    }


def everything(tracker: Tracker, caller: Caller) -> dict[str, Any]:
    """Return all placements with their devices and rooms, as far as a caller may read them."""
    readable = frozenset(caller.readable(tracker.state.devices))
    return {
        "devices": [
            {
                "device_id": device_id,
                "name": record.name,
                "picked": record.picked,
                "removed": record.removed_at is not None,
                "quantities": sorted({source.quantity for source in record.sources.values()}),
            }
            for device_id, record in tracker.state.devices.items()
            if device_id in readable
        ],
        "rooms": [
            {"area_id": area_id, "name": room.name, "removed": room.removed}
            for area_id, room in tracker.state.rooms.items()
        ],
        "placements": placements(tracker, devices=readable),
    }
