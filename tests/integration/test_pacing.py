"""Very many hosts at once: Home Assistant goes on with other things in between."""

import asyncio
from bisect import bisect_left
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING
from unittest.mock import Mock

from homeassistant.const import EVENT_STATE_CHANGED, EVENT_STATE_REPORTED
from homeassistant.core import callback
import pytest

from custom_components.pilot.pacing import (
    AT_ONCE,
    BURST,
    LONGEST_PAUSE,
    PAUSE,
    PER_SECOND,
    SHARE,
    SLICE,
    TURNS,
    Pacer,
)
from support.integration_host import ANNOUNCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeassistant.core import HomeAssistant
    from pytest_homeassistant_custom_component.common import MockConfigEntry

    from support.integration_host import FakeHost


class Loop:
    """An event loop whose time is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, work: Callable[[], None]) -> Mock:
        self.later.append((self.now + delay, work))
        return Mock()

    def call_soon(self, work: Callable[[], None]) -> None:
        self.soon.append(work)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time go by, and call what is due."""
        self.now += seconds
        due = [work for at, work in self.later if at <= self.now]
        self.later = [(at, work) for at, work in self.later if at > self.now]
        soon, self.soon = self.soon, []
        for work in (*soon, *due):
            work()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pacer(loop: Loop) -> Pacer:
    return Pacer(Mock(loop=loop), loop.time)


def entities(count: int, log: list[int]) -> list[Mock]:
    """Return entities that note when they are written."""
    return [
        Mock(async_write_ha_state=lambda number=number: log.append(number))
        for number in range(count)
    ]


def test_few_states_are_written_at_once(loop: Loop, pacer: Pacer) -> None:
    """One host feels nothing of it, however many readings it has and however often."""
    written: list[int] = []
    for _ in range(20):
        for entity in entities(200, written):
            pacer.write(entity)
        loop.turn(1.0)

    assert len(written) == 4000
    assert loop.later == []


def test_a_thousand_in_a_quarter_of_a_second(loop: Loop, pacer: Pacer) -> None:
    """Of forty thousand that change in one event: some at once, the rest in order."""
    written: list[int] = []
    for entity in entities(40_000, written):
        pacer.write(entity)
    assert len(written) == AT_ONCE

    counts = [len(written)]
    while loop.later:
        loop.turn(PAUSE)
        counts.append(len(written))

    assert written == list(range(40_000))
    window = round(0.25 / PAUSE)
    most = max(later - before for before, later in zip(counts, counts[window:], strict=False))
    assert most <= AT_ONCE + 0.25 * PER_SECOND <= 1000
    assert len(counts) * PAUSE == pytest.approx(40_000 / PER_SECOND, rel=0.05)


def test_a_state_that_waits_is_written_once(loop: Loop, pacer: Pacer) -> None:
    """With what it is by then."""
    written: list[int] = []
    many = entities(AT_ONCE + 1, written)
    for _ in range(3):
        for entity in many:
            pacer.write(entity)
    while loop.later:
        loop.turn(PAUSE)

    assert written.count(AT_ONCE) == 1


def test_many_states_are_written_in_few_batches(loop: Loop, pacer: Pacer) -> None:
    """Each time the loop is woken costs as much as many states."""
    written: list[int] = []
    for entity in entities(4000, written):
        pacer.write(entity)

    wake_ups = 0
    while loop.later:
        before = len(written)
        loop.turn(PAUSE / 2)
        wake_ups += len(written) > before

    assert len(written) == 4000
    assert wake_ups <= 1 + 4000 / (LONGEST_PAUSE * PER_SECOND)


def test_slow_batches_are_no_larger(loop: Loop, pacer: Pacer) -> None:
    """What is too slow for one slice goes on soon, without more than a thousand in 250 ms."""
    times: list[float] = []

    def write_slowly() -> None:
        loop.now += SLICE / 300
        times.append(loop.now)

    for _ in range(6000):
        pacer.write(Mock(async_write_ha_state=write_slowly))
    while loop.later:
        loop.turn(0.005)

    assert len(times) == 6000
    assert max(bisect_left(times, at + 0.25) - i for i, at in enumerate(times)) <= 1000
    assert times[-1] - times[0] == pytest.approx(6000 / PER_SECOND, rel=0.1)


def listener(log: list[tuple[str, object]], name: str) -> Mock:
    """Return what notes the values that it is to show."""
    return Mock(async_show=lambda value: log.append((name, value)))


