"""What a room's own history is made of: who stood there, for what part of an hour. Pure."""

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .model import Timeline

HOUR: Final = 3600

type Hours = dict[int, Hour]
"""By the second at which they begin."""


class Hour(NamedTuple):
    """What was measured in an hour."""

    mean: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Stay:
    """A device stood in a room."""

    device: str
    start: float
    end: float


def hour_of(moment: float) -> int:
    """Return when the hour of a moment began."""
    return floor(moment / HOUR) * HOUR


def hour_after(moment: float) -> int:
    """Return when the hour of a moment ends; a full hour is its own end."""
    return -hour_of(-moment)


def stays(timelines: Mapping[str, Timeline], area: str, start: float, end: float) -> list[Stay]:
    """Return who stood in an area during a time, cut to it, in order."""
    found = [
        Stay(device, max(placement.start, start), min(placement.until, end))
        for device, timeline in timelines.items()
        for placement in timeline.within(start, end)
        if placement.area == area
    ]
    return sorted(found, key=lambda stay: (stay.start, stay.end, stay.device))


def hour_weights(
    timelines: Mapping[str, Timeline], area: str, start: int, end: int
) -> dict[int, dict[str, float]]:
    """Return, for the hours of a time, which devices stood in an area for what part of it."""
    weights: dict[int, dict[str, float]] = {}
    for stay in stays(timelines, area, start, end):
        for hour, seconds in _hours(stay):
            devices = weights.setdefault(hour, {})
            devices[stay.device] = devices.get(stay.device, 0.0) + seconds / HOUR
    return weights


def _hours(stay: Stay) -> Iterator[tuple[int, float]]:
    for hour in range(hour_of(stay.start), hour_after(stay.end), HOUR):
        yield hour, min(stay.end, hour + HOUR) - max(stay.start, hour)


def room_hours(
    weights: Mapping[int, Mapping[str, float]], measured: Mapping[str, Mapping[int, Hour]]
) -> Hours:
    """Return a room's hours: the mean of those that stood there, each by its part of the hour.

    A device that measured nothing in an hour does not count in it. The lowest and the highest
    value are those of any that counts.
    """
    rooms: Hours = {}
    for hour, devices in weights.items():
        counted = [
            (weight, measured[device][hour])
            for device, weight in devices.items()
            if device in measured and hour in measured[device]
        ]
        if counted:
            whole = sum(weight for weight, _ in counted)
            rooms[hour] = Hour(
                sum(weight * value.mean for weight, value in counted) / whole,
                min(value.min for _, value in counted),
                max(value.max for _, value in counted),
            )
    return rooms


def together(sources: list[Mapping[int, Hour]]) -> Hours:
    """Return what several sensors of one quantity on the same device say as one."""
    if len(sources) == 1:
        return dict(sources[0])
    hours: Hours = {}
    for hour in {hour for source in sources for hour in source}:
        values = [source[hour] for source in sources if hour in source]
        hours[hour] = Hour(
            sum(value.mean for value in values) / len(values),
            min(value.min for value in values),
            max(value.max for value in values),
        )
    return hours
