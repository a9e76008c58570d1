"""What is done in a copy of the process, and what comes back of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems make no copy")

# A process of its own: that of the tests has threads.
_BEFORE = """
import os, signal, sys, threading
from companion_agent import forked
from companion_agent.config.errors import ConfigError, Mistake

here = os.getpid()
"""


def printed(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _BEFORE + program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_result_comes_back_and_what_was_loaded_does_not() -> None:
    program = """
def call():
    import wave
    return "wave" in sys.modules

print(forked.begin(call)(), "wave" in sys.modules)
"""

    assert printed(program) == "True False"


def test_what_the_call_raises_comes_back_whole() -> None:
    program = """
def call():
    raise ConfigError([Mistake("a.yaml:1", "broker", "is missing"), Mistake("", "", "more")])

try:
    forked.begin(call)()
except ConfigError as error:
    print(error.mistakes[0], len(error.mistakes))
"""

    assert printed(program) == "a.yaml:1: broker: is missing 2"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("os.getpid() == here or os.kill(os.getpid(), signal.SIGKILL)", id="killed"),
        pytest.param("True if os.getpid() == here else lambda: None", id="no pickle"),
    ],
)
def test_a_copy_without_a_result_has_the_call_made_here(call: str) -> None:
    assert printed(f"print(forked.begin(lambda: {call})())") == "True"


def test_a_process_with_threads_is_not_copied() -> None:
    program = """
ended = threading.Event()
threading.Thread(target=ended.wait).start()
print(forked.begin(os.getpid)() == here)
ended.set()
"""

    assert printed(program) == "True"