def test_a_message_is_shown_at_once(loop: Loop, pacer: Pacer) -> None:
    """All that it changes, in its order."""
    shown: list[tuple[str, object]] = []

    pacer.show({listener(shown, "cpu"): 1.0, listener(shown, "disk"): None})

    assert shown == [("cpu", 1.0), ("disk", None)]
    assert loop.later == []


def test_a_message_of_more_than_may_be_shown(loop: Loop, pacer: Pacer) -> None:
    """Some of it waits."""
    shown: list[tuple[str, object]] = []

    pacer.show({listener(shown, str(number)): number for number in range(AT_ONCE + 40)})

    assert shown == [(str(number), number) for number in range(AT_ONCE)]
    loop.turn(PAUSE)
    assert shown == [(str(number), number) for number in range(AT_ONCE + 40)]
    assert loop.later == []


def test_a_value_that_waits_is_replaced(loop: Loop, pacer: Pacer) -> None:
    """By the last one, without losing its place."""
    shown: list[tuple[str, object]] = []
    first, second = listener(shown, "first"), listener(shown, "second")
    pacer.show(dict.fromkeys((Mock() for _ in range(AT_ONCE)), 0))

    pacer.show({first: 1, second: 1})
    pacer.show({first: 2})
    pacer.write(first)
    loop.turn(PAUSE)

    assert shown == [("first", 2), ("second", 1)]
    first.async_write_ha_state.assert_not_called()


def test_a_state_that_waits_is_shown_with_its_value(loop: Loop, pacer: Pacer) -> None:
    """Which writes it as well."""
    shown: list[tuple[str, object]] = []
    entity = listener(shown, "cpu")
    pacer.show(dict.fromkeys((Mock() for _ in range(AT_ONCE)), 0))

    pacer.write(entity)
    pacer.show({entity: 1})
    loop.turn(PAUSE)

    assert shown == [("cpu", 1)]
    entity.async_write_ha_state.assert_not_called()


def test_one_that_fails_keeps_no_other_from_being_shown(loop: Loop, pacer: Pacer) -> None:
    """Home Assistant refuses what an entity must not show."""
    shown: list[tuple[str, object]] = []
    pacer.show(dict.fromkeys((Mock() for _ in range(AT_ONCE)), 0))
    fails = Mock(async_show=Mock(side_effect=ValueError("no number")))
    pacer.show({fails: 1, listener(shown, "cpu"): 1})

    with pytest.raises(ValueError, match="no number"):
        loop.turn(PAUSE)
    loop.turn(PAUSE)

    assert shown == [("cpu", 1)]
    assert loop.later == []


def test_what_is_written_may_lead_to_more(loop: Loop, pacer: Pacer) -> None:
    """An automation may change something in the same moment: it has its turn after what waits."""
    shown: list[tuple[str, object]] = []
    caused = listener(shown, "caused")
    cause = Mock(async_show=lambda value: pacer.show({caused: value}))
    pacer.show(dict.fromkeys((Mock() for _ in range(AT_ONCE)), 0))

    pacer.show({cause: 1, listener(shown, "cpu"): 2})
    while loop.later:
        loop.turn(PAUSE)

    assert shown == [("cpu", 2), ("caused", 1)]


async def test_a_message_writes_each_state_once(hass: HomeAssistant, online: FakeHost) -> None:
    """Also of an entity that shows several readings of it."""
    collectors = ANNOUNCE["collectors"] | {"services": {"interval": 10}}
    readings = [{"key": "services.failed"}, {"key": "services.failed_units"}]
    await online.announce(collectors=collectors, readings=ANNOUNCE["readings"] + readings)
    await online.state("services", failed=0, failed_units="")
    written: list[str] = []
    for event_type in (EVENT_STATE_CHANGED, EVENT_STATE_REPORTED):
        hass.bus.async_listen(
            event_type,
            callback(lambda event: written.append(event.data["entity_id"])),
            event_filter=callback(lambda _: True),
        )

    await online.state("services", failed=2, failed_units="a.service, b.service")

    assert sorted(written) == [
        "binary_sensor.office_pc_problem",
        "sensor.office_pc_failed_services",
    ]


def test_slow_states_leave_the_loop_free(loop: Loop, pacer: Pacer) -> None:
    """On a busy machine a state takes long: not more of them are written within one event."""
    written: list[float] = []

    def write_slowly() -> None:
        written.append(loop.now)
        loop.now += SLICE / 10

    for _ in range(AT_ONCE + 40):
        pacer.write(Mock(async_write_ha_state=write_slowly))
    assert len(written) == AT_ONCE

    while loop.later:
        before = len(written)
        loop.turn(PAUSE)
        assert len(written) - before <= 10
    assert len(written) == AT_ONCE + 40


