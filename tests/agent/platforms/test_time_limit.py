"""Calls that may never return."""

from __future__ import annotations

import threading

from companion_agent.platforms.time_limit import TimeLimitedCalls


def test_the_same_thread_does_it_in_every_round_while_all_answer() -> None:
    calls: TimeLimitedCalls[str, int] = TimeLimitedCalls(lambda _: threading.get_ident())

    rounds = [calls.results(["a", "b"]) for _ in range(3)]

    threads = {thread for found in rounds for thread in found.values()}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
