"""Fixtures of the tests of power and sessions."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    collect_ignore = [
        "test_control.py",
        "test_logind_watch.py",
        "test_power_profiles.py",
        "test_real_power_profiles.py",
        "test_rule.py",
        "test_sessions_of_processes.py",
    ]
else:
    from support.agent_logind import POLKIT, FakePolkit, SystemBus


@pytest.fixture
def polkit(bus: SystemBus) -> FakePolkit:
    """polkit, which permits nothing yet."""
    bus.play("polkitd", POLKIT)
    return FakePolkit(bus)
