"""What the agent says is to be typed to pair its host."""

from __future__ import annotations

from pathlib import Path
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.service.pair_command import pair_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sudo and /etc are not there")

SYSTEM = "/usr/bin/pilot-agent"
PERSON, SERVICE = 1000, 998


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the search path leads to: sudo, and the agent where it is installed so."""

    def lead(**programs: str) -> None:
        found: Mapping[str, str] = {"sudo": "/usr/bin/sudo", **programs}
        monkeypatch.setattr(shutil, "which", lambda name, path=None: found.get(name))

    lead()
    return lead


def test_a_service_of_the_system(on_path: Callable[..., None]) -> None:
    on_path(**{"pilot-agent": SYSTEM})
    config = Path("/etc/pilot-agent/config.yaml")

    assert pair_command(("python3", "-I", SYSTEM, "run"), config, {}, SERVICE) == (
        "sudo pilot-agent pair"
    )


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("started", "config", "told"),
    [
        pytest.param(
            ("/home/ann/v/bin/python", "/home/ann/v/bin/pilot-agent", "run"),
            "/home/ann/pilot.yaml",
            "/home/ann/v/bin/pilot-agent pair --config /home/ann/pilot.yaml",
            id="virtual environment",
        ),
        pytest.param(
            ("/home/ann/v/bin/python3.14", "-m", "companion_agent", "run"),
            None,
            "/home/ann/v/bin/python3.14 -m companion_agent pair",
            id="module",
        ),
        pytest.param(
            ("/opt/pilot agent/bin/python", "/opt/pilot agent/bin/pilot-agent", "run"),
            None,
            None,
            id="a path that a shell takes apart",
        ),
        pytest.param(("python3", "-c", "raise SystemExit"), None, None, id="not known"),
        pytest.param((), None, None, id="nothing"),
    ],
)
def test_an_agent_of_a_person(
    started: tuple[str, ...], config: str | None, told: str | None
) -> None:
    path = Path(config) if config else None

    assert pair_command(started, path, {"PATH": "/usr/bin"}, PERSON) == told


def test_root_without_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"pilot-agent": SYSTEM}
    monkeypatch.setattr(shutil, "which", lambda name, path=None: there.get(name))

    assert pair_command(("python3", SYSTEM, "run"), None, {}, 0) == "pilot-agent pair"
