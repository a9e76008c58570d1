"""Clocks that were wrong while something was read, and set afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.clock import Clocks, Moment, corrected
from support.agent_buffer import NOW, FakeConsumer, FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable

YEAR_1970 = 1000.0


@pytest.fixture
def unset(make_host: Callable[..., FakeHost]) -> FakeHost:
    """A Raspberry Pi without a battery for its clock: it starts in 1970."""
    host = make_host()
    host.times.wall = YEAR_1970
    return host


def set_clock(host: FakeHost, wall: float) -> None:
    host.times.wall = wall
    host.buffer.look_again()
    host.turn()


def test_what_was_read_before_the_clock_was_set_is_moved(
    unset: FakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for value in (1, 2, 3):
        unset.read(percent=value)
    unset.pass_time(60)
    set_clock(unset, NOW)
    unset.read(percent=4)

    unset.connect()

    unset.fetch(home)
    assert home.values["cpu.percent"] == [(NOW - 90, 1), (NOW - 80, 2), (NOW - 70, 3), (NOW, 4)]
    assert "The clock was set" in caplog.text


def test_what_waits_in_memory_is_moved_as_well(unset: FakeHost, home: FakeConsumer) -> None:
    unset.read(percent=1)
    set_clock(unset, NOW)
    unset.read(percent=2)

    unset.connect()

    unset.fetch(home)
    assert home.values["cpu.percent"] == [(NOW - 10, 1), (NOW, 2)]


def test_a_clock_that_is_set_while_something_is_read(unset: FakeHost, home: FakeConsumer) -> None:
    unset.read(percent=1)
    unset.times.wall = NOW
    unset.buffer.note("cpu", YEAR_1970 + 10, {"percent": 2})
    unset.read(percent=3)

    unset.connect()

    unset.fetch(home)
    # Of two at the same moment the later one counts.
    assert home.values["cpu.percent"] == [(NOW - 10, 1), (NOW, 3)]


def test_a_machine_that_sleeps_while_something_is_read(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    read_at = online.times.wall
    online.pass_time(7200, sleep=True)
    online.buffer.note("cpu", read_at, {"percent": 2})
    online.pass_time(20)

    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"][-1] == (read_at, 2)


def test_nothing_is_delivered_before_the_clock_is_set(
    unset: FakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    unset.read(percent=1)
    unset.pass_time(60)
    unset.connect()
    unset.pass_time(600)
    assert unset.chunks() == []
    assert "before this host's clock is set" in caplog.text

    set_clock(unset, NOW)

    unset.fetch(home)
    assert home.values["cpu.percent"] == [(NOW - 670, 1)]


def test_the_agent_may_start_again_meanwhile(unset: FakeHost, home: FakeConsumer) -> None:
    unset.read(percent=1)
    unset.pass_time(60)
    unset.kill()
    unset.start()
    set_clock(unset, NOW)
    unset.pass_time(60)

    unset.connect()

    unset.fetch(home)
    assert home.values["cpu.percent"][0] == (NOW - 70, 1)


def test_what_can_no_longer_be_dated_is_dropped(
    unset: FakeHost, home: FakeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    unset.read(percent=1)
    unset.pass_time(60)
    unset.kill()
    unset.times.boot_id, unset.times.boot, unset.times.wall = "second boot", 10.0, NOW
    unset.start()
    unset.read(percent=2)
    unset.pass_time(60)

    unset.connect()

    unset.fetch(home)
    assert home.values == {"cpu.percent": [(NOW, 2)]}
    assert "2 readings are not delivered" in caplog.text
    assert not unset.path.exists()


def test_an_hour_that_was_wrong_is_corrected_in_the_next_chunk(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.lose()
    wrong = online.times.wall
    online.read(percent=2)
    online.connect()
    [before] = online.chunks()

    set_clock(online, online.times.wall + 3600)

    [after] = online.chunks()
    assert before["values"]["cpu.percent"][1] == [wrong, 2]
    assert after["values"]["cpu.percent"][1] == [wrong + 3600, 2]
    # A consumer that acknowledges the first one now has not got the second.
    online.acknowledge(before["chunk"])
    assert online.path.exists()
    online.acknowledge(after["chunk"])
    online.pass_time(1)
    assert not online.path.exists()


def test_a_clock_that_a_time_server_had_set_is_believed(
    online: FakeHost, home: FakeConsumer
) -> None:
    online.times.confirmed = True
    online.lose()
    right = online.times.wall
    online.read(percent=2)
    online.pass_time(60)
    set_clock(online, online.times.wall + 7200)  # a virtual machine was paused
    online.read(percent=3)

    online.connect()

    online.fetch(home)
    assert home.values["cpu.percent"] == [(NOW, 1), (right, 2), (right + 7270, 3)]


def test_age_goes_by_the_clock_that_does_not_jump(unset: FakeHost, home: FakeConsumer) -> None:
    unset.read(percent=1)
    unset.pass_time(60)
    set_clock(unset, NOW)
    unset.pass_time(60)
    set_clock(unset, YEAR_1970)
    unset.pass_time(60)
    set_clock(unset, NOW)

    unset.connect()

    unset.fetch(home)
    assert len(home.values["cpu.percent"]) == 1


def test_a_machine_that_sleeps_between_a_look_at_one_clock_and_the_other() -> None:
    walls = iter([NOW, NOW + 3600])
    boots = iter([50.0, 50.0 + 3600, 50.0 + 3600])
    clocks = Clocks("session", wall=lambda: next(walls), boot=lambda: next(boots))

    assert clocks.moment() == Moment(NOW + 3600, 50.0 + 3600)


def test_a_machine_that_never_comes_to_rest_gets_an_answer_too() -> None:
    boots = iter(range(0, 1000, 10))
    clocks = Clocks("session", wall=lambda: NOW, boot=lambda: next(boots))

    assert clocks.moment().wall == NOW


@pytest.mark.parametrize(
    ("said", "offset", "when"),
    [
        (Moment(1000, 50), 950, 1000),
        (Moment(1000, 50), 950.9, 1000),
        (Moment(1000, 50), 952, 1002),
        (Moment(1000, 50), 900, 950),
        (Moment(1000, 50, sure=True), 5000, 1000),
    ],
)
def test_corrections(said: Moment, offset: float, when: float) -> None:
    assert corrected(said, offset) == when
