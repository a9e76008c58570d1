"""`deploy/release.py` makes what hosts take, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
import zipfile

import pytest

if sys.platform == "win32":
    pytest.skip("releases are made on Unix", allow_module_level=True)

from companion_agent import __version__
from companion_agent.updates.release import (
    check_wheel,
    key_id,
    open_signed,
    parse_key,
)
from companion_agent.updates.sources import Folder
from stack import toolchain

ROOT = Path(__file__).parents[3]
WHEEL = f"pilot_agent-{__version__}-py3-none-any.whl"


def release(*arguments: str) -> str:
    environment = {**toolchain.clean_env(), "UV": toolchain.uv()}
    command = [sys.executable, str(ROOT / "deploy/release.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_release(tmp_path: Path) -> None:
    key = str(tmp_path / "release.key")
    told = release("new-key", key)
    public = parse_key(told.partition("[")[2].partition("]")[0])
    assert Path(key).stat().st_mode & 0o777 == 0o600
    (tmp_path / "news.md").write_text("It is *better*.")
    more = ("--key", key, "--notes", str(tmp_path / "news.md"), "--integration")

    for output in ("first", "second"):
        release("make", *more, "--output", str(tmp_path / output))

    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["pilot.zip", WHEEL, f"{WHEEL}.json"]
    for name in names:
        first, second = (tmp_path / output / name for output in ("first", "second"))
        assert first.read_bytes() == second.read_bytes(), name

    source = Folder(tmp_path / "first")
    manifest = open_signed(source.signed(__version__), {key_id(public): public})
    check_wheel(tmp_path / "first" / WHEEL, manifest)
    assert manifest.notes == "It is *better*."
    assert any(requirement.startswith("paho-mqtt") for requirement in manifest.requires)
    with zipfile.ZipFile(tmp_path / "first" / "pilot.zip") as packed:
        assert {"manifest.json", f"agent/{WHEEL}", f"agent/{WHEEL}.json"} <= set(packed.namelist())
