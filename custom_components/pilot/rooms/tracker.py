"""Follows where devices stand, and takes the user's corrections."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic
from typing import Final

from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.util import dt as dt_util

from ..const import DOMAIN, LOGGER
from .model import Placement, PlacementError, Span, Timeline, affected
from .quantities import async_sources, quantity_of
from .rooms import HOUR
from .store import NOTHING, PlacementStore, Record, Room, State, to_stored

CLOCK_STEP: Final = 60.0
"""By how much more than time itself a clock has to go on to have been set, in seconds."""

MAX_DEVICES: Final = 300
"""Devices whose placements are kept; those removed longest ago go first."""

type Change = Callable[[Timeline, float], Timeline]
"""A correction of a timeline, given what time it is now."""


@dataclass(slots=True)
class _Cut:
    """A timeline with something after now in it, before that was taken away.

    Either the clock was ahead, or it is behind: that shows when it is set forward.

    Attributes:
        timeline: As it was.
        at: When it was cut.
        elapsed: The same, in monotonic seconds.
        moves: Where the device stood since, and from when on in monotonic seconds.
    """

    timeline: Timeline
    at: float
    elapsed: float
    moves: list[tuple[str | None, float]] = field(default_factory=list)


class Tracker:
    """The placements of all devices, in step with Home Assistant's registries."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to load what is kept."""
        self.hass = hass
        self.state = State()
        self._areas = ar.async_get(hass)
        self._devices = dr.async_get(hass)
        self._entities = er.async_get(hass)
        self._store = PlacementStore(hass)
        self._listeners: list[CALLBACK_TYPE] = []
        # When devices were moved since the start, in monotonic seconds: what a clock that was
        # ahead has dated is known nevertheless.
        self._moved_at: dict[str, float] = {}
        self._cut: dict[str, _Cut] = {}
        self._reached: float | None = None
        """What statistics were computed up to by a clock that was further on."""

    async def async_start(self) -> None:
        """Load what is kept, take up what happened meanwhile, and follow what happens next.

        Raises:
            UnreadableFileError: What is kept cannot be read. It is not touched.
        """
        if (state := await self._store.async_read()) is not None:
            self.state = state
        now = dt_util.utcnow().timestamp()
        for area_id in list(self.state.rooms):
            self._follow_room(area_id)
        for device_id in list(self.state.devices):
            self._follow_sources(device_id)
            if not self._put_right(device_id, now):
                self._restore_move(device_id)
            self._follow_device(device_id, self._modified_at(device_id, now))
        for entity in list(self._entities.entities.values()):
            if (sensor_id := self._room_sensor(entity)) is not None:
                self._take_up(sensor_id)
        # Nothing may happen unheard between looking and listening.
        listen = self.hass.bus.async_listen
        listen(ar.EVENT_AREA_REGISTRY_UPDATED, self._on_area)
        listen(dr.EVENT_DEVICE_REGISTRY_UPDATED, self._on_device)
        listen(er.EVENT_ENTITY_REGISTRY_UPDATED, self._on_entity)
        await self._save()

    # --- Questions ---------------------------------------------------------------------------

    @property
    def timelines(self) -> dict[str, Timeline]:
        """The timelines of all devices."""
        return {device_id: record.timeline for device_id, record in self.state.devices.items()}

    def area_name(self, area_id: str) -> str:
        """Return the name of an area, which may not be there any more."""
        room = self.state.rooms.get(area_id)
        return area_id if room is None else room.name

    def record(self, device_id: str) -> Record:
        """Return what is kept of a device, or tell the user that nothing is."""
        if (record := self.state.devices.get(device_id)) is not None:
            return record
        device = self._devices.async_get(device_id)
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="device_not_tracked",
            translation_placeholders={"device": _name(device) if device else device_id},
        )

    @callback
    def async_listen(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call this whenever anything has changed."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- What the user does ------------------------------------------------------------------

    async def async_track(self, device_id: str) -> Record:
        """Keep the placements of any device from now on."""
        device = self._devices.async_get(device_id)
        if device is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="unknown_device",
                translation_placeholders={"device": device_id},
            )
        if device_id not in self.state.devices and len(self.state.devices) >= MAX_DEVICES:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="too_many_devices",
                translation_placeholders={"limit": str(MAX_DEVICES)},
            )
        self._take_up(device_id, picked=True)
        await self._changed()
        return self.record(device_id)

    async def async_untrack(self, device_id: str) -> None:
        """Forget a device and its placements."""
        record = self.record(device_id)
        if any(
            self._room_sensor(entity)
            for entity in er.async_entries_for_device(
                self._entities, device_id, include_disabled_entities=True
            )
        ):
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="room_sensor_stays_tracked",
                translation_placeholders={"device": record.name},
            )
        self._forget(device_id)
        await self._changed()

    async def async_correct(self, device_id: str, change: Change) -> Record:
        """Correct the placements of a device, and have computed anew what depends on them."""
        self._put_all_right()
        record = self.record(device_id)
        self._correct(device_id, record, _changed(record, change))
        self._cut.pop(device_id, None)
        await self._changed()
        return self.record(device_id)

    async def async_merge(self, area_id: str, into: str) -> None:
        """Give one room's past to another: of all devices, or of none if one stands there now."""
        if area_id == into:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="same_area",
                translation_placeholders={"area": self.area_name(area_id)},
            )
        self._put_all_right()
        merged = {
            device_id: _changed(record, lambda timeline, _: timeline.merge(area_id, into))
            for device_id, record in self.state.devices.items()
            if any(placement.area == area_id for placement in record.timeline.placements)
        }
        for device_id, timeline in merged.items():
            self._correct(device_id, self.state.devices[device_id], timeline)
            self._cut.pop(device_id, None)
        await self._changed()

    # --- What the statistics need ------------------------------------------------------------

    async def async_statistics_changed(self, device_id: str, start: float, end: float) -> None:
        """Have the rooms computed anew that a device stood in then: it has other values now."""
        if (record := self.state.devices.get(device_id)) is None:
            return
        for placement in record.timeline.within(start, end):
            self._recompute(placement.area, Span(start, end))
        await self._changed()

    @callback
    def async_compute_to(self, hour: int) -> None:
        """Have all rooms computed up to this hour.

        The last hour is always computed: at the start it may not have been complete yet.
        """
        self._put_all_right()
        computed_to = self.state.computed_to
        if computed_to is not None and computed_to > hour:
            # The clock was ahead, or is behind. Only in the second case all of it was computed.
            self._reached = max(computed_to, self._reached or 0)
            computed_to = None
        elif self._reached is not None and hour >= self._reached:
            computed_to, self._reached = self._reached, None
        start = hour - HOUR if computed_to is None else min(computed_to, hour - HOUR)
        for record in self.state.devices.values():
            for placement in record.timeline.within(start, hour):
                self._recompute(placement.area, Span(start, hour))
        self.state.computed_to = hour
        # It is written once it is so: after a crash in between it is simply done again.
        self._tell()

    async def async_computed(self, done: Mapping[str, Span]) -> None:
        """Take note of what has been computed, unless it has to be again."""
        for area_id, span in done.items():
            if self.state.pending.get(area_id) == span:
                del self.state.pending[area_id]
        self._tidy()
        await self._save()

    # --- What happens ------------------------------------------------------------------------

    @callback
    def _on_area(self, event: Event[ar.EventAreaRegistryUpdatedData]) -> None:
        area_id = event.data["area_id"]
        if area_id is not None and self._follow_room(area_id):
            self._changed_soon()

    @callback
    def _on_device(self, event: Event[dr.EventDeviceRegistryUpdatedData]) -> None:
        now = dt_util.utcnow().timestamp()
        changed = self._put_all_right()
        for device_id in self._with_children(event.data["device_id"]):
            changed |= self._follow_device(device_id, now)
        if changed:
            self._changed_soon()

    def _with_children(self, device_id: str) -> list[str]:
        """Return a device and those that stand where it does: they have no event of their own."""
        return [device_id] + [
            other
            for other in self.state.devices
            if isinstance(device := self._devices.async_get(other), dr.ChildDeviceEntry)
            and device.parent_device_id == device_id
        ]

    @callback
    def _on_entity(self, event: Event[er.EventEntityRegistryUpdatedData]) -> None:
        if (entity := self._entities.async_get(event.data["entity_id"])) is None:
            # What a removed entity measured is still there.
            return
        changed = False
        if (device_id := self._room_sensor(entity)) is not None:
            changed = self._take_up(device_id)
        if entity.device_id in self.state.devices:
            changed |= self._follow_sources(entity.device_id)
        if changed:
            self._changed_soon()

    # --- Inside ------------------------------------------------------------------------------

    def _room_sensor(self, entity: er.RegistryEntry) -> str | None:
        """Return the device of an entity that makes it one of Pilot's room sensors."""
        is_one = (
            entity.platform == DOMAIN
            and entity.device_id is not None
            and quantity_of(entity) is not None
            and (device := self._devices.async_get(entity.device_id)) is not None
            and (isinstance(device, dr.ChildDeviceEntry) or device.via_device_id is not None)
        )
        return entity.device_id if is_one else None

    def _take_up(self, device_id: str, *, picked: bool = False) -> bool:
        """Begin to keep the placements of a device, which stands where it stands now."""
        record = self.state.devices.get(device_id)
        if record is None:
            device = self._devices.async_get(device_id)
            assert device is not None
            self._make_room()
            self.state.devices[device_id] = Record(_name(device), picked=picked)
            self._follow_sources(device_id)
            self._follow_device(device_id, dt_util.utcnow().timestamp())
            return True
        if picked and not record.picked:
            self._set(device_id, replace(record, picked=True))
            return True
        return False

    def _make_room(self) -> None:
        """Forget the device that was removed longest ago, if there are too many."""
        if len(self.state.devices) < MAX_DEVICES:
            return
        removed = {
            device_id: record.removed_at
            for device_id, record in self.state.devices.items()
            if record.removed_at is not None
        }
        if removed:
            oldest = min(removed, key=lambda device_id: removed[device_id])
            self._settle(self.state.devices.pop(oldest).timeline.placements)

    def _settle(self, placements: Iterable[Placement]) -> None:
        """Leave the statistics of rooms as they are, as far as these placements made them."""
        for placement in placements:
            room = self.state.rooms[placement.area]
            settled_to = max(room.settled_to, placement.end or placement.start)
            self.state.rooms[placement.area] = replace(room, settled_to=settled_to)

    def _forget(self, device_id: str) -> None:
        record = self.state.devices.pop(device_id)
        self._moved_at.pop(device_id, None)
        self._cut.pop(device_id, None)
        for area_id, span in affected(record.timeline, Timeline()).items():
            self._recompute(area_id, span)

    def _follow_device(self, device_id: str, at: float) -> bool:
        """Record where a device stands since then, what it is called, and whether it is there."""
        if (record := self.state.devices.get(device_id)) is None:
            return False
        device = self._devices.async_get(device_id)
        area_id = None if device is None else dr.async_get_effective_area_id(self.hass, device)
        if area_id is not None and not self._know_room(area_id):
            area_id = None
        timeline = record.timeline.stand(area_id, at)
        if timeline is not record.timeline:
            self._moved_at[device_id] = monotonic()
            if (cut := self._cut.get(device_id)) is not None:
                cut.moves.append((area_id, monotonic()))
        if timeline.placements:
            oldest = timeline.placements[0].start
            self._settle(p for p in record.timeline.placements if p.start < oldest)
        if device is None:
            removed_at = at if record.removed_at is None else record.removed_at
            new = replace(record, timeline=timeline, removed_at=removed_at)
        else:
            new = replace(record, timeline=timeline, removed_at=None, name=_name(device))
        if new == record:
            return False
        self._set(device_id, new)
        # Usually the hour is yet to be computed. After a time without Pilot it may not be.
        for current in (record.timeline.current, timeline.current):
            if current is not None and timeline is not record.timeline:
                self._recompute(current.area, Span(at, inf))
        return True

    def _restore_move(self, device_id: str) -> None:
        """Move a device again whose last move Home Assistant lost.

        It writes its registries some time after a change, Pilot writes placements at once: a
        crash in between leaves an entry that is older than the move.
        """
        device = self._devices.async_get(device_id, include_child_devices=False)
        current = self.state.devices[device_id].timeline.current
        if (
            device is not None
            and current is not None
            and device.area_id != current.area
            and device.modified_at.timestamp() < current.start
            and self._areas.async_get_area(current.area) is not None
        ):
            LOGGER.info("%s is in %s again, as before the crash", _name(device), current.area)
            self._devices.async_update_device(device_id, area_id=current.area)

    def _modified_at(self, device_id: str, now: float) -> float:
        """Return when a device was last changed: if it was moved unseen, it was not later."""
        device = self._devices.async_get(device_id)
        if device is None:
            return now
        modified = device.modified_at
        if isinstance(device, dr.ChildDeviceEntry) and device.area_id is None:
            parent = self._devices.async_get(device.parent_device_id)
            if parent is not None:
                modified = max(modified, parent.modified_at)
        # Not before it was last known to stand elsewhere: every hour that was computed.
        return min(now, max(modified.timestamp(), self.state.computed_to or 0))

    def _follow_sources(self, device_id: str) -> bool:
        """Keep the names of a device's statistics, also of those that it makes no more."""
        record = self.state.devices[device_id]
        sources = {**record.sources, **async_sources(self.hass, device_id)}
        if sources == record.sources:
            return False
        self._set(device_id, replace(record, sources=sources))
        return True

    def _know_room(self, area_id: str) -> bool:
        """Take note of an area that a device stands in; say whether there is such an area."""
        if (area := self._areas.async_get_area(area_id)) is None:
            return False
        self.state.rooms.setdefault(area_id, Room(area.name))
        return True

    def _follow_room(self, area_id: str) -> bool:
        """Record a room's name, and whether it is there; its history stays in any case."""
        if (room := self.state.rooms.get(area_id)) is None:
            return False
        area = self._areas.async_get_area(area_id)
        if area is None:
            new = replace(room, removed=True)
        else:
            new = replace(room, removed=False, name=area.name)
        if new == room:
            return False
        self.state.rooms[area_id] = new
        if room.removed and not new.removed:
            self._recompute(area_id, Span(0, inf))
        else:
            # A new name, or nothing at all any more: no hour has to be computed for it.
            self._recompute(area_id, NOTHING)
        return True

    def _put_all_right(self) -> bool:
        """Take away what begins or ends after now; say whether there was anything."""
        now = dt_util.utcnow().timestamp()
        changed = [self._put_right(device_id, now) for device_id in self.state.devices]
        return any(changed)

    def _put_right(self, device_id: str, now: float) -> bool:
        record, elapsed = self.state.devices[device_id], monotonic()
        timeline = self._before_the_clock_was_behind(device_id, now, elapsed) or record.timeline
        moved_at = self._moved_at.get(device_id)
        right = timeline.put_right(now, None if moved_at is None else now - (elapsed - moved_at))
        if right is not timeline:
            self._cut.setdefault(device_id, _Cut(timeline, now, elapsed))
            LOGGER.warning(
                "%s was moved in the future, as if the clock was ahead: it is as if moved now",
                record.name,
            )
        if right is record.timeline:
            return False
        self._correct(device_id, record, right)
        return True

    def _before_the_clock_was_behind(
        self, device_id: str, now: float, elapsed: float
    ) -> Timeline | None:
        """Return what was taken from a timeline, once the clock was set forward beyond it."""
        cut = self._cut.get(device_id)
        if (
            cut is None
            or cut.timeline.changed_at > now
            or now - cut.at < elapsed - cut.elapsed + CLOCK_STEP
        ):
            return None
        del self._cut[device_id]
        timeline = cut.timeline
        for area_id, moved_at in cut.moves:
            timeline = timeline.stand(area_id, now - (elapsed - moved_at))
        LOGGER.warning(
            "The clock was behind: where %s stood before is known again",
            self.state.devices[device_id].name,
        )
        return timeline

    def _correct(self, device_id: str, record: Record, timeline: Timeline) -> None:
        for placement in timeline.placements:
            self._know_room(placement.area)
        self._set(device_id, replace(record, timeline=timeline))
        for area_id, span in affected(record.timeline, timeline).items():
            self._recompute(area_id, span)

    def _set(self, device_id: str, record: Record) -> None:
        self.state.devices[device_id] = record

    def _recompute(self, area_id: str, span: Span) -> None:
        pending = self.state.pending
        pending[area_id] = pending[area_id] | span if area_id in pending else span

    def _tidy(self) -> None:
        """Forget rooms that are gone and that nothing ever stood in."""
        used = {
            placement.area
            for record in self.state.devices.values()
            for placement in record.timeline.placements
        }
        for area_id, room in list(self.state.rooms.items()):
            if room.removed and area_id not in used and area_id not in self.state.pending:
                del self.state.rooms[area_id]

    def _changed_soon(self) -> None:
        self.hass.async_create_task(self._changed(), "Pilot placements", eager_start=True)

    async def _changed(self) -> None:
        """Write, then tell."""
        await self._save()
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    async def _save(self) -> None:
        await self._store.async_save(to_stored(self.state))


def _changed(record: Record, change: Change) -> Timeline:
    """Return a device's timeline with a change, or tell the user why it cannot be."""
    try:
        return change(record.timeline, dt_util.utcnow().timestamp())
    except PlacementError as err:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key=err.fault.value,
            translation_placeholders={"device": record.name},
        ) from err


def _name(device: dr.AnyDeviceEntry) -> str:
    return device.name_by_user or device.name or device.id
