"""What a Windows machine can be asked for, and what the agent makes of the answers."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from ctypes import sizeof
import os
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Call, Offer, Offered, Outcome, Thing
from companion_agent.desktop.sessions import DesktopSessions, Helper
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows.control import MESSAGE, WindowsControl
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.session import SessionPlugin
from companion_agent.winapi.power import PowerCapabilities
from support.agent_desktop import session
from support.agent_windows import FakeAccount, FakePower, FakeRegistryKey, FakeSessionsOfWindows
from support.windows_api import FakeWindows
from support.windows_pipes import ANNA

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_793_952_000.0


class Machine:
    """A Windows machine, and the control of an agent on it."""

    def __init__(self, windows: FakeWindows) -> None:
        self.windows = windows
        self.sessions = FakeSessionsOfWindows(windows)
        self.account = FakeAccount(windows)
        self.power = FakePower(windows)
        self.registry = FakeRegistryKey(windows)
        self.falls_asleep = threading.Event()
        self.suspended = 0.0
        self.now = NOW
        self.control = WindowsControl(
            self.falls_asleep, lambda: self.suspended, lambda: self.now, patience=0.2
        )


@contextmanager
def answering_helpers(
    helpers: DesktopSessions, helper: Helper, calls: list[Call]
) -> Iterator[None]:
    """Have a session helper say at once that what it was asked for is done."""
    loop = asyncio.new_event_loop()
    helper.send = lambda call: (
        calls.append(call),
        helpers.received(helper, Outcome(call.id)),
    )[0]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def open_() -> None:
        helpers.open()

    asyncio.run_coroutine_threadsafe(open_(), loop).result(20)
    yield
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(FakeWindows().install(monkeypatch))


@pytest.fixture
def platform(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> WindowsPlatform:
    platform = WindowsPlatform()
    monkeypatch.setattr(platform, "control", lambda: machine.control)
    return platform


def test_capabilities_are_laid_out_as_windows_writes_them() -> None:
    # SYSTEM_POWER_CAPABILITIES has 76 bytes; AoAc follows 20 others.
    assert sizeof(PowerCapabilities) == 76
    assert PowerCapabilities.always_on.offset == 20
    assert PowerCapabilities.batteries.offset == 30


def test_a_machine_that_can_everything(machine: Machine) -> None:
    offered = ("shutdown", "reboot", "cancel", "suspend", "hibernate")
    assert machine.control.power_actions() == dict.fromkeys(offered)
    assert machine.control.withheld() == {}


@pytest.mark.parametrize(
    ("capability", "action", "why"),
    [
        pytest.param({"always_on": 1}, "suspend", "modern standby", id="modern standby"),
        pytest.param({"s3": 0}, "suspend", "neither this computer's firmware", id="no sleep"),
        pytest.param({"hibernation_file": 0}, "hibernate", "powercfg", id="no hibernation file"),
        pytest.param({"s4": 0}, "hibernate", "firmware", id="no hibernation"),
    ],
)
def test_what_the_machine_cannot_is_not_offered_and_said_why(
    machine: Machine,
    platform: WindowsPlatform,
    capability: dict[str, int],
    action: str,
    why: str,
) -> None:
    machine.power.capabilities |= capability

    offered = [command.key for command in PowerPlugin(platform).commands()]

    assert f"power.{action}" not in offered
    left_out = PowerPlugin(platform).left_out()
    assert list(left_out) == [action]
    assert why in left_out[action]


def test_a_missing_privilege_is_named(machine: Machine) -> None:
    machine.account.privileged = False

    missing = machine.control.power_actions()["shutdown"]

    assert missing is not None
    assert missing.reason == "privilege"
    assert "SeShutdownPrivilege" in missing.fix
    with pytest.raises(CommandError) as refused:
        machine.control.power("shutdown")
    assert refused.value.reason == "not_permitted"
    assert machine.power.shutdowns == []


def test_capabilities_that_cannot_be_read(machine: Machine, platform: WindowsPlatform) -> None:
    del machine.windows.functions["powrprof.GetPwrCapabilities"]

    with pytest.raises(Unavailable, match="does not tell what this computer can"):
        machine.control.power_actions()
    assert PowerPlugin(platform).left_out() == {}


def test_shutdown_at_once_asks_programs(machine: Machine) -> None:
    machine.control.power("shutdown")

    # Planned, for no other reason; neither forced nor started again.
    assert machine.power.shutdowns == [(None, MESSAGE, 0, False, False, 0x8000_0000)]
    assert machine.control.planned_shutdown() is None


def test_a_delay_warns_users_and_is_shown(machine: Machine, platform: WindowsPlatform) -> None:
    machine.control.power("reboot", 60)

    assert machine.power.shutdowns == [(None, MESSAGE, 60, True, True, 0x8000_0000)]
    assert PowerPlugin(platform).collect() == {"planned_shutdown": "2026-11-06T08:01:00+00:00"}


def test_a_plan_outlives_the_agent(machine: Machine) -> None:
    machine.control.power("shutdown", 60)

    after = WindowsControl(threading.Event(), lambda: 0.0, lambda: machine.now)

    assert after.planned_shutdown() == NOW + 60
    # Another program has called it off.
    machine.now += 3600
    assert after.planned_shutdown() is None


def test_a_later_plan_counts(machine: Machine) -> None:
    machine.control.power("shutdown", 60)

    machine.control.power("reboot", 120)

    assert machine.power.shutdowns[-1][2:5] == (120, True, True)
    assert machine.control.planned_shutdown() == NOW + 120


def test_the_plan_of_another_program_is_left_alone(machine: Machine) -> None:
    machine.power.planned = True

    with pytest.raises(CommandError) as refused:
        machine.control.power("shutdown", 60)

    assert "another program" in refused.value.detail
    assert machine.power.planned


def test_a_plan_that_cannot_be_kept_is_still_carried_out(machine: Machine) -> None:
    machine.registry.refuses = 5

    machine.control.power("shutdown", 60)

    assert machine.power.planned
    with pytest.raises(Unavailable, match="registry"):
        machine.control.planned_shutdown()


def test_cancel(machine: Machine) -> None:
    machine.control.power("shutdown", 60)

    machine.control.power("cancel")

    assert not machine.power.planned
    assert machine.control.planned_shutdown() is None
    with pytest.raises(CommandError, match="no shutdown or reboot is planned"):
        machine.control.power("cancel")


def test_a_locked_machine_asks_no_program(machine: Machine) -> None:
    machine.power.refuses = [1271]

    machine.control.power("shutdown")

    assert [asked[3] for asked in machine.power.shutdowns] == [False, True]


def test_what_windows_refuses_is_explained(machine: Machine) -> None:
    machine.power.refuses = [5]

    with pytest.raises(CommandError, match="Windows refuses it") as refused:
        machine.control.power("shutdown")

    assert refused.value.reason == "not_permitted"


@pytest.mark.parametrize("action", ["suspend", "hibernate"])
def test_sleep_is_done_when_it_has_begun(machine: Machine, action: str) -> None:
    awake = threading.Event()

    def sleep() -> int:
        machine.falls_asleep.set()
        return awake.wait(10)

    machine.power.suspend = sleep

    machine.control.power(action)  # type: ignore[arg-type]

    awake.set()
    assert machine.power.suspended == [(action == "hibernate", False, False)]


def test_sleep_that_windows_refuses_has_failed(machine: Machine) -> None:
    machine.power.suspend = lambda: machine.windows.fail(50)

    with pytest.raises(CommandError, match="SetSuspendState") as refused:
        machine.control.power("suspend")

    assert refused.value.reason == "failed"


def test_sleep_that_does_not_come_about_has_failed(machine: Machine) -> None:
    with pytest.raises(CommandError, match="the computer did not sleep"):
        machine.control.power("suspend")


def test_sleep_that_nothing_has_told_of(machine: Machine) -> None:
    def sleep() -> int:
        machine.suspended = 30.0
        return 1

    machine.power.suspend = sleep

    machine.control.power("suspend")

    assert machine.suspended == 30.0


def test_a_session_has_the_number_that_windows_gives_it(machine: Machine) -> None:
    machine.sessions.add(1, "anna")
    machine.sessions.add(2, "ben", state=4)
    machine.sessions.add(3, "cleo", protocol=2, locked=True)
    machine.sessions.add(4, "")  # a log-in screen
    machine.sessions.add(5, "", state=6)  # what listens for connections

    found = {one.id: one for one in machine.control.sessions()}

    assert list(found) == ["1", "2", "3"]
    assert {one.uid for one in found.values()} == {-1}
    assert found["1"].open
    assert (found["2"].present, found["2"].active) == (True, False)
    assert (found["3"].remote, found["3"].present, found["3"].locked) == (True, False, True)
    assert all(one.graphical for one in found.values())


def test_a_locked_console_locks_the_machine(machine: Machine) -> None:
    assert machine.control.locked()
    machine.sessions.add(1, "anna")
    assert not machine.control.locked()
    machine.sessions.add(1, "anna", locked=True)
    assert machine.control.locked()


def test_sessions_that_windows_does_not_tell(machine: Machine, platform: WindowsPlatform) -> None:
    machine.sessions.fails = 1722

    with pytest.raises(Unavailable, match="does not tell its sessions") as absent:
        SessionPlugin(platform).collect()

    assert "TermService" in absent.value.hint


def test_an_empty_list_of_sessions_is_no_answer(
    machine: Machine, platform: WindowsPlatform
) -> None:
    machine.sessions.remove(0)

    with pytest.raises(Unavailable, match="lists no sessions"):
        platform.session_locked()


def test_a_process_belongs_to_its_session(machine: Machine) -> None:
    machine.sessions.add(1, "anna")
    machine.sessions.add(2, "ben", state=4)
    machine.sessions.processes = {4242: 2, 4: 0}

    found = machine.control.session_of(4242, -1)

    assert found is not None
    assert (found.id, found.user) == ("2", "ben")
    assert machine.control.session_of(4, -1) is None, "services are no person"
    assert machine.control.session_of(7, -1) is None, "it may not be looked at"


def test_a_service_leaves_sessions_to_their_helpers(
    machine: Machine, platform: WindowsPlatform
) -> None:
    machine.sessions.own = 0

    assert SessionPlugin(platform).commands() == []
    left_out = SessionPlugin(platform).left_out()
    assert list(left_out) == ["lock", "log_out"]
    assert "the session helper" in left_out["lock"]


def test_what_a_service_may_not_do_the_session_helper_does(
    machine: Machine, platform: WindowsPlatform
) -> None:
    machine.sessions.own = 0
    helpers = DesktopSessions()
    calls: list[Call] = []
    plugin = SessionPlugin(platform, helpers=helpers)
    helper = helpers.admit(session("1", type="windows"), ANNA, "1.0.0", calls.append)
    offer = Offer(commands=(Thing("lock"), Thing("log_out")))

    helpers.received(helper, Offered("session", offer))

    assert [command.key for command in plugin.commands()] == ["session.lock", "session.log_out"]
    assert plugin.left_out() == {}
    with answering_helpers(helpers, helper, calls):
        plugin.run("session.lock", {})
    assert [(call.domain, call.command) for call in calls] == [("session", Thing("lock"))]


def test_a_service_of_the_system_logs_out(machine: Machine) -> None:
    machine.sessions.own = 0
    machine.account.administrator = True
    machine.sessions.add(1, "anna")
    machine.sessions.add(2, "ben", state=4)
    machine.sessions.add(3, "cleo", protocol=2)

    assert list(machine.control.session_actions()) == ["log_out"]
    machine.control.session("log_out")

    ended = [call[2] for call in machine.windows.calls if call[0] == "WTSLogoffSession"]
    assert ended == [1, 2], "remote sessions are not at this machine"


def test_a_user_logs_out_of_their_own_session(machine: Machine) -> None:
    machine.sessions.add(1, "anna")
    machine.sessions.add(2, "ben", state=4)

    machine.control.session("log_out")

    ended = [call[2] for call in machine.windows.calls if call[0] == "WTSLogoffSession"]
    assert ended == [1]


def test_without_a_user_none_is_logged_out(machine: Machine) -> None:
    with pytest.raises(CommandError, match="no user is logged in"):
        machine.control.session("log_out")


def test_a_session_that_locks_itself(machine: Machine) -> None:
    machine.sessions.add(1, "anna")

    def lock() -> int:
        machine.sessions.add(1, "anna", locked=True)
        return 1

    machine.windows.functions["user32.LockWorkStation"] = lock

    assert list(machine.control.session_actions()) == ["lock", "log_out"]
    machine.control.session("lock")

    assert machine.control.locked()


def test_a_lock_that_does_not_come_about_has_failed(machine: Machine) -> None:
    machine.sessions.add(1, "anna")
    machine.windows.functions["user32.LockWorkStation"] = lambda: 1

    with pytest.raises(CommandError, match="the session is not locked"):
        machine.control.session("lock")


def test_a_lock_that_windows_refuses(machine: Machine) -> None:
    # What Wine answers.
    machine.windows.functions["user32.LockWorkStation"] = lambda: machine.windows.fail(120)

    with pytest.raises(CommandError, match="LockWorkStation"):
        machine.control.session("lock")


def test_a_lock_that_windows_does_not_tell_of_is_believed(machine: Machine) -> None:
    machine.sessions.add(1, "anna", locked=None)
    machine.windows.functions["user32.LockWorkStation"] = lambda: 1

    machine.control.session("lock")

    assert ("ProcessIdToSessionId", os.getpid()) == machine.windows.calls[0][:2]
