"""Installers for Windows of the agent as it is here, or broken as wished, for tests."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from . import system, toolchain
from .console import StackError, say
from .locks import file_lock
from .paths import REQUIREMENTS, ROOT, cache_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUILD = ROOT / "deploy" / "windows" / "build.py"
_NAME = "pilot-agent-{version}-setup.exe"
_KEPT = 2 * 24 * 3600
"""Seconds after which an installer that no test has asked for goes."""


def installer(version: str, replaced: Mapping[str, str] | None = None) -> Path:
    """Return an installer; one of the same content is built once.

    Args:
        version: The agent's version.
        replaced: Modules that are replaced or added, by their path.

    Raises:
        StackError: It cannot be built.
    """
    key = hashlib.sha256(json.dumps([version, replaced or {}], sort_keys=True).encode())
    for path in _sources():
        key.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    folder = cache_dir() / "windows" / f"installer-{key.hexdigest()[:12]}"
    built = folder / _NAME.format(version=version)
    with file_lock(cache_dir() / "locks" / folder.name, "an installer"):
        if not built.exists():
            say(f"building an installer of {version}")
            _prune(folder.parent)
            build(folder, version, replaced)
        os.utime(folder)
    return built


def build(output: Path, version: str, replaced: Mapping[str, str] | None = None) -> Path:
    """Build an installer, fast rather than small, and what stores are told of it.

    Args:
        output: The folder for it.
        version: The agent's version.
        replaced: Modules that are replaced or added, by their path.

    Raises:
        StackError: It cannot be built.
    """
    system.require("makensis")
    with tempfile.TemporaryDirectory(prefix="pilot-installer-") as scratch:
        checkout = Path(scratch)
        for path in _sources():
            copy = checkout / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        for name, text in (replaced or {}).items():
            (checkout / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                *(sys.executable, str(checkout / _BUILD.relative_to(ROOT)), "--fast"),
                *("--output", str(output), "--version", version),
                *("--python", str(toolchain.interpreter(builder().PYTHON))),
            ],
            # The same time for all, so that the same content gives the same file.
            env=toolchain.clean_env(UV=toolchain.uv(), SOURCE_DATE_EPOCH="1767225600"),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StackError(f"the installer cannot be built:\n{done.stdout}{done.stderr}")
    return output / _NAME.format(version=version)


def builder() -> Any:  # noqa: ANN401  (a module)
    """Return the program that builds installers, as a module."""
    spec = importlib.util.spec_from_file_location("pilot_windows_build", _BUILD)
    if not spec or not spec.loader:
        raise StackError(f"{_BUILD} is not there")
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for it there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _sources() -> list[Path]:
    """Return all that an installer is made of."""
    folders = (ROOT / "companion_agent", ROOT / "deploy" / "windows")
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found += [ROOT / "LICENSE", ROOT / "deploy" / "packages.py"]
    found += [REQUIREMENTS / f"windows-{part}.txt" for part in ("installer", "runtime")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _prune(folder: Path) -> None:
    for old in folder.glob("installer-*"):
        if old.stat().st_mtime < time.time() - _KEPT:
            shutil.rmtree(old, ignore_errors=True)
