"""The real power-profiles-daemon, on a machine of umockdev's with a platform profile."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import CommandError
from companion_agent.platforms.linux import power_profiles
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from companion_agent.platforms.linux.power_profiles import Profile
    from support.agent_logind import FakePolkit, SystemBus

pytestmark = pytest.mark.proves("processor.profile*")

DAEMON = Path("/usr/libexec/power-profiles-daemon")
FIRMWARE = "sys/firmware/acpi"


def read() -> Profile | None:
    return power_profiles.read("pilot-agent", frozenset())


@pytest.fixture
def firmware(bus: SystemBus, polkit: FakePolkit, tmp_path: Path) -> Iterator[Path]:
    """The file in which the firmware has its profile, while the daemon runs."""
    wrapper = shutil.which("umockdev-wrapper")
    if wrapper is None or not DAEMON.exists():
        pytest.skip("not installed (Debian: apt install umockdev power-profiles-daemon)")
    for folder in (FIRMWARE, "sys/bus", "sys/class", "sys/devices", "dev"):
        (tmp_path / folder).mkdir(parents=True)
    profile = tmp_path / FIRMWARE / "platform_profile"
    profile.write_text("balanced\n")
    profile.with_name("platform_profile_choices").write_text("low-power balanced performance\n")
    daemon = subprocess.Popen(
        [wrapper, str(DAEMON)], env={**os.environ, "UMOCKDEV_DIR": str(tmp_path)}
    )
    wait_until(read)
    yield profile
    daemon.terminate()
    daemon.wait(10)


def test_it_is_read_asked_for_a_permission_set_and_followed(
    firmware: Path, polkit: FakePolkit
) -> None:
    found = read()
    assert found is not None
    assert (found.active, found.profiles, found.degraded) == (
        "balanced",
        ("power-saver", "balanced", "performance"),
        "",
    )
    assert found.missing is not None
    with pytest.raises(CommandError, match="polkit does not permit") as raised:
        power_profiles.choose("performance")
    assert raised.value.reason == "not_permitted"

    polkit.permit(sorted(power_profiles.ACTIONS))
    power_profiles.choose("performance")

    assert firmware.read_text() == "performance"
    firmware.write_text("low-power\n")  # By a key of the keyboard, say.
    wait_until(lambda: (now := read()) and now.active == "power-saver")
