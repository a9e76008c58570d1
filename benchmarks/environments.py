"""The environments of the programs that are measured, one for each, as a user would have them."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import os
from pathlib import Path
import shutil
import subprocess
from typing import TYPE_CHECKING

from stack import toolchain
from stack.console import StackError, say
from stack.locks import file_lock
from stack.paths import REQUIREMENTS, ROOT, cache_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON = "3.11"
"""What all Python programs among the agents run on: Debian 12 and Raspberry Pi OS ship it."""

# What every environment has, needed or not.
_TOOLS = {"pip", "setuptools", "wheel", "uv"}


@dataclass(frozen=True)
class Installed:
    """A program in an environment of its own.

    Attributes:
        folder: Of the environment.
        packages: How many distributions are in it.
        size: Bytes that they take on disk, compiled modules included.
    """

    folder: Path
    packages: int
    size: int

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


def from_pypi(name: str, requirements: Sequence[str]) -> Installed:
    """Install a program from PyPI, once; the folder is kept."""
    python = toolchain.interpreter(PYTHON)
    mark = hashlib.sha256("\0".join((str(python), *requirements)).encode()).hexdigest()[:12]
    folder = cache_dir() / "benchmarks" / f"{name}-{mark}"
    complete = folder / ".complete"
    with file_lock(cache_dir() / "locks" / folder.name, f"the environment of {name}"):
        if not complete.exists():
            _make(folder, python)
            _install(folder, requirements)
            complete.touch()
    return _inspect(folder)


def from_checkout(*extras: str) -> Installed:
    """Install this checkout's agent as a package, anew: its source may have changed."""
    python = toolchain.interpreter(PYTHON)
    name = "-".join(("pilot-agent", *extras))
    folder = cache_dir() / "benchmarks" / name
    with file_lock(cache_dir() / "locks" / f"benchmarks-{name}", "the agent's environment"):
        _make(folder, python)
        package = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
        _install(folder, [package, "-c", str(REQUIREMENTS / "agent.txt"), "--no-cache"])
    return _inspect(folder)


def _make(folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "-q", "--python", str(python), str(folder))


def _install(folder: Path, requirements: Sequence[str]) -> None:
    say(f"installing {' '.join(requirements)}")
    # Without compiled modules a program pays for compiling at every start of a fresh installation.
    _uv(
        "pip",
        "install",
        "-q",
        "--compile-bytecode",
        "--python",
        str(folder / "bin" / "python"),
        *requirements,
    )


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [toolchain.uv(), *arguments],
        env=toolchain.clean_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-10:])
        raise StackError(f"uv {' '.join(arguments[:2])} failed:\n{tail}")


def _inspect(folder: Path) -> Installed:
    site = next((folder / "lib").glob("python3*/site-packages"))
    names = {path.name.partition("-")[0].lower() for path in site.glob("*.dist-info")}
    return Installed(folder, len(names - _TOOLS), _size(site))


def _size(folder: Path) -> int:
    return sum(
        os.lstat(Path(root) / name).st_blocks * 512
        for root, _, names in os.walk(folder)
        for name in names
    )
