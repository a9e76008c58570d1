"""Fixtures of the tests of power and sessions."""

from __future__ import annotations

import sys

if sys.platform != "linux":
    collect_ignore = [
        "test_control.py",
        "test_logind_watch.py",
        "test_power_profiles.py",
        "test_real_power_profiles.py",
        "test_rule.py",
        "test_sessions_of_processes.py",
    ]
