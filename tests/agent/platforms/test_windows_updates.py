"""Updates of Windows that wait; a program of the tests stands in for PowerShell."""

from __future__ import annotations

import base64
import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms.windows import updates
from companion_agent.platforms.windows.updates import WindowsUpdate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("the stand-in is a script of Unix", allow_module_level=True)

pytestmark = pytest.mark.proves("updates.*")

WAITING = {
    "updates": [
        {"title": "2026-11 Cumulative Update for Windows 11 (KB5099999)", "security": True},
        {"title": "Intel® Net, 3.1", "security": False},
    ],
    "searched": 1_793_952_000,
}


@pytest.fixture
def powershell(tmp_path: Path) -> Callable[[str], Path]:
    """Return what makes a folder of Windows whose PowerShell runs some lines of sh."""

    def make(lines: str) -> Path:
        program = tmp_path / "System32/WindowsPowerShell/v1.0/powershell.exe"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
        return tmp_path

    return make


def says(answer: object) -> str:
    return f"echo {shlex.quote(json.dumps(answer))}"


def test_what_waits_is_counted(powershell: Callable[[str], Path]) -> None:
    manager = WindowsUpdate(powershell(says(WAITING)))

    waiting = manager.look()

    assert waiting.packages == (
        "2026-11 Cumulative Update for Windows 11 (KB5099999)", "Intel® Net, 3.1",
    )  # fmt: skip
    assert waiting.security == 1
    assert manager.refreshed() == 1_793_952_000


def test_it_is_asked_without_a_server(powershell: Callable[[str], Path], tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    folder = powershell(f"for last; do :; done; echo $last >{asked}; {says(WAITING)}")

    WindowsUpdate(folder).look()

    script = base64.b64decode(asked.read_text()).decode("utf-16-le")
    assert "$searcher.Online = $false" in script


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("echo 'Access is denied.' >&2; exit 1", "cannot be asked: Access is denied"),
        ("echo nonsense", "no answer: 'nonsense"),
        (says({"updates": [3], "searched": 0}), "no answer"),
        ("exec sleep 60", "did not end within"),
    ],
)
def test_what_cannot_be_told_has_its_reason(
    powershell: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    reason: str,
) -> None:
    if "sleep" in lines:
        monkeypatch.setattr(updates, "LIMIT", 0.05)

    with pytest.raises(OSError, match=reason):
        WindowsUpdate(powershell(lines)).look()


def test_a_windows_that_never_looked(powershell: Callable[[str], Path]) -> None:
    manager = WindowsUpdate(powershell(says({"updates": [], "searched": None})))

    assert manager.look().packages == ()
    assert manager.refreshed() is None


def test_a_windows_without_powershell_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="has no PowerShell"):
        WindowsUpdate(tmp_path)


def test_what_was_closed_is_not_asked(powershell: Callable[[str], Path]) -> None:
    manager = WindowsUpdate(powershell(says(WAITING)))
    manager.close()

    with pytest.raises(OSError, match="not asked any more"):
        manager.look()


def test_it_looks_again_when_the_database_has_changed(powershell: Callable[[str], Path]) -> None:
    folder = powershell(says(WAITING))
    manager = WindowsUpdate(folder)
    before = manager.signature()
    database = folder / "SoftwareDistribution/DataStore/DataStore.edb"
    database.parent.mkdir(parents=True)
    database.touch()

    assert manager.signature() != before
