"""What the other tests here count on: the machine's hardware, and what it is read with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stack.console import StackError

if TYPE_CHECKING:
    from stack.guest import Guest


def test_commands(guest: Guest) -> None:
    guest.write("/run/greeting", "bonjour à tous\n", mode=0o600)
    said = guest.run("cat", "/run/greeting")
    assert said.stdout == "bonjour à tous\n"

    with pytest.raises(StackError, match=r"ended with 1:\n.*No such file"):
        guest.run("cat", "/run/nothing")
    with pytest.raises(StackError, match=r"did not end within 0\.5 s"):
        guest.run("sleep", "60", timeout=0.5)
    assert guest.run("id", "-un", user="daemon").stdout == "daemon\n"


def test_the_agent_runs_there(guest: Guest) -> None:
    said = guest.run("python3", "-m", "companion_agent", "--version")
    assert said.stdout.startswith("pilot-agent ")


def test_disks_tell_of_their_health(guest: Guest) -> None:
    for device in ("/dev/nvme0", "/dev/sda"):
        said = guest.run("smartctl", "--all", "--json", device, check=False)
        assert json.loads(said.stdout)["smart_status"]["passed"] is True


def test_monitor(guest: Guest) -> None:
    said = guest.run("sh", "-c", "cat /sys/class/drm/card0-*/status /sys/class/drm/card0-*/dpms")
    assert said.stdout.split() == ["connected", "On"]


def test_drivers_of_debian_are_there(guest: Guest) -> None:
    drivers = ("i2c-stub", "lm75", "vivid", "mac80211_hwsim", "raid1", "btrfs")
    found = guest.run("modinfo", "--field=filename", *drivers)
    assert len(found.stdout.split()) == len(drivers)
