from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
import pytest

from support.agent_security import PairedHost

if TYPE_CHECKING:
    from pathlib import Path

# The first text that hypothesis draws reads the tables of Unicode, which takes a second.
settings.register_profile(
    "slow machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("slow machine")


@pytest.fixture
def world(tmp_path: Path) -> PairedHost:
    return PairedHost(tmp_path / "state")
