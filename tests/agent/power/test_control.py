"""What logind and polkit answer, and what the agent makes of it."""

from __future__ import annotations

import time

import pytest

from companion_agent.errors import CommandError, Unanswered, Unavailable
from companion_agent.models import Missing
from companion_agent.platforms.linux.logind import LogindControl, polkit_actions
from companion_agent.platforms.linux.platform import LinuxPlatform
from companion_agent.platforms.portable import PortablePlatform
from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.session import SessionPlugin
from support.agent_logind import LOGIND, MANAGER, FakeLogind, FakePolkit, SystemBus

pytestmark = pytest.mark.proves(
    "power.shutdown",
    "power.reboot",
    "power.cancel",
    "power.suspend",
    "power.hibernate",
    "power.hybrid_sleep",
    "power.planned_shutdown",
    "session.*",
)

ALL = {"shutdown", "reboot", "cancel", "suspend", "hibernate", "hybrid_sleep"}
AGENT = 4242


@pytest.fixture
def control() -> LogindControl:
    """The control of an agent that is not root."""
    return LogindControl(uid=AGENT, user="pilot-agent")


@pytest.fixture
def root() -> LogindControl:
    return LogindControl(uid=0, user="root")


def blocked(
    logind: FakeLogind, method: str, error: str = "org.freedesktop.DBus.Error.AccessDenied"
) -> None:
    code = f"raise dbus.exceptions.DBusException('no', name='{error}')"
    logind.method(MANAGER, method, "b", "", code)


def test_root_may_do_what_the_machine_can(logind: FakeLogind, root: LogindControl) -> None:
    assert root.power_actions() == dict.fromkeys(ALL)


def test_what_the_machine_cannot_is_not_offered(logind: FakeLogind, root: LogindControl) -> None:
    for method in ("CanHibernate", "CanHybridSleep"):
        logind.method(MANAGER, method, "", "s", "ret = 'na'")
    assert set(root.power_actions()) == ALL - {"hibernate", "hybrid_sleep"}


def test_what_logind_does_not_know_is_not_offered(logind: FakeLogind, root: LogindControl) -> None:
    blocked(logind, "CanHybridSleep", "org.freedesktop.DBus.Error.UnknownMethod")
    assert set(root.power_actions()) == ALL - {"hybrid_sleep"}


def test_a_machine_that_cannot_shut_down_has_nothing_to_call_off(
    logind: FakeLogind, root: LogindControl
) -> None:
    for method in ("CanPowerOff", "CanReboot"):
        logind.method(MANAGER, method, "", "s", "ret = 'na'")
    assert set(root.power_actions()) == {"suspend", "hibernate", "hybrid_sleep"}


@pytest.mark.parametrize(
    ("scheduled", "planned"),
    [
        pytest.param(("poweroff", 1_793_952_000_250_000), 1_793_952_000.25, id="shutdown"),
        pytest.param(("reboot", 1_793_952_000_000_000), 1_793_952_000, id="reboot"),
        pytest.param(("", 2**64 - 1), None, id="nothing"),
        pytest.param(("dry-poweroff", 1_793_952_000_000_000), None, id="rehearsal"),
    ],
)
def test_planned_shutdown_is_told(
    logind: FakeLogind, root: LogindControl, scheduled: tuple[str, int], planned: float | None
) -> None:
    logind.plan(*scheduled)

    assert root.planned_shutdown() == planned


def test_planned_shutdown_is_absent_where_logind_does_not_tell(
    logind: FakeLogind, root: LogindControl
) -> None:
    with pytest.raises(Unavailable, match="does not say what is planned"):
        root.planned_shutdown()


def test_reading_of_a_planned_shutdown_is_null_while_nothing_is_planned(
    logind: FakeLogind,
) -> None:
    plugin = PowerPlugin(LinuxPlatform())
    logind.plan("poweroff", 1_793_952_000_250_000)
    assert plugin.collect() == {"planned_shutdown": "2026-11-06T08:00:00+00:00"}

    logind.plan("", 0)

    assert plugin.collect() == {"planned_shutdown": None}
    assert [reading.key for reading in plugin.readings()] == ["planned_shutdown"]


