"""Write locked requirements: ``PYTHONPATH=scripts python3 -m stack.lock [--upgrade] [NAME ...]``.

Without names all of them. Versions stay as they are, as far as they still fit together, unless
``--upgrade`` asks for the newest.

Each ``requirements/NAME.in`` becomes a ``NAME.txt`` with every package and its
version. Home Assistant is a case of its own: its wheel carries the constraints
that it was tested with and the requirements of its integrations.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from . import toolchain
from .console import StackError, fail, say
from .paths import REQUIREMENTS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

# Set up beside Home Assistant's own defaults: what our configuration names and
# what MQTT and the browser bring with them. Without aiohasupervisor (hassio) the
# MQTT config flow cannot be loaded.
_INTEGRATIONS = (
    "mqtt",
    "history",
    "logbook",
    "config",
    "recorder",
    "hassio",
    "mobile_app",
    "my",
    "stream",
    "energy",
    "media_source",
    "conversation",
    "assist_pipeline",
    "tts",
    "stt",
    "ssdp",
    "zeroconf",
    "dhcp",
    "usb",
    "bluetooth",
)
# Only needed with hardware or clouds that the stack has no use for.
_LEFT_OUT = ("bluetooth",)


_NAMES = (
    "agent", "ansible", "homeassistant", "integration", "lint", "windows", "windows-installer",
    "windows-runtime",
)  # fmt: skip

# What the Windows installer brings: the versions that the tests have, each file with its hash.
_WINDOWS = (
    "--python-version", "3.13", "--python-platform", "x86_64-pc-windows-msvc",
    "--generate-hashes",
)  # fmt: skip


def lock(names: Iterable[str] = _NAMES, *, upgrade: bool = False) -> None:
    """Write locked files.

    Args:
        names: Which, without the ending.
        upgrade: Take the newest versions, not those that are locked already.

    Raises:
        StackError: The requirements do not fit together, or cannot be read.

    """
    for name in names:
        if name == "homeassistant":
            with tempfile.TemporaryDirectory(prefix="pilot-lock-") as folder:
                _lock_home_assistant(Path(folder), upgrade=upgrade)
        elif name == "agent":
            arguments = ["--universal", "--python-version", "3.11"]
            _compile(name, arguments, upgrade=upgrade, sources=[str(ROOT / "pyproject.toml")])
        elif name == "windows":
            arguments = ["--python-platform", "windows", "--python-version", "3.11"]
            # A whole interpreter, which pip does not check otherwise.
            _compile(name, [*arguments, "--generate-hashes"], upgrade=upgrade)
        elif name == "windows-installer":
            extras = ["--extra", "desktop", "--extra", "setup", "--extra", "update"]
            arguments = [*_WINDOWS, *extras, "--constraint", str(REQUIREMENTS / "agent.txt")]
            _compile(name, arguments, upgrade=upgrade, sources=[str(ROOT / "pyproject.toml")])
        elif name == "windows-runtime":
            _compile(name, [*_WINDOWS], upgrade=upgrade)
        else:
            _compile(name, [], upgrade=upgrade)


def _lock_home_assistant(folder: Path, *, upgrade: bool) -> None:
    say(f"reading what Home Assistant {toolchain.HOMEASSISTANT} requires")
    _uv(
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--python",
        str(toolchain.interpreter("3.14")),
        "--target",
        str(folder / "wheel"),
        f"homeassistant=={toolchain.HOMEASSISTANT}",
    )
    package = folder / "wheel" / "homeassistant"
    collected = folder / "integrations.in"
    wanted = sorted(_requirements(package, {*_defaults(package), *_INTEGRATIONS}))
    collected.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    constraints = folder / "constraints.txt"
    constraints.write_text(_constraints(package), encoding="utf-8")
    _compile(
        "homeassistant",
        ["-c", str(constraints)],
        upgrade=upgrade,
        sources=[str(collected)],
    )


def _constraints(package: Path) -> str:
    """Return Home Assistant's constraints, without those of its own tests' programs.

    It runs without pytest, whose plug-ins are chosen for the tests here.
    """
    lines = (package / "package_constraints.txt").read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("pytest"))


def _defaults(package: Path) -> set[str]:
    """Return the integrations that Home Assistant sets up by itself.

    The names are read from the source of ``bootstrap.py``: importing it would need
    all that is about to be locked.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse((package / "bootstrap.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign):
            targets, value = [ast.unparse(target) for target in node.targets], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [ast.unparse(node.target)], node.value
        else:
            continue
        if any("INTEGRATIONS" in target for target in targets):
            names |= {
                leaf.value
                for leaf in ast.walk(value)
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
            }
    manifests = (package / "components").glob("*/manifest.json")
    # Entity platforms are set up as soon as any integration has an entity of theirs,
    # and the front end asks for all of them.
    platforms = {
        path.parent.name
        for path in manifests
        if json.loads(path.read_text(encoding="utf-8")).get("integration_type") == "entity"
    }
    exist = {name for name in names if (package / "components" / name / "manifest.json").exists()}
    return exist | platforms


def _requirements(package: Path, integrations: Iterable[str]) -> set[str]:
    """Collect the requirements of integrations and of all that they depend on."""
    found: set[str] = set()
    seen: set[str] = set(_LEFT_OUT)
    queue = list(integrations)
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        path = package / "components" / name / "manifest.json"
        if not path.exists():
            continue
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found |= set(manifest.get("requirements", ()))
        queue += manifest.get("dependencies", ())
    return found


def _compile(
    name: str, arguments: list[str], *, upgrade: bool, sources: Iterable[str] = ()
) -> None:
    say(f"locking {name}")
    output = REQUIREMENTS / f"{name}.txt"
    _uv(
        "pip",
        "compile",
        "-q",
        *(["--upgrade"] if upgrade else []),
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--python",
        str(toolchain.interpreter("3.14")),
        "-o",
        str(output),
        *arguments,
        str(REQUIREMENTS / f"{name}.in"),
        *sources,
    )
    note = "# Written by scripts/stack/lock.py; the wishes are in the .in file beside it.\n"
    output.write_text(note + output.read_text(encoding="utf-8"), encoding="utf-8")


def _uv(*arguments: str) -> None:
    done = subprocess.run([toolchain.uv(), *arguments], env=toolchain.clean_env(), check=False)
    if done.returncode:
        raise StackError(f"uv {' '.join(arguments[:2])} failed")


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="stack.lock", description="Write locked requirements.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_NAMES))
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args()
    if unknown := set(options.names) - set(_NAMES):
        parser.error(f"no such requirements: {', '.join(sorted(unknown))}")
    try:
        lock(options.names or _NAMES, upgrade=options.upgrade)
    except StackError as error:
        fail(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
