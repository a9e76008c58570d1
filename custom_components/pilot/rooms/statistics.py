"""Long-term statistics of rooms, made of those of the sensors that stood there.

Hours are only ever written over, never deleted and written again: whatever happens while
this runs, running it again ends in the same. What is to be computed stays noted until the
recorder has committed it.
"""

from functools import partial
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Final

from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    get_metadata,
    statistics_during_period,
    valid_statistic_id,
)
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.const import EVENT_RECORDER_HOURLY_STATISTICS_GENERATED
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.recorder import get_instance
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util, slugify
from sqlalchemy.exc import SQLAlchemyError

from ..const import DOMAIN, LOGGER
from .model import Span
from .quantities import QUANTITIES, Quantity
from .rooms import HOUR, Hour, Hours, hour_after, hour_of, hour_weights, room_hours, together

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .tracker import Tracker

CHUNK: Final = 60 * 24 * HOUR
"""As much is computed at once: what several years ago was corrected must not fill the memory."""


LONGEST: Final = 255
"""Characters that the recorder's tables have for ids and names; but for SQLite databases refuse
what is longer."""


def statistic_id_of(area_id: str, quantity: Quantity) -> str:
    """Return the id of a room's statistic."""
    statistic_id = f"{DOMAIN}:{area_id}_{quantity.key}"
    if not valid_statistic_id(statistic_id):
        statistic_id = f"{DOMAIN}:{slugify(area_id)}_{quantity.key}"
    if len(statistic_id) <= LONGEST:
        return statistic_id
    # Areas are told apart by what is cut off, too.
    digest = sha256(area_id.encode()).hexdigest()[:8]
    return f"{DOMAIN}:{slugify(area_id)[:200].rstrip('_')}_{digest}_{quantity.key}"


