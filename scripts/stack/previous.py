"""The version before of both halves, pinned: ``scripts/pin-previous REVISION``.

`tests/previous` keeps the agent as a wheel and the integration as an archive. One revision gives
the same files, byte for byte, with the same versions of git and hatchling.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tarfile
import tempfile
import zipfile

from . import toolchain
from .console import StackError, fail, say
from .paths import ROOT

PINNED = ROOT / "tests" / "previous"
_INTEGRATION = PINNED / "pilot.zip"
_OF_THE_WHEEL = ("companion_agent", "pyproject.toml", "README.md", "LICENSE")
_OF_THE_INTEGRATION = "custom_components/pilot"


def agent(folder: Path) -> None:
    """Unpack the agent's package into a folder."""
    (wheel,) = PINNED.glob("pilot_agent-*.whl")
    _unpack(wheel, folder)


def integration(folder: Path) -> Path:
    """Unpack the integration; return its folder."""
    _unpack(_INTEGRATION, folder)
    return folder / _OF_THE_INTEGRATION


def pin(revision: str) -> str:
    """Write a revision's wheel and integration in place of those that are pinned.

    Args:
        revision: A commit or tag that this checkout has.

    Returns:
        The commit.

    Raises:
        StackError: git does not have it, or it cannot be built.

    """
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="pilot-previous-") as scratch:
        tree, tar = Path(scratch, "tree"), Path(scratch, "tree.tar")
        _git("archive", "--output", str(tar), commit, *_OF_THE_WHEEL)
        with tarfile.open(tar) as packed:
            packed.extractall(tree, filter="data")
        _build(tree, Path(scratch), _git("show", "--no-patch", "--format=%ct", commit))
        (wheel,) = Path(scratch).glob("*.whl")
        for old in PINNED.glob("*.whl"):
            old.unlink()
        (PINNED / wheel.name).write_bytes(wheel.read_bytes())
    # git writes the commit into the archive, as its comment.
    options = ("--format=zip", "-9", "--output", str(_INTEGRATION))
    _git("archive", *options, commit, _OF_THE_INTEGRATION)
    return commit


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)


def _build(tree: Path, output: Path, epoch: str) -> None:
    command = [toolchain.uv(), "build", "--quiet", "--wheel", "--out-dir", str(output), str(tree)]
    # Dates in a zip file are of the local time.
    env = toolchain.clean_env(SOURCE_DATE_EPOCH=epoch, TZ="UTC")
    if subprocess.run(command, env=env, check=False).returncode:
        raise StackError("the wheel cannot be built")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments],
        env={**os.environ, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(
        prog="scripts/pin-previous", description="Pins a revision as the version before."
    )
    parser.add_argument("revision", help="a commit or tag")
    try:
        commit = pin(parser.parse_args().revision)
    except StackError as error:
        fail(error)
        return 1
    say(f"{commit} is pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
