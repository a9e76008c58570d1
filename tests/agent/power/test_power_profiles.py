"""The power profile, by the services that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import CommandError
from companion_agent.platforms.linux import power_profiles
from companion_agent.platforms.linux.files import Files
from companion_agent.platforms.linux.logind import LogindControl
from companion_agent.platforms.linux.platform import LinuxPlatform
from companion_agent.platforms.linux.processor import LinuxProcessor
from support.agent_power_profiles import HADESS, TUNED, UPOWER, FakeProfiles

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_logind import FakeLogind, FakePolkit, SystemBus

AGENT = 4242


@pytest.fixture
def processor(tmp_path: Path, bus: SystemBus) -> LinuxProcessor:
    """The processor of a machine without cpufreq, for an agent that is not root."""
    return LinuxProcessor(Files(tmp_path), LogindControl(uid=AGENT, user="pilot-agent"))


@pytest.fixture
def allowed(polkit: FakePolkit) -> FakePolkit:
    """polkit, which permits the agent to choose a profile."""
    polkit.permit(sorted(power_profiles.ACTIONS))
    return polkit


@pytest.mark.parametrize("name", [HADESS, UPOWER])
def test_the_daemon_is_read_and_set(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor, name: str
) -> None:
    FakeProfiles(bus, name)

    state = processor.state()

    profile = state.settings["profile"]
    assert (profile.value, profile.options) == (
        "balanced",
        ("power-saver", "balanced", "performance"),
    )
    assert profile.missing is None
    assert (state.tells_degraded, state.degraded) == (True, None)
    processor.set("profile", "power-saver")
    assert processor.state().settings["profile"].value == "power-saver"


def test_tuned_is_read_and_set(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor
) -> None:
    FakeProfiles(bus, TUNED)

    state = processor.state()

    assert state.settings["profile"].options == ("balanced", "powersave", "throughput")
    assert not state.tells_degraded
    processor.set("profile", "throughput")
    assert processor.state().settings["profile"].value == "throughput"


def test_tuned_that_refuses_is_quoted(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor
) -> None:
    service = FakeProfiles(bus, TUNED)
    service.method("switch_profile", "s", "(bs)", "ret = (False, 'Cannot load it')")

    with pytest.raises(CommandError, match="tuned refuses the profile balanced: Cannot load it"):
        processor.set("profile", "balanced")


def test_a_yes_that_changes_nothing_is_a_failure(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor
) -> None:
    service = FakeProfiles(bus, TUNED)
    service.method("switch_profile", "s", "(bs)", "ret = (True, 'OK')")

    with pytest.raises(CommandError, match="tuned keeps the profile balanced"):
        processor.set("profile", "powersave")


def test_what_keeps_it_from_its_performance_is_told(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor
) -> None:
    service = FakeProfiles(bus, UPOWER)

    service.change(PerformanceDegraded="lap-detected")

    assert processor.state().degraded == "lap-detected"


def test_missing_permission_comes_with_the_whole_rule(
    bus: SystemBus, logind: FakeLogind, polkit: FakePolkit, processor: LinuxProcessor
) -> None:
    FakeProfiles(bus, UPOWER)

    missing = processor.state().settings["profile"].missing

    assert missing is not None
    assert f"{UPOWER}.switch-profile" in missing.fix
    assert "org.freedesktop.login1.power-off" in missing.fix, "one rule for everything"


def test_the_rule_for_power_has_the_profile_where_there_is_one(
    bus: SystemBus, logind: FakeLogind, polkit: FakePolkit, tmp_path: Path
) -> None:
    FakeProfiles(bus, UPOWER)
    platform = LinuxPlatform(tmp_path)
    platform._control = LogindControl(AGENT, "pilot-agent", also=platform._also_permitted)
    before = platform.control().power_actions()["shutdown"]
    assert before is not None
    assert UPOWER not in before.fix

    profile = platform.processor().state().settings["profile"].missing

    after = platform.control().power_actions()["shutdown"]
    assert after == profile


def test_a_service_that_is_away_for_a_while_stays_offered(
    bus: SystemBus, allowed: FakePolkit, processor: LinuxProcessor
) -> None:
    FakeProfiles(bus, HADESS)
    processor.state()

    bus.stop_mock(HADESS)

    profile = processor.state().settings["profile"]
    assert (profile.value, profile.trouble) == (
        None,
        "the service of power profiles does not run",
    )
    with pytest.raises(CommandError, match="no service of power profiles runs"):
        processor.set("profile", "balanced")


def test_without_a_service_there_is_no_profile(processor: LinuxProcessor) -> None:
    assert "profile" not in processor.state().settings