class RoomStatistics:
    """Keeps the rooms' statistics in step with placements and with what sensors measure."""

    def __init__(self, hass: HomeAssistant, tracker: Tracker) -> None:
        """Prepare to compute."""
        self.hass = hass
        self._tracker = tracker
        self._task: asyncio.Task[None] | None = None

    @callback
    def async_start(self) -> None:
        """Compute what is missing once Home Assistant has started, then hour by hour."""
        self.hass.bus.async_listen(EVENT_RECORDER_HOURLY_STATISTICS_GENERATED, self._on_hour)
        self._tracker.async_listen(self._wake)
        async_at_started(self.hass, self._on_started)

    @callback
    def _on_started(self, hass: HomeAssistant) -> None:
        self._tracker.async_compute_to(hour_of(dt_util.utcnow().timestamp()))

    @callback
    def _on_hour(self, event: Event) -> None:
        self._tracker.async_compute_to(hour_of(dt_util.utcnow().timestamp()))

    @callback
    def _wake(self) -> None:
        """Compute, unless that is going on already."""
        if self._tracker.state.pending and self._task is None and self.hass.is_running:
            self._task = self.hass.async_create_background_task(
                self._work(), "Pilot room statistics"
            )

    async def _work(self) -> None:
        try:
            # The event of a new hour comes just before the recorder has committed it.
            await self._recorder_done()
            while pending := dict(self._tracker.state.pending):
                for area_id, span in pending.items():
                    await self._compute(area_id, span)
                await self._recorder_done()
                await self._tracker.async_computed(pending)
        except HomeAssistantError, SQLAlchemyError:
            LOGGER.exception("Room statistics cannot be computed now; it is tried again every hour")
        finally:
            self._task = None

    async def _recorder_done(self) -> None:
        """Wait until the recorder has committed all that it was given."""
        done: asyncio.Future[None] = self.hass.loop.create_future()
        get_instance(self.hass).queue_task(SynchronizeTask(done))
        await done

    # --- What a room's hours are -------------------------------------------------------------

    async def async_room_hours(self, area_id: str, quantity: Quantity, span: Span) -> Hours:
        """Return the hours of a room, from what the sensors there measured."""
        start, end = int(span.start), int(span.end)
        weights = hour_weights(self._tracker.timelines, area_id, start, end)
        devices = {device_id for hour in weights.values() for device_id in hour}
        sources = {
            device_id: statistic_ids
            for device_id in devices
            if (statistic_ids := self._statistic_ids(device_id, quantity))
        }
        rows = await self._read(
            {statistic_id for ids in sources.values() for statistic_id in ids}, quantity, span
        )
        measured = {
            device_id: together([rows.get(statistic_id, {}) for statistic_id in statistic_ids])
            for device_id, statistic_ids in sources.items()
        }
        return room_hours(weights, measured)

    def _statistic_ids(self, device_id: str, quantity: Quantity) -> list[str]:
        sources = self._tracker.state.devices[device_id].sources.values()
        return sorted(
            {source.statistic_id for source in sources if source.quantity == quantity.key}
        )

    async def _read(
        self, statistic_ids: set[str], quantity: Quantity, span: Span
    ) -> dict[str, Hours]:
        """Return hours that the recorder has, in the quantity's unit."""
        if not statistic_ids:
            return {}
        return await get_instance(self.hass).async_add_executor_job(
            _read, self.hass, statistic_ids, quantity, span
        )

    # --- Writing -----------------------------------------------------------------------------

    async def _compute(self, area_id: str, span: Span) -> None:
        """Write a room's statistics for a time, or none at all if it is gone."""
        room = self._tracker.state.rooms[area_id]
        ids = {quantity: statistic_id_of(area_id, quantity) for quantity in QUANTITIES.values()}
        known = await get_instance(self.hass).async_add_executor_job(
            partial(get_metadata, self.hass, statistic_ids=set(ids.values()))
        )
        measured = self._quantities(area_id)
        if gone := [
            statistic_id
            for quantity, statistic_id in ids.items()
            if statistic_id in known
            and (room.removed or (quantity not in measured and not room.settled_to))
        ]:
            get_instance(self.hass).async_clear_statistics(gone)
        if room.removed:
            return
        names = await self._names()
        for quantity in measured:
            statistic_id = ids[quantity]
            metadata = StatisticMetaData(
                has_sum=False,
                mean_type=StatisticMeanType.ARITHMETIC,
                name=f"{room.name[: LONGEST - len(names[quantity]) - 1]} {names[quantity]}",
                source=DOMAIN,
                statistic_id=statistic_id,
                unit_class=quantity.unit_class,
                unit_of_measurement=quantity.unit,
            )
            if statistic_id in known and known[statistic_id][1]["name"] != metadata["name"]:
                async_add_external_statistics(self.hass, metadata, [])
            for chunk in self._chunks(area_id, span):
                await self._write(area_id, quantity, chunk, metadata)

    async def _write(
        self, area_id: str, quantity: Quantity, span: Span, metadata: StatisticMetaData
    ) -> None:
        """Write the hours that are not in the recorder as they are to be."""
        statistic_id = metadata["statistic_id"]
        there = (await self._read({statistic_id}, quantity, span)).get(statistic_id, {})
        hours = await self.async_room_hours(area_id, quantity, span)
        rows = [
            StatisticData(
                start=dt_util.utc_from_timestamp(hour),
                mean=value.mean,
                min=value.min,
                max=value.max,
            )
            for hour, value in sorted(hours.items())
            if there.get(hour) != value
        ] + [
            # Nothing stood here after all: a row without values, since rows cannot be deleted.
            StatisticData(start=dt_util.utc_from_timestamp(hour))
            for hour in sorted(there.keys() - hours.keys())
        ]
        if rows:
            async_add_external_statistics(self.hass, metadata, rows)

    def _quantities(self, area_id: str) -> list[Quantity]:
        """Return what was ever measured in a room."""
        keys = {
            source.quantity
            for record in self._tracker.state.devices.values()
            if any(placement.area == area_id for placement in record.timeline.placements)
            for source in record.sources.values()
        }
        return [quantity for quantity in QUANTITIES.values() if quantity.key in keys]

    def _chunks(self, area_id: str, span: Span) -> Iterable[Span]:
        """Return the full hours of a time, not too many at once."""
        first = min(
            (
                placement.start
                for record in self._tracker.state.devices.values()
                for placement in record.timeline.placements
                if placement.area == area_id
            ),
            default=inf,
        )
        if span.start > span.end:
            return
        # What a correction takes away lies before all that is left.
        now = dt_util.utcnow().timestamp()
        start = hour_of(span.start if span.start > 0 else min(first, now))
        # A clock that was ahead may have settled hours that are yet to come.
        settled_to = min(self._tracker.state.rooms[area_id].settled_to, now)
        start = max(start, hour_after(settled_to))
        end = min(hour_of(now), hour_after(min(span.end, now)))
        for chunk in range(start, end, CHUNK):
            yield Span(chunk, min(chunk + CHUNK, end))

    async def _names(self) -> dict[Quantity, str]:
        """Return what the quantities are called in the language of the house."""
        texts = await async_get_translations(
            self.hass, self.hass.config.language, "entity", {DOMAIN}
        )
        return {
            quantity: texts.get(
                f"component.{DOMAIN}.entity.sensor.{quantity.key}.name", quantity.key
            )
            for quantity in QUANTITIES.values()
        }


def _read(
    hass: HomeAssistant, statistic_ids: set[str], quantity: Quantity, span: Span
) -> dict[str, Hours]:
    """Read from the recorder's database."""
    understood = {
        statistic_id
        for statistic_id, (_, metadata) in get_metadata(hass, statistic_ids=statistic_ids).items()
        if quantity.understands(metadata["unit_of_measurement"])
    }
    if not understood:
        return {}
    rows = statistics_during_period(
        hass,
        dt_util.utc_from_timestamp(span.start),
        dt_util.utc_from_timestamp(span.end),
        understood,
        "hour",
        {} if quantity.unit_class is None else {quantity.unit_class: quantity.unit},
        {"mean", "min", "max"},
    )
    return {
        statistic_id: {
            int(row["start"]): Hour(
                mean,
                mean if (low := row["min"]) is None else low,
                mean if (high := row["max"]) is None else high,
            )
            for row in of_one
            if (mean := row["mean"]) is not None
        }
        for statistic_id, of_one in rows.items()
    }
