"""A slow, obvious reference for hours, and outages to try it on."""

from collections.abc import Mapping
from statistics import fmean

from hypothesis import strategies as st

from custom_components.pilot.protocol.backlog import Point
from custom_components.pilot.rooms.rooms import HOUR, Hour

START = 1_793_952_000 - 1_793_952_000 % HOUR

type Heard = Mapping[int, float | None]
"""What was heard at full seconds."""


def hour_by_seconds(heard: Heard, hour: int) -> Hour | None:
    """Return an hour as the recorder makes it: every second of every five minutes counts once."""
    periods: list[Hour] = []
    for start in range(hour, hour + HOUR, 300):
        earlier = [second for second in heard if second < start]
        now = heard[max(earlier)] if earlier else None
        # Extremes know what held just before the period, even if it changes at its start.
        seen = [] if now is None else [now]
        seconds: list[float] = []
        for second in range(start, start + 300):
            if (value := heard.get(second)) is not None:
                now = value
                seen.append(value)
            if now is not None:
                seconds.append(now)
        if seconds:
            periods.append(Hour(fmean(seconds), min(seen), max(seen)))
    if not periods:
        return None
    return Hour(
        fmean(period.mean for period in periods),
        min(period.min for period in periods),
        max(period.max for period in periods),
    )


def points(heard: Heard) -> list[Point]:
    """Return the same as points."""
    return [Point(float(second), heard[second]) for second in sorted(heard)]


@st.composite
def days(draw: st.DrawFn, *, hours: int = 4) -> dict[int, float | None]:
    """Return what a sensor says in some hours: values at any second, and sometimes none."""
    seconds = draw(st.sets(st.integers(0, hours * HOUR - 1), min_size=1, max_size=40))
    value = st.none() | st.integers(-400, 600).map(lambda tenths: tenths / 10)
    return {START + second: draw(value) for second in sorted(seconds)}
