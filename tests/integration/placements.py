"""Slow, obvious references for placements and rooms, and a month to try them on."""

from typing import TYPE_CHECKING

from custom_components.pilot.rooms.model import Placement, Timeline
from custom_components.pilot.rooms.rooms import HOUR, Hour

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

MINUTE = 60
START = 1_790_812_800
"""1 October 2026, midnight UTC."""

type Measured = dict[str, dict[int, Hour]]


def area_at(timeline: Timeline, moment: float) -> str | None:
    """Return where a device stood then, by looking at everything."""
    areas = [
        placement.area
        for placement in timeline.placements
        if placement.start <= moment and (placement.end is None or moment < placement.end)
    ]
    assert len(areas) <= 1
    return areas[0] if areas else None


def minutes(timeline: Timeline, start: int, end: int) -> list[str | None]:
    """Return where a device stood in each minute; moves are at full minutes."""
    return [area_at(timeline, moment) for moment in range(start, end, MINUTE)]


def room_by_minutes(
    stood: Mapping[str, list[str | None]], measured: Measured, area: str, start: int, end: int
) -> dict[int, Hour]:
    """Return a room's hours: every minute of every device that stood there counts once."""
    hours: dict[int, Hour] = {}
    for hour in range(start, end, HOUR):
        index = (hour - start) // MINUTE
        counted: list[Hour] = []
        for device, areas in stood.items():
            if (value := measured[device].get(hour)) is not None:
                counted += [value] * areas[index : index + 60].count(area)
        if counted:
            hours[hour] = Hour(
                sum(value.mean for value in counted) / len(counted),
                min(value.min for value in counted),
                max(value.max for value in counted),
            )
    return hours


def a_month(
    random: Random, *, sensors: int = 20, rooms: int = 10, moves: int = 200, days: int = 30
) -> tuple[dict[str, Timeline], Measured, int]:
    """Return sensors that are carried about for a month, what they measured, and its end."""
    end = START + days * 24 * HOUR
    timelines: dict[str, Timeline] = {}
    for number in range(sensors):
        cuts = sorted(
            random.sample(range(START + MINUTE, end, MINUTE), moves // sensors + number % 2)
        )
        placements: list[Placement] = []
        for first, last in zip([START, *cuts], [*cuts, None], strict=True):
            if random.random() < 0.9:
                placements.append(Placement(f"room_{random.randrange(rooms)}", first, last))
        timelines[f"sensor_{number}"] = Timeline(tuple(placements))
    measured: Measured = {
        device: {
            hour: Hour(mean := random.uniform(5, 30), mean - 0.5, mean + 0.5)
            for hour in range(START, end, HOUR)
            if random.random() < 0.95
        }
        for device in timelines
    }
    return timelines, measured, end
