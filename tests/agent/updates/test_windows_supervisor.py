"""Releases as children of the base, with real processes in the place of releases."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    SESSION_CHANGE,
    ServiceControl,
    ServiceControls,
)
from companion_agent.service.sd_notify import Notifier
from companion_agent.signals import EndRequest
from companion_agent.updates import windows_supervisor
from companion_agent.updates.exit_codes import AGAIN
from companion_agent.updates.store import Failure, Release, Releases
from companion_agent.updates.supervised import Line
from companion_agent.updates.windows_supervisor import SILENCE_LIMIT, WindowsSupervisor
from support.event_loop import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    import subprocess

    from support.clock import ManualClock

VERSION = "99.0.0"
# What it says last is what the tests wait for: a later word would be a sign of life.
_UP = "print('READY=1'); print('STATUS=up', flush=True)"
# Until its supervisor hangs up.
WAITS = f"import sys; {_UP}; sys.stdin.read()"
HANGS = f"import time; {_UP}; time.sleep(600)"


class Job:
    """A job without Windows: the one process that it was told of."""

    def __init__(self, started: list[subprocess.Popen[bytes]]) -> None:
        self._started = started

    def take(self, process: int) -> None:
        pass

    def end(self, code: int) -> None:
        self._started[-1].kill()

    def close(self) -> None:
        self.end(1)


class Channel:
    """What a service manager hears."""

    limit = math.inf

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.told = threading.Event()

    def send(self, message: str) -> None:
        self.heard.append(message)
        if message.startswith("STATUS="):
            self.told.set()


class Base:
    """The base, which runs one program as its release."""

    def __init__(self, folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.releases = Releases(folder / "releases", "this boot", clock)
        self.releases.begin(VERSION, "0.1.0", 120)
        self.ends, self.controls, self.channel = EndRequest(), ServiceControls(), Channel()
        self.clock = clock
        self.started: list[subprocess.Popen[bytes]] = []
        start = WindowsSupervisor._start

        def started(*arguments: Any) -> subprocess.Popen[bytes]:
            self.started.append(start(*arguments))
            return self.started[-1]

        monkeypatch.setattr(WindowsSupervisor, "_start", started)
        monkeypatch.setattr(windows_supervisor, "_LOOK", 0.02)
        # A test's time goes by in one step.
        monkeypatch.setattr(windows_supervisor, "_SLEPT", math.inf)

    def run(self, program: str) -> int | None:
        with self.releases.change() as state:
            trial = state.trial
            if trial:
                trial.starts, trial.boot, trial.until = 1, "this boot", self.clock() + 120
        supervisor = WindowsSupervisor(
            Release(VERSION, self.releases.folder / "wheel", trial),
            self.releases,
            Notifier(channel=self.channel),
            self.ends,
            self.controls,
            lambda: Job(self.started),
            self.clock,
        )
        return supervisor.run([sys.executable, "-I", "-S", "-c", program], os.environ)

    def after(self, message: str, do: Callable[[], None]) -> None:
        """Do something once the release has said something."""

        def wait() -> None:
            assert self.channel.told.wait(PATIENCE)
            assert message in self.channel.heard
            do()

        threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def base(tmp_path: Path, still_clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Base:
    return Base(tmp_path, still_clock, monkeypatch)


@pytest.mark.parametrize("code", [0, 2, 3, AGAIN])
def test_a_release_on_trial_that_ends_gives_the_base_its_turn(code: int, base: Base) -> None:
    assert base.run(f"raise SystemExit({code})") is None


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (2, 2), (AGAIN, None)])
def test_after_its_trial_a_release_s_end_is_the_service_s(
    code: int, ends: int | None, base: Base
) -> None:
    base.releases.confirm(VERSION, "0.1.0")

    assert base.run(f"raise SystemExit({code})") == ends


def test_what_is_not_online_in_time_is_left(base: Base) -> None:
    base.after("STATUS=up", lambda: base.clock.advance(125))

    assert base.run(HANGS) is None
    failed = Failure(VERSION, "it was not online within 120 s")
    assert base.releases.state().failed == failed


def test_what_hangs_on_trial_is_left(base: Base) -> None:
    def hang() -> None:
        base.releases.was_online(VERSION)
        base.clock.advance(SILENCE_LIMIT)

    base.after("STATUS=up", hang)

    assert base.run(HANGS) is None
    failed = Failure(VERSION, f"it gave no sign of life for {SILENCE_LIMIT:.0f} s")
    assert base.releases.state().failed == failed


def test_the_machine_s_sleep_is_no_silence(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_supervisor, "_SLEPT", 10)
    looked = threading.Event()
    read_state = WindowsSupervisor._read_state

    def look(supervisor: WindowsSupervisor) -> None:
        read_state(supervisor)
        if base.clock() > SILENCE_LIMIT:
            looked.set()

    monkeypatch.setattr(WindowsSupervisor, "_read_state", look)

    def sleep() -> None:
        base.clock.advance(8 * 3600)
        assert looked.wait(PATIENCE)
        base.ends.ask()

    base.after("STATUS=up", sleep)

    assert base.run(WAITS) == 0
    assert base.releases.state().failed is None


def test_what_hangs_later_is_a_failure_of_the_service(base: Base) -> None:
    base.releases.confirm(VERSION, "0.1.0")
    base.after("STATUS=up", lambda: base.clock.advance(SILENCE_LIMIT))

    code = base.run(HANGS)

    assert code
    assert base.releases.state().failed is None


def test_a_release_that_is_asked_to_end_ends_and_begins_its_trial_anew(base: Base) -> None:
    base.after("STATUS=up", base.ends.ask)

    assert base.run(WAITS) == 0
    trial = base.releases.state().trial
    assert trial
    assert trial.starts == 0


def test_a_signal_asks_the_release_to_end(base: Base) -> None:
    base.after("STATUS=up", lambda: signal.raise_signal(signal.SIGINT))

    assert base.run(WAITS) == 0
    assert base.ends.asked


def test_one_that_does_not_end_is_ended(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_supervisor, "END_LIMIT", 0)
    base.after("STATUS=up", base.ends.ask)

    assert base.run(HANGS) == 0


def test_what_a_release_says_reaches_the_manager(base: Base) -> None:
    base.run("print('STATUS=Connected to b'); print('odd'); print('WATCHDOG=1')")

    assert base.channel.heard == ["READY=1", "STATUS=Connected to b"]


def test_a_release_hears_of_the_machine(base: Base, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = (
        "import sys; print('STATUS=up', flush=True)\n"
        "lines = [sys.stdin.readline() for _ in range(2)]\n"
        f"open({str(told)!r}, 'w').writelines(lines)\n"
        "print('LET_GO=1', flush=True); sys.stdin.read()"
    )
    let_go = []

    def sleep() -> None:
        base.controls.put(ServiceControl(SESSION_CHANGE, 7, b"\x08\x00"))
        base.controls.put(ServiceControl(POWER_EVENT, 4), hold=True)
        let_go.append(base.controls.wait(PATIENCE))
        base.ends.ask()

    base.after("STATUS=up", sleep)

    assert base.run(program) == 0
    assert let_go == [True]
    assert [json.loads(line) for line in told.read_text().splitlines()] == [
        {"control": SESSION_CHANGE, "event_type": 7, "data": "0800", "hold": False},
        {"control": POWER_EVENT, "event_type": 4, "data": "", "hold": True},
    ]


# --- The release's end of the line -----------------------------------------------------------


def test_the_release_takes_what_it_is_told_and_ends_when_its_supervisor_has_gone() -> None:
    heard, told = os.pipe()
    read, said = os.pipe()
    ends, controls, woken = EndRequest(), ServiceControls(), threading.Event()
    controls.subscribe(woken.set)
    line = Line(heard, said, 90, ends, controls)
    thread = threading.Thread(target=line.listen)
    thread.start()
    message = {"control": POWER_EVENT, "event_type": 4, "data": "ff", "hold": True}
    os.write(told, b"nonsense\n" + json.dumps(message).encode() + b"\n")
    assert woken.wait(PATIENCE)

    taken = controls.take()
    controls.let_go()
    os.close(told)
    thread.join(PATIENCE)

    assert taken == [ServiceControl(POWER_EVENT, 4, b"\xff")]
    assert os.read(read, 100) == b"LET_GO=1\n"
    assert ends.asked
    for one in (heard, read, said):
        os.close(one)


def test_the_agent_s_signs_of_life_go_to_the_supervisor() -> None:
    read, said = os.pipe()
    notifier = Notifier(channel=Line(-1, said, 90))

    notifier.ready()
    notifier.status("Connected to b")

    assert notifier.limit == 90
    assert os.read(read, 100) == b"READY=1\nSTATUS=Connected to b\n"
    for one in (read, said):
        os.close(one)
