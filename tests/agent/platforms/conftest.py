"""Machines to read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from support.agent_machines import build

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_screen import MachineOf

if sys.platform != "linux":
    collect_ignore = ["test_cpufreq.py", "test_processor_helper.py", "test_smart.py"]


@pytest.fixture
def machine(tmp_path: Path) -> MachineOf:
    """Make one of the machines."""
    return lambda name: build(name, tmp_path)
