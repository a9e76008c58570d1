"""Machines to read."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import TYPE_CHECKING

import pytest

# Where machines.py lies; these folders are no packages, so that others may name files alike.
sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from machines import build

if TYPE_CHECKING:
    from screen import MachineOf


@pytest.fixture
def machine(tmp_path: Path) -> MachineOf:
    """Make one of the machines."""
    return lambda name: build(name, tmp_path)
