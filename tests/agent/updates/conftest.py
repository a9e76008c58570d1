"""Releases to update to, and a controller that signs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("cryptography", reason="the library for signatures is not installed")

from companion_agent.updates.release import key_id
from companion_agent.updates.store import Releases
from stack.releases import Maker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.clock import ManualClock


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A controller that the host trusts, with a share that releases are put on."""
    return Maker(tmp_path / "share")


@pytest.fixture
def keys(maker: Maker) -> Mapping[str, bytes]:
    """Whose signature counts."""
    return {key_id(maker.public): maker.public}


@pytest.fixture
def releases(tmp_path: Path, still_clock: ManualClock) -> Releases:
    """What the host keeps."""
    return Releases(tmp_path / "state" / "releases", "this boot", still_clock)
