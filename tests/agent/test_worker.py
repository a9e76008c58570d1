"""What may block runs beside the loop, and what hangs holds up nobody."""

from __future__ import annotations

import threading

import pytest

from companion_agent.worker import Job, Result, Worker

from .bench import PATIENCE, Clock


class Bench:
    """A worker, and a loop that waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._woken = threading.Event()
        self.worker = Worker(self._woken.set, clock)

    def wait(self) -> list[Result]:
        assert self._woken.wait(PATIENCE)
        self._woken.clear()
        return self.worker.results()


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


def test_results_of_a_batch_come_together(bench: Bench) -> None:
    bench.worker.submit([Job("a", lambda: 1, 10), Job("b", lambda: 2, 10)])

    assert bench.wait() == [Result("a", 1), Result("b", 2)]
    assert not bench.worker.watching


def test_a_job_that_raises_does_not_stop_the_others(bench: Bench) -> None:
    bench.worker.submit([Job("bad", lambda: 1 / 0, 10), Job("good", lambda: 2, 10)])

    bad, good = bench.wait()
    assert isinstance(bad.error, ZeroDivisionError)
    assert good.value == 2


def test_a_job_that_hangs_does_not_stop_the_others(bench: Bench, clock: Clock) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hang() -> str:
        entered.set()
        gate.wait(PATIENCE)
        return "back"

    bench.worker.submit([Job("slow", hang, 10), Job("good", lambda: 2, 10)])
    assert entered.wait(PATIENCE)
    clock.advance(6)
    early = bench.worker.hung()
    others = bench.wait()
    clock.advance(6)
    late, again = bench.worker.hung(), bench.worker.hung()
    watched = bench.worker.watching
    gate.set()

    assert (early, late, again) == ([], ["slow"], [])
    assert others == [Result("good", 2)]
    assert not watched  # a dead disk must not keep the loop awake
    assert bench.wait() == [Result("slow", "back")]


def test_the_worker_goes_on_after_a_job_that_hung(bench: Bench, clock: Clock) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        gate.wait(PATIENCE)

    bench.worker.submit([Job("slow", hang, 10)])
    assert entered.wait(PATIENCE)
    clock.advance(20)
    assert bench.worker.hung() == ["slow"]

    bench.worker.submit([Job("next", lambda: 3, 10)])

    while Result("next", 3) not in bench.wait():
        pass
    gate.set()
