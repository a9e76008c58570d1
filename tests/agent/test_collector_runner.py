"""One collector at work: what is reported of it when it works, breaks, goes and comes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unanswered, Unavailable
from companion_agent.models import Event, Reading
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.worker import Result
from support.agent_host import FakeCollector

if TYPE_CHECKING:
    from collections.abc import Sequence


def read(source: CollectorRunner) -> None:
    """Read a source as the worker does."""
    job = source.job()
    try:
        source.take(Result(job.name, job.run()))
    except Exception as error:  # noqa: BLE001
        source.take(Result(job.name, error=error))


@pytest.fixture
def source(collector: FakeCollector) -> CollectorRunner:
    return CollectorRunner(collector, 10, lambda: 1793952000.0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "companion_agent.plugins")
    return caplog


def test_values_are_settled(source: CollectorRunner, collector: FakeCollector) -> None:
    collector.offered = [Reading("percent", resolution=0.1, deadband=1)]
    reported = []
    for value in (12.345, 12.9, 13.5):
        collector.values = {"percent": value}
        read(source)
        reported.append(source.values["percent"])

    assert reported == [12.3, 12.3, 13.5]


def test_a_reading_without_a_value_is_null(
    source: CollectorRunner, collector: FakeCollector
) -> None:
    collector.offered = [Reading("percent"), Reading("rate")]

    read(source)

    assert source.values == {"percent": 12.5, "rate": None}


def test_a_value_without_a_reading_is_left_out(
    source: CollectorRunner, collector: FakeCollector
) -> None:
    collector.offered = []

    read(source)

    assert source.values == {}


def test_what_breaks_is_null_and_logged_once(
    source: CollectorRunner, collector: FakeCollector, log: pytest.LogCaptureFixture
) -> None:
    read(source)
    collector.failure = OSError(5, "Input/output error", "/sys/x")

    read(source)
    read(source)

    assert source.values == {"percent": None}
    assert source.available
    assert log.messages == ["fake: cannot be read: Input/output error: /sys/x"]


def test_what_heals_is_logged_once(
    source: CollectorRunner, collector: FakeCollector, log: pytest.LogCaptureFixture
) -> None:
    read(source)
    collector.failure = ValueError("nonsense")
    read(source)
    collector.failure = None

    read(source)
    read(source)

    assert source.values == {"percent": 12.5}
    assert log.messages[1:] == ["fake: works again"]


def test_what_hangs_is_null_until_it_returns(
    source: CollectorRunner, log: pytest.LogCaptureFixture
) -> None:
    read(source)
    job = source.job()

    source.hang()
    while_hung = dict(source.values)
    source.take(Result(job.name, job.run()))

    assert while_hung == {"percent": None}
    assert source.values == {"percent": 12.5}
    assert log.messages == ["fake: cannot be read: it does not answer", "fake: works again"]


def test_what_the_system_does_not_answer_is_unknown_and_not_gone(
    source: CollectorRunner, collector: FakeCollector
) -> None:
    read(source)
    collector.failure = Unanswered("logind does not answer")

    read(source)

    assert source.values == {"percent": None}
    assert [reading.key for reading in source.readings] == ["percent"]


def test_what_this_host_does_not_have_is_looked_for_again(
    source: CollectorRunner, collector: FakeCollector, log: pytest.LogCaptureFixture
) -> None:
    collector.missing = Unavailable("no battery")
    read(source)
    waits = source.wait
    collector.missing = None

    read(source)

    assert waits == 60
    assert collector.probes == 2
    assert source.available
    assert source.wait == 10
    assert log.messages == ["fake: is there now"]


def test_what_is_unplugged_has_no_readings(
    source: CollectorRunner, collector: FakeCollector, log: pytest.LogCaptureFixture
) -> None:
    read(source)
    collector.missing = Unavailable("the battery was taken out")

    read(source)
    read(source)

    assert source.readings == ()
    assert not source.available
    assert log.messages == ["fake: not available: the battery was taken out"]


def test_a_reading_that_cannot_be_announced_is_left_out(
    source: CollectorRunner, collector: FakeCollector, log: pytest.LogCaptureFixture
) -> None:
    collector.values = {"percent": 1, "Bad Key": 2}

    read(source)
    read(source)

    assert source.values == {"percent": 1}
    assert len(log.messages) == 1


class Telling(FakeCollector):
    """A collector with events."""

    events = ("opened",)

    def __init__(self, *happened: object) -> None:
        super().__init__()
        self.happened = happened

    def take_events(self) -> Sequence[Event]:
        return self.happened  # type: ignore[return-value]


def test_events_are_kept_until_they_are_taken() -> None:
    source = CollectorRunner(Telling(Event("opened", {"by": "hand"})), 10)

    read(source)
    read(source)

    assert source.take_events() == [Event("opened", {"by": "hand"})] * 2
    assert source.take_events() == []


@pytest.mark.parametrize(
    "event",
    [Event("closed"), Event("opened", {"by": 1j}), "opened"],  # type: ignore[dict-item]
)
def test_an_event_that_is_none_breaks_its_collector_alone(event: object) -> None:
    source = CollectorRunner(Telling(event), 10)

    read(source)

    assert source.trouble
    assert source.take_events() == []
