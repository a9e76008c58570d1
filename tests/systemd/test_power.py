"""Power and sessions with real systemd, logind and polkit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from conftest import RULE, AgentHost, both, types
import pytest

from stack.process import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from stack.nspawn import SystemdHost

pytestmark = pytest.mark.proves("power.shutdown", "power.reboot", "power.cancel")


def test_a_container_offers_what_it_can(agent_host: AgentHost) -> None:
    assert agent_host.probe(user="root") == {
        "power": {"shutdown": None, "reboot": None, "cancel": None},
        "session": "there is no desktop on this machine",
    }


@both
def test_the_missing_rule_once_written_permits_everything(agent_host: AgentHost) -> None:
    missing = agent_host.probe()["power"]
    assert {found["reason"] for found in missing.values()} == {"polkit"}
    assert RULE in missing["shutdown"]["fix"]
    refused = agent_host.power("shutdown")
    assert refused["reason"] == "not_permitted"
    assert "org.freedesktop.login1.power-off" in refused["detail"]
    agent_host.permit()
    # Another person's session wants a permission of its own, which the rule has as well.
    agent_host.host.add_user("anna")
    agent_host.host.log_in("anna")
    wait_for(lambda: "anna" in agent_host.host.run("loginctl").stdout, "anna's session")
    assert not any(agent_host.probe()["power"].values())
    assert agent_host.power("shutdown") == {"reason": "", "detail": ""}
    agent_host.host.wait_until_off()


def test_the_rule_permits_no_other_user_and_nothing_else(agent_host: AgentHost) -> None:
    agent_host.permit()
    agent_host.host.add_user("anna")
    assert all(agent_host.probe(user="anna")["power"].values())
    refused = agent_host.host.run("systemctl", "restart", "dbus", user="pilot-agent", check=False)
    assert refused.returncode


def test_taking_the_rule_away_is_noticed(agent_host: AgentHost) -> None:
    agent_host.permit()
    agent_host.host.run("rm", RULE)
    wait_for(lambda: all(agent_host.probe()["power"].values()), "the rule to be gone")


def test_without_polkit_the_package_is_missing(agent_host: AgentHost) -> None:
    service = "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"
    agent_host.host.run("systemctl", "stop", "polkit")
    agent_host.host.run("rm", service)
    agent_host.host.run("systemctl", "reload", "dbus")
    missing = agent_host.probe()["power"]
    assert {found["reason"] for found in missing.values()} == {"package"}


@both
def test_reboot(agent_host: AgentHost) -> None:
    agent_host.permit()
    assert agent_host.power("reboot")["reason"] == ""
    agent_host.host.wait_until_rebooted()
    assert not any(agent_host.probe()["power"].values())


def test_planned_shutdown_and_calling_it_off(agent_host: AgentHost) -> None:
    agent_host.permit()
    assert agent_host.power("cancel") == {
        "reason": "failed",
        "detail": "no shutdown or reboot is planned",
    }
    assert agent_host.power("shutdown", 3600)["reason"] == ""
    planned = agent_host.host.run("cat", "/run/systemd/shutdown/scheduled").stdout
    fields = dict(line.split("=", 1) for line in planned.splitlines())
    assert fields["MODE"] == "poweroff"
    assert fields["WARN_WALL"] == "1"
    assert fields["WALL_MESSAGE"] == "Asked for through Home Assistant"
    assert abs(int(fields["USEC"]) / 1_000_000 - time.time() - 3600) < 30
    assert agent_host.power("cancel")["reason"] == ""
    assert agent_host.host.run(
        "test", "-e", "/run/systemd/shutdown/scheduled", check=False
    ).returncode
    assert agent_host.power("shutdown", 1)["reason"] == ""
    agent_host.host.wait_until_off()


def test_who_blocks_is_named_and_no_permission_is_missing(
    agent_host: AgentHost, tmp_path: Path
) -> None:
    agent_host.permit()
    agent_host.host.run(
        "systemd-run", "--quiet", "--unit=updates",
        "systemd-inhibit", "--what=shutdown", "--mode=block", "--who=Updates",
        "--why=Packages are being installed", "sleep", "infinity",
    )  # fmt: skip
    wait_for(
        lambda: "Updates" in agent_host.host.run("systemd-inhibit", "--list").stdout, "the block"
    )
    assert not any(agent_host.probe()["power"].values())
    assert agent_host.power("shutdown") == {
        "reason": "failed",
        "detail": "Updates keeps this machine from it: Packages are being installed",
    }
    agent_host.host.run("systemctl", "stop", "updates")
    assert agent_host.power("shutdown")["reason"] == ""
    agent_host.host.wait_until_off()


def test_shutdown_waits_for_the_agent(agent_host: AgentHost, tmp_path: Path) -> None:
    with agent_host.watch(tmp_path, seconds=1.5) as watch:
        watch.wait_for_output("listening")
        inhibitors = agent_host.host.run("systemd-inhibit", "--list", "--no-legend").stdout
        assert inhibitors.count("Pilot") == 2
        began = time.monotonic()
        agent_host.host.run("systemctl", "poweroff", "--no-block")
        agent_host.host.wait_until_off()
        took = time.monotonic() - began
        assert types(watch) == ["listening", "shutting_down", "lets_go"]
    assert took > 1.5
    # It did not wait for the end of its own patience.
    assert took < 5


def say_that_it_is_locked(host: SystemdHost, user: str) -> None:
    """Do what a desktop does that has locked its screen."""
    login1 = "org.freedesktop.login1"
    listed = host.run("loginctl", "list-sessions", "--no-legend").stdout.splitlines()
    session = next(line.split()[0] for line in listed if user in line)
    told = host.run(
        "busctl", "call", login1, "/org/freedesktop/login1", f"{login1}.Manager",
        "GetSession", "s", session,
    ).stdout  # fmt: skip
    path = told.split('"')[1]
    host.run(
        "busctl", "call", login1, path, f"{login1}.Session", "SetLockedHint", "b", "true",
        user=user,
    )  # fmt: skip


def test_sessions(agent_host: AgentHost, tmp_path: Path) -> None:
    host = agent_host.host
    for user in ("anna", "ben"):
        host.add_user(user)
    agent_host.permit()
    with agent_host.watch(tmp_path) as watch:
        watch.wait_for_output("listening")
        host.log_in("ben", kind="tty", seat="")
        watch.wait_for_output('"logged_in".*"ben"')
        assert agent_host.probe()["session"] == "there is no desktop on this machine"
        assert agent_host.locked() == "there is no desktop on this machine"
        host.log_in("anna")
        watch.wait_for_output('"logged_in".*"anna".*"wayland"')
        # anna's desktop needs a permission that the rule did not have before there was one.
        assert all(agent_host.probe()["session"].values())
        assert agent_host.session("lock")["reason"] == "not_permitted"
        fix: str = agent_host.probe()["session"]["lock"]["fix"]
        host.write(RULE, fix[fix.index("//") :])
        wait_for(lambda: not any(agent_host.probe()["session"].values()), "the rule to be seen")
        assert not any(agent_host.probe()["power"].values())
        assert agent_host.session("lock")["reason"] == ""
        watch.wait_for_output('"locked".*"anna"')
        # Her desktop says nothing itself, and so does logind, until it does.
        assert agent_host.locked() is False
        say_that_it_is_locked(host, "anna")
        assert agent_host.locked() is True
        assert agent_host.session("log_out")["reason"] == ""
        watch.wait_for_output('"logged_out".*"anna"')
        assert types(watch) == ["listening", "logged_in", "logged_in", "locked", "logged_out"]
        assert "ben" in host.run("loginctl").stdout
        assert agent_host.session("lock") == {
            "reason": "failed",
            "detail": "no user is logged in at this machine",
        }


def test_logind_that_is_restarted_keeps_being_heard(agent_host: AgentHost, tmp_path: Path) -> None:
    with agent_host.watch(tmp_path) as watch:
        watch.wait_for_output("listening")
        agent_host.host.run("systemctl", "restart", "systemd-logind")
        agent_host.host.add_user("anna")
        agent_host.host.log_in("anna")
        watch.wait_for_output('"logged_in".*"anna"')
        assert "Pilot" in agent_host.host.run("systemd-inhibit", "--list").stdout
