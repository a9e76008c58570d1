"""Machines, a clock, and what a user would see of a collector."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import TYPE_CHECKING

import pytest

# Where machines.py lies; these folders are no packages, so that others may name files alike.
sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from machines import build
from screen import Clock, Screen

if TYPE_CHECKING:
    from screen import MachineOf, ScreenOf


@pytest.fixture(autouse=True)
def _no_system_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is logged in on this machine out of the others."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")


@pytest.fixture
def machine(tmp_path: Path) -> MachineOf:
    """Make one of the machines."""
    return lambda name: build(name, tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the clock that rates are measured by."""
    clock = Clock()
    for module in ("rates", "cpu"):
        monkeypatch.setattr(f"companion_agent.plugins.{module}.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def screen() -> ScreenOf:
    """Look at a collector as a user does."""
    return Screen
