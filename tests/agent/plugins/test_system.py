"""The system, Wi-Fi and the agent itself."""

from __future__ import annotations

from datetime import UTC, datetime
import os
from typing import TYPE_CHECKING

import pytest

from companion_agent import platforms
from companion_agent.errors import Unavailable
from companion_agent.models import Counters, Selection
from companion_agent.plugins.agent import AgentPlugin
from companion_agent.plugins.system import SystemPlugin
from companion_agent.plugins.wifi import WifiPlugin

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_screen import MachineOf, ScreenOf

pytestmark = pytest.mark.proves("system.*")


def set_clock(root: Path, started: int) -> None:
    """Set a machine's clock, by which its start is somewhere else."""
    stat = root / "proc/stat"
    lines = [line for line in stat.read_text().splitlines() if not line.startswith("btime")]
    stat.write_text("\n".join([*lines, f"btime {started}", ""]))


def test_a_laptop_s_system(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(SystemPlugin(machine("thinkpad"))).look() == {
        "started": "2020-11-14T01:23:19+00:00",
        "users": 1,
        "processes": 3,
        "os": "Fedora Linux 41 (Workstation Edition)",
        "kernel": "6.11.4-301.fc41.x86_64",
        "pending_reboot": False,
    }


def test_the_start_does_not_jitter_with_the_clock(
    machine: MachineOf, screen: ScreenOf, tmp_path: Path
) -> None:
    host = machine("thinkpad")
    shown = screen(SystemPlugin(host))
    before = shown.look()["started"]
    set_clock(tmp_path, 1_605_317_004)

    assert shown.look()["started"] == before


def test_the_start_is_the_same_for_every_start_of_the_agent(screen: ScreenOf) -> None:
    starts = {screen(SystemPlugin(platforms.current())).look()["started"] for _ in range(50)}

    assert len(starts) == 1


def test_a_clock_that_was_wrong_is_put_right(
    machine: MachineOf, screen: ScreenOf, tmp_path: Path
) -> None:
    host = machine("raspberry-pi")
    set_clock(tmp_path, 0)
    shown = screen(SystemPlugin(host))
    assert shown.look()["started"] == "1970-01-01T00:00:00+00:00"
    set_clock(tmp_path, 1_699_395_200)

    assert shown.look()["started"] == "2023-11-07T22:13:20+00:00"


def test_the_machine_at_hand_started_in_the_past(screen: ScreenOf) -> None:
    seen = screen(SystemPlugin(platforms.current())).look()

    assert datetime(2000, 1, 1, tzinfo=UTC) < datetime.fromisoformat(seen["started"])
    assert datetime.fromisoformat(seen["started"]) < datetime.now(UTC)
    assert seen["processes"] > 1


@pytest.mark.parametrize(
    ("name", "people"),
    [
        pytest.param("thinkpad", 1, id="no login screen, no manager"),
        pytest.param("amd-desktop", 1, id="one person twice, one who is leaving"),
        pytest.param("server", 2, id="utmp, without a session whose process is gone"),
    ],
)
def test_people_are_counted_once(
    machine: MachineOf, screen: ScreenOf, monkeypatch: pytest.MonkeyPatch, name: str, people: int
) -> None:
    monkeypatch.setattr("companion_agent.platforms.linux.system.ARCH", "x86_64")

    assert screen(SystemPlugin(machine(name))).look()["users"] == people


@pytest.mark.parametrize(
    ("name", "pending"),
    [
        pytest.param("thinkpad", False, id="the newest kernel runs"),
        pytest.param("raspberry-pi", True, id="a newer kernel of the same flavour"),
        pytest.param("amd-desktop", True, id="the distribution says so"),
        pytest.param("server", False, id="an older kernel is kept"),
    ],
)
def test_a_reboot_waits(machine: MachineOf, screen: ScreenOf, name: str, pending: bool) -> None:
    assert screen(SystemPlugin(machine(name))).look()["pending_reboot"] is pending


def test_a_kernel_of_another_flavour_is_not_newer(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    host.remove("lib/modules/6.6.51+rpt-rpi-v8")

    assert screen(SystemPlugin(host)).look()["pending_reboot"] is False


def test_the_running_kernel_was_removed(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    host.remove("lib/modules/6.6.31+rpt-rpi-v8")

    assert screen(SystemPlugin(host)).look()["pending_reboot"] is True


def test_a_container_knows_less(machine: MachineOf, screen: ScreenOf) -> None:
    assert set(screen(SystemPlugin(machine("container"))).look()) == {
        "started",
        "processes",
        "os",
        "kernel",
    }


def test_processes_that_are_hidden_are_not_counted_and_why(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("server")
    host.remove("proc/1")
    shown = screen(SystemPlugin(host))

    assert "processes" not in shown.look()
    assert "hidepid" in shown.collector.left_out()["processes"]


def test_a_part_that_cannot_be_read_does_not_take_the_others_along(
    machine: MachineOf, screen: ScreenOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise OSError(120, "not supported")

    host = machine("thinkpad")
    monkeypatch.setattr(host, "users", fail)
    plugin = SystemPlugin(host)

    seen = screen(plugin).look()

    assert "users" not in seen
    assert seen["processes"] == 3
    assert plugin.troubles() == {"users": "not supported"}


def test_wifi_is_asked_by_netlink(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(WifiPlugin(machine("thinkpad"))).look() == {
        "wlp0s20f3.ssid": "Homenet",
        "wlp0s20f3.signal": -52,
    }


def test_wifi_that_is_not_connected(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(WifiPlugin(host))
    host.connect(3, None, None)

    assert shown.look() == {"wlp0s20f3.ssid": None, "wlp0s20f3.signal": None}


def test_without_netlink_the_signal_is_read_from_proc(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(WifiPlugin(machine("raspberry-pi"))).look() == {
        "wlan0.ssid": None,
        "wlan0.signal": -47,
    }


def test_a_flutter_of_the_signal_is_no_change(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(WifiPlugin(host))
    shown.look()
    host.connect(3, "Homenet", -54.0)

    assert shown.look()["wlp0s20f3.signal"] == -52


def test_no_wifi(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="Wi-Fi"):
        WifiPlugin(machine("server")).probe()


def test_no_wifi_selected(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="selected"):
        WifiPlugin(machine("thinkpad"), Selection(exclude=("wl*",))).probe()


def test_the_agent_reports_what_it_counts(screen: ScreenOf) -> None:
    counters = Counters()
    shown = screen(AgentPlugin(platforms.current(), counters=counters))
    counters.reconnects += 2
    counters.dropped_messages += 1

    seen = shown.look()

    assert seen["reconnects"] == 2
    assert seen["dropped_messages"] == 1
    assert seen["memory"] > 5_000_000
    assert 0 < seen["cpu_time"] <= sum(os.times()[:4]) + 0.1


def test_the_agent_s_collector_is_made_like_the_others() -> None:
    assert AgentPlugin(platforms.current()).collect()["reconnects"] == 0