def test_little_work_is_done_at_once(loop: Loop, pacer: Pacer) -> None:
    """Whatever came first in the same event."""
    done: list[str] = []
    for name in ("a", "b", "c"):
        pacer.do(name, lambda name=name: done.append(name))

    assert done == ["a", "b", "c"]


def test_much_work_is_done_in_slices(loop: Loop, pacer: Pacer) -> None:
    """In the order in which it came, with everything else in between."""
    done: list[str] = []

    def work(name: str) -> None:
        done.append(name)
        loop.now += SLICE * 0.6

    for name in ("a", "b", "c", "a", "d", "e"):
        pacer.do(name, lambda name=name: work(name))
    assert done == ["a", "b"]

    loop.turn()
    assert done == ["a", "b", "c", "a"]
    pacer.do("f", lambda: work("f"))
    loop.turn()
    assert done == ["a", "b", "c", "a", "d", "e"]
    loop.turn()
    loop.turn()
    assert done == ["a", "b", "c", "a", "d", "e", "f"]
    pacer.do("g", lambda: work("g"))
    assert done[-1] == "g"


WORK = 1.5 * SLICE
"""Seconds; it fills a slice, and the next begins in another turn."""
AT_FIRST = round(BURST / (1 - SHARE) / WORK)
"""How often that is done until there are pauses."""


def turns_of_slices(loop: Loop, pacer: Pacer, count: int) -> list[int]:
    """Return from which turn to which work was done that fills a slice each, one per owner."""
    done: list[int] = []
    turn = 0

    def work() -> None:
        done.append(turn)
        loop.now += WORK

    for _ in range(count):
        pacer.do(object(), work)
    while len(done) < count:
        turn += 1
        loop.turn()
    return [after - before for before, after in pairwise(done)]


def test_work_that_does_not_end_leaves_turns_to_others(loop: Loop, pacer: Pacer) -> None:
    """Home Assistant reads a message in each: it must not be minutes behind its broker."""
    gaps = turns_of_slices(loop, pacer, 200)

    assert set(gaps[: AT_FIRST - 3]) == {1}
    assert set(gaps[AT_FIRST + 3 :]) == {TURNS}


def test_work_that_comes_as_it_is_read_leaves_turns_to_others(loop: Loop, pacer: Pacer) -> None:
    """As well as work that waits already."""
    done = 0

    def work() -> None:
        nonlocal done
        done += 1
        loop.now += WORK

    for _ in range(1000):
        pacer.do(object(), work)
        loop.turn()

    assert done == pytest.approx(AT_FIRST + (1000 - AT_FIRST) / TURNS, rel=0.1)


def test_after_a_rest_work_is_done_in_every_turn_again(loop: Loop, pacer: Pacer) -> None:
    """A busy minute is not held against those that come later."""
    turns_of_slices(loop, pacer, 200)
    for _ in range(TURNS):
        loop.turn()
    loop.turn(3 * BURST / SHARE)

    assert set(turns_of_slices(loop, pacer, 10)) == {1}


async def test_a_turn_is_waited_for(hass: HomeAssistant) -> None:
    """What is set up side by side goes on in the order in which it began."""
    used = 0.0
    pacer = Pacer(hass, lambda: used, lambda: used)
    began: list[int] = []

    async def begin(number: int) -> None:
        nonlocal used
        await pacer.async_turn()
        began.append(number)
        used += SLICE

    turns = [hass.async_create_task(begin(number)) for number in range(3)]
    assert began == [0]
    turns[1].cancel()
    await asyncio.gather(*turns, return_exceptions=True)

    assert began == [0, 2]


@pytest.mark.parametrize("ends", ["unloaded", "disconnected"])
async def test_what_waits_is_forgotten(
    hass: HomeAssistant, configured: MockConfigEntry, host: FakeHost, ends: str
) -> None:
    """With the entry, or when the broker is gone, which repeats all that still counts."""
    coordinator = configured.runtime_data.coordinator
    loop = Loop()
    coordinator.pacer = pacer = Pacer(Mock(loop=loop), loop.time)
    handled: list[object] = []
    pacer.do(object(), partial(setattr, loop, "now", loop.now + 2 * SLICE))
    coordinator._receive(handled.append, Mock())

    if ends == "unloaded":
        await hass.config_entries.async_unload(configured.entry_id)
    else:
        coordinator._on_connection(False)

    loop.turn()
    assert handled == []
