"""What may block runs beside the event loop, and what hangs holds nothing else up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.worker import HungError, Job, Result, Worker
from support.clock import ManualClock
from support.event_loop import PATIENCE, ManualEventLoop

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hanging:
    """A job that ends when a test wants."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        self.gate.wait(PATIENCE)
        return "back"


class WorkerHost:
    """A worker, and an event loop that waits for it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.loop = ManualEventLoop(self.clock)
        self.worker = Worker()
        self.hanging = Hanging()
        self.results: list[Result] = []
        self.batches: list[list[Result]] = []
        self.loop.spawn(self._take_results())

    async def _take_results(self) -> None:
        while True:
            results = await self.worker.results()
            self.results += results
            self.batches.append(results)

    def submit(self, *jobs: Job) -> None:
        self.loop.call(self.worker.submit, jobs)

    def wait_for(self, count: int) -> None:
        self.loop.until(lambda: len(self.results) >= count)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.loop.settle()


@pytest.fixture
def host() -> Iterator[WorkerHost]:
    host = WorkerHost()
    yield host
    host.hanging.gate.set()
    host.loop.call(host.worker.stop)
    host.loop.end()


def test_results_of_a_batch_come_together(host: WorkerHost) -> None:
    host.submit(Job("a", lambda: 1, 10), Job("b", lambda: 2, 10))

    host.wait_for(2)
    assert host.batches == [[Result("a", 1), Result("b", 2)]]


def test_nothing_is_looked_at_when_everything_has_ended(host: WorkerHost) -> None:
    host.submit(Job("a", lambda: 1, 10))
    host.wait_for(1)

    assert host.worker._timer is None


def test_a_job_that_raises_does_not_stop_the_others(host: WorkerHost) -> None:
    host.submit(Job("bad", lambda: 1 / 0, 10), Job("good", lambda: 2, 10))

    host.wait_for(2)
    bad, good = host.results
    assert isinstance(bad.error, ZeroDivisionError)
    assert good.value == 2


def test_what_is_there_does_not_wait_for_what_takes_long(host: WorkerHost) -> None:
    host.submit(Job("quick", lambda: 1, 10), Job("slow", host.hanging, 10))
    assert host.hanging.entered.wait(PATIENCE)

    host.pass_time(1)

    assert host.results == [Result("quick", 1)]


def test_a_job_that_hangs_does_not_stop_the_others(host: WorkerHost) -> None:
    host.submit(Job("slow", host.hanging, 10), Job("good", lambda: 2, 10))
    assert host.hanging.entered.wait(PATIENCE)
    host.pass_time(6)
    host.wait_for(1)
    early = list(host.results)
    host.pass_time(6)
    late = host.results[1:]
    host.pass_time(60)
    again = host.results[2:]
    watched = host.worker._timer
    host.hanging.gate.set()
    host.wait_for(3)

    assert early == [Result("good", 2)]
    assert [result.name for result in late] == ["slow"]
    assert isinstance(late[0].error, HungError)
    assert again == []
    assert watched is None  # a dead disk must not keep the event loop awake
    assert host.results[-1] == Result("slow", "back")


def test_the_worker_goes_on_after_a_job_that_hung(host: WorkerHost) -> None:
    host.submit(Job("slow", host.hanging, 10))
    assert host.hanging.entered.wait(PATIENCE)
    host.pass_time(20)

    host.submit(Job("next", lambda: 3, 10))

    host.loop.until(lambda: Result("next", 3) in host.results)


# --- One job that is waited for --------------------------------------------------------------


def test_a_job_that_is_waited_for(host: WorkerHost) -> None:
    assert host.loop.run_until_complete(host.worker.run(Job("a", lambda: 1, 10))) == 1
    with pytest.raises(ZeroDivisionError):
        host.loop.run_until_complete(host.worker.run(Job("a", lambda: 1 / 0, 10)))


def test_one_that_hangs_is_not_waited_for_and_not_heard_of_again(host: WorkerHost) -> None:
    waiting = host.loop.create_task(host.worker.run(Job("slow", host.hanging, 10)))
    host.loop.until(host.hanging.entered.is_set)
    host.pass_time(10)

    with pytest.raises(HungError):
        waiting.result()
    host.hanging.gate.set()
    assert host.loop.run_until_complete(host.worker.run(Job("next", lambda: 2, 10))) == 2
    assert host.results == []


def test_one_that_is_not_waited_for_any_more_ends_all_the_same(host: WorkerHost) -> None:
    waiting = host.loop.create_task(host.worker.run(Job("slow", host.hanging, 10)))
    host.loop.until(host.hanging.entered.is_set)
    waiting.cancel()
    host.loop.run_until_complete(asyncio.wait([waiting]))
    host.hanging.gate.set()

    assert host.loop.run_until_complete(host.worker.run(Job("next", lambda: 2, 10))) == 2
