"""The helper that sets the processor as root, and what others could send it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.platforms.linux import cpufreq
from support.agent_processor import Processor, RunningHelper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def processor(tmp_path: Path) -> Processor:
    return Processor("raspberrypi", tmp_path)


@pytest.fixture
def helper(processor: Processor) -> Iterator[RunningHelper]:
    with RunningHelper(processor) as helper:
        yield helper


def test_sets_and_puts_back(helper: RunningHelper, processor: Processor) -> None:
    assert helper.ask(b"maximum_frequency 1200000\n") == b"ok\n"
    assert helper.ask(b"governor powersave\n") == b"ok\n"
    assert processor.value("maximum_frequency") == 1_200_000
    assert helper.ask(b"restore\n") == b"ok\n"
    assert (processor.value("maximum_frequency"), processor.value("governor")) == (
        1_800_000,
        "ondemand",
    )


def test_says_why_not(helper: RunningHelper) -> None:
    answer = helper.ask(b"maximum_frequency 9000000\n")

    assert b"is not within 600000 to 1800000 kHz" in answer


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"governor powersave", id="no end of line"),
        pytest.param(b"governor ../../../../etc/passwd\n", id="path"),
        pytest.param(b"policy0/scaling_governor powersave\n", id="file"),
        pytest.param(b"governor powersave\ngovernor performance\n", id="two at once"),
        pytest.param(b"maximum_frequency 1200000 1\n", id="another argument"),
        pytest.param(b"maximum_frequency " + b"9" * 5000 + b"\n", id="huge number"),
        pytest.param(b"x" * 1_000_000, id="huge"),
        pytest.param(b"governor \xff\x00\n", id="no text"),
    ],
)
def test_nonsense_sets_nothing_and_the_next_one_is_served(
    helper: RunningHelper, processor: Processor, sent: bytes
) -> None:
    assert b"ok" not in helper.ask(sent)
    assert processor.kernel.written == []
    assert helper.ask(b"governor schedutil\n") == b"ok\n"


def test_other_users_are_not_even_read(helper: RunningHelper, processor: Processor) -> None:
    helper.admitted = {os.getuid() + 1}

    assert helper.ask(b"governor powersave\n") == b""

    assert processor.kernel.written == []


def test_slow_clients_do_not_hold_up_the_next_one_for_long(
    helper: RunningHelper, processor: Processor
) -> None:
    slow = [helper.connect() for _ in range(5)]
    try:
        slow[0].sendall(b"gov")

        assert helper.ask(b"governor powersave\n") == b"ok\n"

        assert slow[0].recv(100) == b"the request took too long\n"
    finally:
        for one in slow:
            one.close()


def test_many_are_served_one_after_the_other(helper: RunningHelper) -> None:
    clients = [helper.connect() for _ in range(10)]
    for number, client in enumerate(clients):
        client.sendall(b"maximum_frequency %d\n" % (700_000 + 100_000 * number))

    answers = [client.recv(100) for client in clients]

    for client in clients:
        client.close()
    assert answers == [b"ok\n"] * 10


@pytest.mark.parametrize("arguments", [[], ["serve"], ["serve", "x"], ["/etc/passwd"]])
def test_the_program_starts_by_systemd_alone(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", cpufreq.__file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "started by systemd alone" in done.stderr


def test_the_program_needs_nothing_but_the_standard_library() -> None:
    script = f"import runpy, sys; runpy.run_path({cpufreq.__file__!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded <= {*sys.stdlib_module_names, "__main__"}
