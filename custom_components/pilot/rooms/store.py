"""What is known of placements, and how it is kept in Home Assistant's storage.

Every change is written at once and as a whole, to a new file that replaces the old one: a
crash leaves the state before it or the state after it. What a change makes necessary, the
room statistics to compute anew, is part of the same state.
"""

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypedDict

from ..const import DOMAIN
from ..storage import PilotStore, boolean, number, optional_number, text
from .model import Placement, PlacementError, Span, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeassistant.core import HomeAssistant

VERSION: Final = 1
MINOR_VERSION: Final = 1
KEY: Final = f"{DOMAIN}.placements"

NOTHING: Final = Span(inf, -inf)
"""No time at all: of a room's statistics only the names are to be looked at."""


@dataclass(frozen=True, slots=True)
class Source:
    """A long-term statistic that measures a quantity where a device stands."""

    statistic_id: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Record:
    """A device whose placements are kept."""

    name: str
    timeline: Timeline = field(default_factory=Timeline)
    sources: Mapping[str, Source] = field(default_factory=dict)
    """By the id of the entity's registry entry, which a new entity id does not change."""
    picked: bool = False
    """The user asked for it; Pilot's room sensors need not be asked for."""
    removed_at: float | None = None
    """It is no longer in Home Assistant, and its history is kept."""


@dataclass(frozen=True, slots=True)
class Room:
    """An area that a device stood in."""

    name: str
    removed: bool = False
    settled_to: float = 0.0
    """What its statistics were made of up to here is not kept any more: they stay as they are."""


@dataclass(slots=True)
class State:
    """All that is kept."""

    devices: dict[str, Record] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    pending: dict[str, Span] = field(default_factory=dict)
    """Rooms whose statistics are still to be computed for these times."""
    computed_to: float | None = None
    """The statistics of all rooms are computed up to here, but for those pending."""


class _StoredSource(TypedDict):
    statistic_id: str
    quantity: str


class _StoredDevice(TypedDict):
    name: str
    picked: bool
    removed_at: float | None
    sources: dict[str, _StoredSource]
    placements: list[tuple[str, float, float | None]]


class _StoredRoom(TypedDict):
    name: str
    removed: bool
    settled_to: float


class Stored(TypedDict):
    """The state as JSON has it."""

    devices: dict[str, _StoredDevice]
    rooms: dict[str, _StoredRoom]
    pending: dict[str, tuple[float, float | None] | None]
    computed_to: float | None


def to_stored(state: State) -> Stored:
    """Return a copy of the state for the storage, which shares nothing with it."""
    return {
        "devices": {
            device_id: {
                "name": record.name,
                "picked": record.picked,
                "removed_at": record.removed_at,
                "sources": {
                    registry_id: {
                        "statistic_id": source.statistic_id,
                        "quantity": source.quantity,
                    }
                    for registry_id, source in record.sources.items()
                },
                "placements": [
                    (placement.area, placement.start, placement.end)
                    for placement in record.timeline.placements
                ],
            }
            for device_id, record in state.devices.items()
        },
        "rooms": {
            area_id: {
                "name": room.name,
                "removed": room.removed,
                "settled_to": room.settled_to,
            }
            for area_id, room in state.rooms.items()
        },
        "pending": {
            area_id: None
            if span == NOTHING
            else (span.start, None if span.end == inf else span.end)
            for area_id, span in state.pending.items()
        },
        "computed_to": state.computed_to,
    }


def from_stored(stored: Stored) -> State:
    """Return the state as it was kept, or raise one of `storage.ODD`."""
    state = State(
        devices={device_id: _record(device) for device_id, device in stored["devices"].items()},
        rooms={
            area_id: Room(text(room["name"]), boolean(room["removed"]), number(room["settled_to"]))
            for area_id, room in stored["rooms"].items()
        },
        pending={area_id: _span(span) for area_id, span in stored["pending"].items()},
        computed_to=optional_number(stored["computed_to"]),
    )
    stood_in = {
        placement.area
        for record in state.devices.values()
        for placement in record.timeline.placements
    }
    # A version may have kept no names.
    for area_id in stood_in | state.pending.keys():
        state.rooms.setdefault(area_id, Room(area_id))
    return state


def _record(device: _StoredDevice) -> Record:
    try:
        timeline = Timeline(
            tuple(
                Placement(text(area), number(start), optional_number(end))
                for area, start, end in device["placements"]
            )
        )
    except PlacementError as err:
        raise ValueError(f"the placements of {device['name']} cannot be: {err}") from err
    return Record(
        name=text(device["name"]),
        timeline=timeline,
        sources={
            registry_id: Source(text(source["statistic_id"]), text(source["quantity"]))
            for registry_id, source in device["sources"].items()
        },
        picked=boolean(device["picked"]),
        removed_at=optional_number(device["removed_at"]),
    )


def _span(span: tuple[float, float | None] | None) -> Span:
    if span is None:
        return NOTHING
    start, end = span
    return Span(number(start), inf if end is None else number(end))


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """Return what an older or a newer minor version kept, as this version has it.

    Within a major version fields are only added: what a newer one adds is left out, what an
    older one lacks gets the value that says "nothing known".
    """
    return {
        "devices": {
            device_id: {
                "name": device["name"],
                "picked": device.get("picked", False),
                "removed_at": device.get("removed_at"),
                "sources": device.get("sources", {}),
                "placements": [placement[:3] for placement in device["placements"]],
            }
            for device_id, device in data["devices"].items()
        },
        "rooms": {
            area_id: {
                "name": room["name"],
                "removed": room.get("removed", False),
                "settled_to": room.get("settled_to", 0.0),
            }
            for area_id, room in data.get("rooms", {}).items()
        },
        "pending": data.get("pending", {}),
        "computed_to": data.get("computed_to"),
    }


class PlacementStore(PilotStore[Stored, State]):
    """The file of placements."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to read them."""
        super().__init__(
            hass,
            KEY,
            VERSION,
            MINOR_VERSION,
            from_stored,
            migrate=migrate,
            serialize_in_event_loop=False,
        )
