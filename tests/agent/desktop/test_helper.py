"""The session helper as a process of its own, at an agent's end; logind is played."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop import sessions as desktop_sessions
from companion_agent.desktop.messages import Offer, Offered, Thing, Values
from companion_agent.errors import CommandError
from companion_agent.ipc.session_server import RATE
from companion_agent.plugins.screen.plugin import ScreenPlugin
from companion_agent.session_helper.link import AwayError, Link
from companion_agent.session_helper.runtime import ANOTHER_RUNS, SessionHelper
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd
from support.agent_host import FakePlatform
from support.agent_logind import MANAGER, FakeLogind
from support.event_loop import PATIENCE, ManualEventLoop, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    import subprocess

    from companion_agent.desktop.messages import FromHelper
    from support.clock import ManualClock

KEEP_AWAKE = Thing("keep_awake")


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give helpers time: one that is slow on a busy machine is not frozen."""
    monkeypatch.setattr(desktop_sessions, "CALL_LIMIT", PATIENCE)


@pytest.fixture
def screen(agent: AgentEnd) -> ScreenPlugin:
    return ScreenPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture
def start(
    agent: AgentEnd, logind: FakeLogind, run_command: Callable[..., subprocess.Popen[str]]
) -> Callable[[], subprocess.Popen[str]]:
    """Start a session helper that finds the agent's end, and logind."""
    agent.folder.chmod(0o755)
    return lambda: run_command(
        "session",
        "--folder",
        str(agent.folder),
        DBUS_SYSTEM_BUS_ADDRESS=logind.bus.address,
        DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere",
    )


@pytest.fixture
def helper(agent: AgentEnd, start: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """A session helper that has said what it reads."""
    process = start()
    agent.wait_for_value("screen", KEEP_AWAKE, False)
    return process


def test_it_does_what_it_is_asked_and_reads_it_back(
    agent: AgentEnd, screen: ScreenPlugin, logind: FakeLogind, helper: object
) -> None:
    screen.run("screen.keep_awake", {"value": 1})

    assert ("idle:sleep", "Pilot", "block") in logind.inhibitors()
    agent.wait_for_value("screen", KEEP_AWAKE, True)
    screen.run("screen.keep_awake", {"value": 0})
    wait_until(lambda: not logind.inhibitors())
    agent.wait_for_value("screen", KEEP_AWAKE, False)


def test_what_says_yes_and_does_nothing_has_failed(
    screen: ScreenPlugin, logind: FakeLogind, helper: object
) -> None:
    logind.method(MANAGER, "ListInhibitors", "", "a(ssssuu)", "ret = []")

    with pytest.raises(CommandError, match="logind does not hold it"):
        screen.run("screen.keep_awake", {"value": 1})


def test_logind_may_notice_late_that_it_was_let_go(
    agent: AgentEnd, screen: ScreenPlugin, logind: FakeLogind, helper: subprocess.Popen[str]
) -> None:
    screen.run("screen.keep_awake", {"value": 1})
    why = f"Asked for through Home Assistant (process {helper.pid})"
    held = ("idle:sleep", "Pilot", why, "block", 0, helper.pid)
    looks = f"self.looks = getattr(self, 'looks', 0) + 1; ret = [{held}] if self.looks < 3 else []"
    logind.method(MANAGER, "ListInhibitors", "", "a(ssssuu)", looks)

    screen.run("screen.keep_awake", {"value": 0})

    agent.wait_for_value("screen", KEEP_AWAKE, False)


def test_killed_it_leaves_nothing_behind(
    agent: AgentEnd, screen: ScreenPlugin, logind: FakeLogind, helper: subprocess.Popen[str],
    start: Callable[[], subprocess.Popen[str]],
) -> None:  # fmt: skip
    screen.run("screen.keep_awake", {"value": 1})

    helper.kill()

    wait_until(lambda: not agent.sessions.knows("1"))
    assert screen.collect() == {"keep_awake": None}
    wait_until(lambda: not logind.inhibitors())
    start()
    agent.wait_for_value("screen", KEEP_AWAKE, False)


def test_it_comes_back_to_an_agent_that_was_started_anew(
    tmp_path: Path, control: FakeControl, agent: AgentEnd, helper: object
) -> None:
    agent.stop()

    with AgentEnd(tmp_path, control) as anew:
        anew.wait_for_value("screen", KEEP_AWAKE, False)


@pytest.fixture
def loop(still_clock: ManualClock) -> Iterator[ManualEventLoop]:
    loop = ManualEventLoop(still_clock)
    yield loop
    loop.end()


async def no_agent(_: object) -> Link:
    raise AwayError("no agent runs")


def test_what_changes_all_the_time_does_not_flood_the_agent(
    loop: ManualEventLoop, still_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[FromHelper] = []
    helper = SessionHelper({"sound": ""}, no_agent)
    monkeypatch.setattr(helper, "send", said.append)
    (work,) = helper._works.values()
    volume = Thing("volume")

    seconds = 10
    for number in range(50 * seconds):
        loop.call(work.offer, Offer((volume,), way=str(number)))
        loop.call(work.read, {volume: number})
        still_clock.advance(0.02)
        loop.settle()
    still_clock.advance(1)
    loop.settle()

    # Each of four domains may do so.
    assert len(said) * 4 < RATE * seconds
    assert [message.values for message in said if isinstance(message, Values)][-1] == {volume: 499}
    assert [m.offer.way for m in said if isinstance(m, Offered)][-1] == "499"


def test_it_leaves_a_session_that_has_another(
    admit: Callable[[], HelperEnd], start: Callable[[], subprocess.Popen[str]]
) -> None:
    admit()

    assert start().wait(PATIENCE) == ANOTHER_RUNS


def test_it_ends_when_it_is_told_to(agent: AgentEnd, helper: subprocess.Popen[str]) -> None:
    helper.send_signal(signal.SIGTERM)

    assert helper.wait(PATIENCE) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user owns")
@pytest.mark.parametrize("what", ["folder", "socket"])
def test_it_does_not_speak_to_what_another_user_made(
    agent: AgentEnd, start: Callable[[], subprocess.Popen[str]], what: str
) -> None:
    os.chown(agent.folder if what == "folder" else agent.folder / "session.sock", 4242, 4242)

    process = start()

    assert process.stderr
    assert "is not the agent" in process.stderr.readline()
    assert agent.server.describe()["helpers"] == []


def test_it_does_not_speak_where_others_may_write(
    agent: AgentEnd, start: Callable[[], subprocess.Popen[str]]
) -> None:
    agent.folder.chmod(0o777)

    process = start()

    assert process.stderr
    assert "others may write to" in process.stderr.readline()