def test_missing_permission_is_offered_with_the_rule(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl
) -> None:
    found = control.power_actions()
    assert set(found) == ALL
    fix = found["shutdown"]
    assert fix is not None
    assert fix.reason == "polkit"
    for action in polkit_actions(ALL):
        assert f'"{action}"' in fix.fix
    assert set(found.values()) == {fix}, "one file mends all"


def test_permission_that_is_given_later_heals(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl
) -> None:
    polkit.permit(sorted(polkit_actions(["suspend"])))
    found = control.power_actions()
    assert [action for action, missing in found.items() if not missing] == ["suspend"]
    polkit.permit(sorted(polkit_actions(ALL)))
    assert not any(control.power_actions().values())


def test_half_a_permission_is_none(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl
) -> None:
    # Enough while no user is logged in, and no longer when one is.
    polkit.permit([f"{LOGIND}.suspend"])
    assert control.power_actions()["suspend"]


def test_a_block_is_not_a_missing_permission(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl
) -> None:
    # What logind says while packages are updated, although the rule is there.
    logind.method(MANAGER, "CanPowerOff", "", "s", "ret = 'challenge'")
    polkit.permit(sorted(polkit_actions(ALL)))
    assert control.power_actions()["shutdown"] is None


def test_without_polkit_the_package_is_missing(logind: FakeLogind, control: LogindControl) -> None:
    missing = control.power_actions()["shutdown"]
    assert missing is not None
    assert missing.reason == "package"
    assert "polkit.addRule" in missing.fix


def test_without_logind(bus: SystemBus, control: LogindControl) -> None:
    with pytest.raises(Unavailable, match="logind does not run") as raised:
        control.power_actions()
    assert "libpam-systemd" in raised.value.hint


@pytest.mark.parametrize("service", ["logind", "polkit"])
def test_no_answer_does_not_say_that_the_machine_cannot(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl, service: str
) -> None:
    no_answer = "org.freedesktop.DBus.Error.NoReply"
    if service == "logind":
        code = f"raise dbus.exceptions.DBusException('no', name='{no_answer}')"
        logind.method(MANAGER, "CanReboot", "", "s", code)
    else:
        polkit.answer_with(no_answer)

    with pytest.raises(Unanswered):
        control.power_actions()


def test_without_bus(monkeypatch: pytest.MonkeyPatch, control: LogindControl) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(Unavailable, match="no D-Bus system bus") as raised:
        control.power_actions()
    assert raised.value.hint
    with pytest.raises(CommandError) as refused:
        control.power("suspend")
    assert refused.value.reason == "failed"


def test_strange_bus_address(monkeypatch: pytest.MonkeyPatch, control: LogindControl) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=192.0.2.1,port=1")
    with pytest.raises(Unavailable, match="cannot be used"):
        control.power_actions()


@pytest.mark.parametrize(
    ("action", "method"),
    [
        ("shutdown", "PowerOff"),
        ("reboot", "Reboot"),
        ("suspend", "Suspend"),
        ("hibernate", "Hibernate"),
        ("hybrid_sleep", "HybridSleep"),
    ],
)
def test_actions_ask_for_no_password(
    logind: FakeLogind, control: LogindControl, action: str, method: str
) -> None:
    control.power(action)  # type: ignore[arg-type]
    assert logind.calls(method) == [(False,)]


def test_delayed_shutdown_is_planned_with_a_warning(logind: FakeLogind) -> None:
    control = LogindControl(uid=AGENT, user="pilot-agent", clock=lambda: 1_793_952_000.25)
    control.power("shutdown", 60)
    assert logind.calls("ScheduleShutdown") == [("poweroff", 1_793_952_060_250_000)]
    assert logind.calls("SetWallMessage") == [("Asked for through Home Assistant", True)]
    assert not logind.calls("PowerOff")
    control.power("reboot", 1)
    assert logind.calls("ScheduleShutdown")[1][0] == "reboot"


def test_shutdown_without_permission_to_warn(logind: FakeLogind, control: LogindControl) -> None:
    code = (
        "raise dbus.exceptions.DBusException('no', name='org.freedesktop.DBus.Error.AccessDenied')"
    )
    logind.method(MANAGER, "SetWallMessage", "sb", "", code)
    control.power("reboot", 60)
    assert logind.calls("ScheduleShutdown")


