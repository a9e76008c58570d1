"""The command that shows Pilot to newcomers."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from stack.paths import ROOT
from stack.toolchain import clean_env

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_demo_shows_this_host(tmp_path: Path) -> None:
    command = [str(ROOT / "scripts" / "demo"), "--check", "--data", str(tmp_path / "demo")]

    done = subprocess.run(
        command, env=clean_env(), capture_output=True, text=True, timeout=200, check=False
    )

    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert re.search(r"Memory\W+\d+\s?%", done.stdout), said
    assert re.search(r" 0 missing", done.stdout), said
