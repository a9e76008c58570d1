"""What the recorder's hours are with a backlog in them. Runs in the recorder's executor."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from homeassistant.components.recorder import history
from homeassistant.components.recorder.db_schema import StatisticsRuns
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
    process_timestamp,
)
from homeassistant.components.recorder.statistics import (
    UNIT_CLASS_TO_UNIT_CONVERTER,
    StatisticsRow,
    get_metadata,
    statistics_during_period,
)
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.util import dt as dt_util
from sqlalchemy import func

from ..protocol.backlog import Point
from ..rooms.rooms import HOUR, Hour, hour_of
from .hours import PERIOD, Counter, Series, counted_hours, merge, shared_hour
from .store import MAX_AGE, Kept

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant, State

_TOLERANCE: Final = 1e-6

type Convert = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Job:
    """Hours of one statistic that are to be computed.

    Attributes:
        kept: The backlog as it was when this was decided.
        end: The hours before this one are compiled and complete.
        state: The entity's state now.
        heard: When the host had delivered all that it had.
    """

    host_id: str
    key: str
    kept: Kept
    entity_id: str
    device_id: str | None
    end: int
    state: State | None
    heard: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What came of a job.

    Attributes:
        metadata: The recorder's, as it is.
        rows: What is to be written.
        bases: What the recorder had before, for hours that depend on it.
        series: The states as they would have been.
    """

    job: Job
    metadata: StatisticMetaData
    series: Series
    rows: list[StatisticData] = field(default_factory=list)
    bases: dict[int, Hour | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A job for which the recorder has no statistic, or none in a unit that fits."""

    job: Job
    reason: str


def compiled_to(hass: HomeAssistant) -> int:
    """Return up to which hour the recorder has compiled its statistics."""
    with session_scope(hass=hass, read_only=True) as session:
        last = process_timestamp(session.query(func.max(StatisticsRuns.start)).scalar())
    return 0 if last is None else hour_of(last.timestamp() + PERIOD)


def known_statistics(hass: HomeAssistant, statistic_ids: set[str]) -> set[str]:
    """Return those that the recorder has."""
    return set(get_metadata(hass, statistic_ids=statistic_ids))


def compute(hass: HomeAssistant, job: Job) -> Work | Unknown:
    """Compute hours, or say why that is not possible yet.

    An entity that has a value gets a statistic from the recorder within five minutes.
    """
    known = get_metadata(hass, statistic_ids={job.entity_id}).get(job.entity_id)
    if known is None:
        return Unknown(job, "no_statistic")
    metadata = known[1]
    convert = _converter(metadata, job.kept.unit)
    if convert is None:
        return Unknown(job, "other_unit")
    start = job.kept.start
    backlog = [
        Point(point.at, None if point.value is None else convert(point.value))
        for point in job.kept.points
        if point.at >= start
    ]
    own = _own_states(hass, job, metadata)
    work = Work(job, metadata, Series(merge(own, backlog, job.heard)))
    assert job.kept.todo_from is not None
    hours = range(job.kept.todo_from, job.end, HOUR)
    if metadata["has_sum"]:
        _count(hass, work, hours)
    elif metadata["mean_type"] is StatisticMeanType.ARITHMETIC:
        # Rows of hours that are gone have the points in them that were kept for the next hour.
        gone = {at for at in job.kept.holds if job.kept.is_gone(hour_of(at))}
        _measure(hass, work, hours, Series(merge([], (p for p in backlog if p.at not in gone))))
    return work


def is_written(hass: HomeAssistant, work: Work) -> bool:
    """Say whether the recorder has what was to be written."""
    if not work.rows:
        return True
    starts = [row["start"].timestamp() for row in work.rows]
    there = {
        row["start"]: row for row in _rows(hass, work.metadata, min(starts), max(starts) + HOUR)
    }
    return all(
        (found := there.get(row["start"].timestamp())) is not None
        and _same(row.get("mean"), found.get("mean"))
        and _same(row.get("min"), found.get("min"))
        and _same(row.get("max"), found.get("max"))
        and _same(row.get("state"), found.get("state"))
        and _same(row.get("sum"), found.get("sum"))
        for row in work.rows
    )


# --- Values --------------------------------------------------------------------------------------


def _measure(hass: HomeAssistant, work: Work, hours: Sequence[int], alone: Series) -> None:
    """Compute mean, minimum and maximum."""
    kept = work.job.kept
    purged_to = _purged_to(hass)
    there: dict[int, Hour] | None = None
    for hour in hours:
        gone = kept.is_gone(hour)
        if not gone and hour >= purged_to:
            value = work.series.hour(hour) if work.series.touched(hour) else None
        elif alone.within(hour, hour + HOUR) or (not gone and alone.touched(hour)):
            # Neither the states of that hour nor the rest of its backlog are there any more.
            if there is None:
                there = _measured(_rows(hass, work.metadata, hours[0], work.job.end))
            if hour not in work.bases:
                work.bases[hour] = kept.bases[hour] if hour in kept.bases else there.get(hour)
            value = shared_hour(work.bases[hour], alone, hour)
            if work.bases[hour] is not None and not alone.within(hour, hour + HOUR):
                value = None  # Whether the value still held is not known any more.
        else:
            value = None
        if value is not None:
            work.rows.append(
                StatisticData(
                    start=dt_util.utc_from_timestamp(hour),
                    mean=value.mean,
                    min=value.min,
                    max=value.max,
                )
            )


def _count(hass: HomeAssistant, work: Work, hours: Sequence[int]) -> None:
    """Compute what a counter showed, and its sum."""
    if not hours:
        return
    before = [
        Counter(state, total)
        for row in _rows(hass, work.metadata, hours[0] - MAX_AGE, hours[0])
        if (state := row.get("state")) is not None and (total := row.get("sum")) is not None
    ]
    if not before:
        return  # Nothing was counted before, so there is nothing to go on from.
    purged_to = _purged_to(hass)
    for hour, value in counted_hours(work.series, hours, before[-1]).items():
        if hour >= purged_to and not work.job.kept.is_gone(hour):
            work.rows.append(
                StatisticData(
                    start=dt_util.utc_from_timestamp(hour), state=value.state, sum=value.sum
                )
            )


# --- The recorder --------------------------------------------------------------------------------


def _converter(metadata: StatisticMetaData, unit: str | None) -> Convert | None:
    """Return what makes the statistic's unit of another one; None if nothing can."""
    statistics_unit, unit_class = metadata["unit_of_measurement"], metadata["unit_class"]
    if unit == statistics_unit:
        return lambda value: value
    converter = UNIT_CLASS_TO_UNIT_CONVERTER.get(unit_class or "")
    if converter is None or unit not in converter.VALID_UNITS:
        return None
    return converter.converter_factory(unit, statistics_unit)


def _purged_to(hass: HomeAssistant) -> float:
    """Return up to when the recorder may have no states any more."""
    return dt_util.utcnow().timestamp() - get_instance(hass).keep_days * 24 * HOUR


def _own_states(hass: HomeAssistant, job: Job, metadata: StatisticMetaData) -> list[Point]:
    """Return the states that the recorder has of an entity, up to now."""
    start = job.kept.start
    with session_scope(hass=hass, read_only=True) as session:
        states = history.get_full_significant_states_with_session(
            hass,
            session,
            dt_util.utc_from_timestamp(start) - timedelta.resolution,
            entity_ids=[job.entity_id],
            significant_changes_only=not metadata["has_sum"],
        ).get(job.entity_id, [])
        if not states and job.state is not None and job.state.last_changed.timestamp() < start:
            # It has not changed for so long that the recorder has forgotten when it did.
            states = [job.state]
        return list(_points(states, metadata))


def _points(states: Iterable[State], metadata: StatisticMetaData) -> Iterable[Point]:
    """Return values in the statistic's unit; what the recorder would leave out has none.

    The recorder dates the state before the start just before it.
    """
    converters: dict[str | None, Convert | None] = {}
    for state in states:
        at = state.last_updated.timestamp()
        try:
            value = float(state.state)
        except ValueError:
            yield Point(at, None)
            continue
        unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
        if unit not in converters:
            converters[unit] = _converter(metadata, unit)
        convert = converters[unit]
        yield Point(at, convert(value) if convert is not None and isfinite(value) else None)


def _rows(
    hass: HomeAssistant, metadata: StatisticMetaData, start: float, end: float
) -> list[StatisticsRow]:
    """Return hours as the recorder has them, in the statistic's own unit."""
    unit_class, unit = metadata["unit_class"], metadata["unit_of_measurement"]
    return statistics_during_period(
        hass,
        dt_util.utc_from_timestamp(start),
        dt_util.utc_from_timestamp(end),
        {metadata["statistic_id"]},
        "hour",
        {} if unit_class is None or unit is None else {unit_class: unit},
        {"mean", "min", "max", "state", "sum"},
    ).get(metadata["statistic_id"], [])


def _measured(rows: Iterable[StatisticsRow]) -> dict[int, Hour]:
    return {
        int(row["start"]): Hour(mean, low, high)
        for row in rows
        if (mean := row.get("mean")) is not None
        and (low := row.get("min")) is not None
        and (high := row.get("max")) is not None
    }


def _same(wanted: float | None, there: float | None) -> bool:
    if wanted is None or there is None:
        return wanted is there
    return abs(wanted - there) <= _TOLERANCE * max(1.0, abs(wanted))