def test_calling_off(logind: FakeLogind, control: LogindControl) -> None:
    with pytest.raises(CommandError, match="no shutdown or reboot is planned"):
        control.power("cancel")
    control.power("shutdown", 3600)
    control.power("cancel")


def test_refusal_names_what_polkit_does_not_permit(
    logind: FakeLogind, control: LogindControl
) -> None:
    blocked(logind, "Suspend", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
    with pytest.raises(CommandError) as refused:
        control.power("suspend")
    assert refused.value.reason == "not_permitted"
    assert "org.freedesktop.login1.suspend" in refused.value.detail


def test_refusal_names_who_blocks(logind: FakeLogind, control: LogindControl) -> None:
    blocked(logind, "PowerOff")
    logind.method(
        MANAGER, "ListInhibitors", "", "a(ssssuu)",
        "ret = [('sleep', 'x', 'y', 'block', 0, 1), ('shutdown', 'z', '', 'delay', 0, 1),"
        " ('shutdown:idle', 'Package updates', 'A package is being installed', 'block', 0, 1)]",
    )  # fmt: skip
    with pytest.raises(CommandError, match="Package updates keeps") as refused:
        control.power("shutdown")
    assert refused.value.reason == "failed"
    assert refused.value.detail.endswith("A package is being installed")


def test_failure_says_what_logind_says(logind: FakeLogind, control: LogindControl) -> None:
    error = "org.freedesktop.login1.SleepVerbNotSupported"
    code = f"raise dbus.exceptions.DBusException('no space on swap', name='{error}')"
    logind.method(MANAGER, "Hibernate", "b", "", code)
    with pytest.raises(CommandError, match="no space on swap") as refused:
        control.power("hibernate")
    assert refused.value.reason == "failed"


# --- Sessions ----------------------------------------------------------------------------


def test_a_server_has_no_desktop_to_lock(logind: FakeLogind, root: LogindControl) -> None:
    logind.add_session("1", 1000, "anna", Type="tty")
    with pytest.raises(Unavailable, match="no desktop"):
        root.session_actions()


def test_a_login_screen_is_a_desktop_and_stays_one(logind: FakeLogind, root: LogindControl) -> None:
    path = logind.add_session("c1", 120, "gdm", Class="greeter")
    assert root.session_actions() == {"lock": None, "log_out": None}
    logind.log_out("c1", path)
    assert root.session_actions() == {"lock": None, "log_out": None}


def test_sessions_of_others_need_permission(
    logind: FakeLogind, polkit: FakePolkit, control: LogindControl
) -> None:
    logind.add_session("1", 1000, "anna")
    polkit.permit([f"{LOGIND}.lock-sessions"])
    found = control.session_actions()
    assert found["lock"] is None
    missing = found["log_out"]
    assert isinstance(missing, Missing)
    # The one file serves power as well, so that writing it loses nothing.
    assert f'"{LOGIND}.power-off"' in missing.fix
    power = control.power_actions()["shutdown"]
    assert power == missing


def test_ones_own_session_needs_no_permission(logind: FakeLogind, control: LogindControl) -> None:
    logind.add_session("1", AGENT, "anna")
    assert control.session_actions() == {"lock": None, "log_out": None}


def test_lock_reaches_every_desktop_and_nothing_else(
    logind: FakeLogind, control: LogindControl
) -> None:
    logind.add_session("1", 1000, "anna")
    logind.add_session("2", 1001, "ben", Type="x11")
    logind.add_session("3", 1000, "anna", Type="tty")
    logind.add_session("4", 1000, "anna", seat=False, Remote=True)
    logind.add_session("c1", 120, "gdm", Class="greeter")
    control.session("lock")
    assert sorted(logind.calls("LockSession")) == [("1",), ("2",)]


def test_logging_out_spares_those_over_the_network(
    logind: FakeLogind, control: LogindControl
) -> None:
    logind.add_session("1", 1000, "anna")
    logind.add_session("3", 1000, "anna", Type="tty")
    logind.add_session("4", 1000, "anna", seat=False, Type="tty", Remote=True)
    control.session("log_out")
    assert sorted(logind.calls("TerminateSession")) == [("1",), ("3",)]


def test_no_session_to_lock(logind: FakeLogind, control: LogindControl) -> None:
    with pytest.raises(CommandError, match="no user is logged in"):
        control.session("lock")


def test_session_that_ends_meanwhile(logind: FakeLogind, control: LogindControl) -> None:
    logind.add_session("1", 1000, "anna")
    code = (
        "raise dbus.exceptions.DBusException('gone', name='org.freedesktop.login1.NoSuchSession')"
    )
    logind.method(MANAGER, "LockSession", "s", "", code)
    control.session("lock")
    assert logind.calls("LockSession") == [("1",)]


def test_lock_without_permission(logind: FakeLogind, control: LogindControl) -> None:
    logind.add_session("1", 1000, "anna")
    code = (
        "raise dbus.exceptions.DBusException('no', name='org.freedesktop.DBus.Error.AccessDenied')"
    )
    logind.method(MANAGER, "LockSession", "s", "", code)
    with pytest.raises(CommandError) as refused:
        control.session("lock")
    assert refused.value.reason == "not_permitted"


# --- Through the groups ------------------------------------------------------------------


def test_groups(logind: FakeLogind) -> None:
    logind.add_session("1", 1000, "anna")
    platform = LinuxPlatform()
    power, session = PowerPlugin(platform), SessionPlugin(platform)
    keys = {command.key: command for command in (*power.commands(), *session.commands())}
    assert set(keys) == {*(f"power.{action}" for action in ALL), "session.lock", "session.log_out"}
    assert keys["power.shutdown"].args["delay"].unit == "seconds"
    assert not keys["power.cancel"].args
    power.run("power.reboot", {"delay": 0})
    power.run("power.suspend", {})
    session.run("session.lock", {})
    assert logind.calls("Reboot") == [(False,)]
    assert logind.calls("Suspend") == [(False,)]
    assert logind.calls("LockSession") == [("1",)]


def test_a_probe_is_cheap(logind: FakeLogind, polkit: FakePolkit, control: LogindControl) -> None:
    control.power_actions()
    began = time.process_time()
    for _ in range(10):
        control.power_actions()
    assert (time.process_time() - began) / 10 < 0.05


# --- The lock ----------------------------------------------------------------------------


def test_the_lock_is_asked_of_logind_without_a_listener(logind: FakeLogind) -> None:
    """As in `pilot-agent read`, and in the first second of the service."""
    platform = LinuxPlatform()
    collector = SessionPlugin(platform)
    assert "locked" not in collector.collect()
    assert collector.left_out() == {"locked": "there is no desktop on this machine"}
    greeter = logind.add_session("c1", 120, "gdm", Class="greeter")
    assert collector.collect()["locked"] is True
    logind.log_out("c1", greeter)
    anna = logind.add_session("1", 1000, "anna")
    assert collector.collect()["locked"] is False
    logind.set_locked(anna, True)
    assert collector.collect()["locked"] is True
    assert [reading.key for reading in collector.readings()] == ["locked", "users"]
    assert collector.left_out() == {}


def test_who_is_logged_in_is_asked_of_logind_without_a_listener(logind: FakeLogind) -> None:
    """People alone, with what sort of session they have and whether they are here."""
    collector = SessionPlugin(LinuxPlatform())
    assert collector.collect() == {"users": ""}
    logind.add_session("c1", 120, "gdm", Class="greeter")
    logind.add_session("2", 1001, "ben", seat=False, Type="tty", Remote=True)
    logind.add_session("1", 1000, "anna")
    logind.add_session("3", 1000, "anna", seat=False, State="closing")

    assert collector.collect()["users"] == "wayland local anna, tty remote ben"


def test_as_many_users_are_named_as_fit(logind: FakeLogind) -> None:
    for number in range(20):
        logind.add_session(str(number), 1000 + number, f"student-{number:02}")

    told = SessionPlugin(LinuxPlatform()).collect()["users"]

    assert isinstance(told, str)
    assert len(told) <= 255
    assert told.split(", ")[-1] == f"wayland local student-{len(told.split(', ')) - 1:02}"


def test_without_logind_there_is_no_lock(bus: SystemBus) -> None:
    with pytest.raises(Unavailable, match="logind"):
        SessionPlugin(LinuxPlatform()).probe()


def test_elsewhere_there_is_no_lock() -> None:
    with pytest.raises(Unavailable, match="does not tell whether it is locked"):
        SessionPlugin(PortablePlatform()).probe()
