"""The version before of both halves, pinned: ``scripts/pin-previous REVISION``.

``scripts/pin-previous --check`` says when a later version has been released since.

`tests/previous` keeps the agent as a wheel and the integration as an archive. One revision gives
the same files, byte for byte, with the same versions of git and hatchling.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
import re
import subprocess
import sys
import tarfile
import tempfile
from typing import TYPE_CHECKING
import zipfile

from . import toolchain
from .console import StackError, fail, say
from .paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

Version = tuple[int, ...]

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


def outdated(released: Iterable[Version]) -> str:
    """Say that what is pinned is older than what was released; empty when it is not.

    Args:
        released: The versions that were released.

    """
    (wheel,) = PINNED.glob("pilot_agent-*.whl")
    pinned = _version(wheel.name.split("-")[1])
    newest = max(released, default=None)
    if pinned is None or newest is None or pinned >= newest:
        return ""
    name = ".".join(map(str, newest))
    return (
        f"tests/previous holds {wheel.name.split('-')[1]}, and {name} has been released: "
        f"scripts/pin-previous v{name} && tests/previous/write v{name}"
    )


def released(tags: str, changelog: str, own: str) -> set[Version]:
    """Return the versions that were released, as the tags and the changelog have them.

    Args:
        tags: One a line. A shallow checkout has none.
        changelog: Its text. A heading with the checkout's own version is no release yet.
        own: The version of the checkout.

    """
    headings = set(map(_version, re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)))
    found = {_version(tag.removeprefix("v")) for tag in tags.split()}
    return {version for version in found | headings - {_version(own)} if version}


def _version(text: str) -> Version | None:
    """Return a version as numbers; nothing for one that is no final release."""
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d+(\.\d+)*", text) else None


def _check() -> str:
    own = re.search(
        r'__version__ = "([^"]+)"', (ROOT / "companion_agent/__init__.py").read_text("utf-8")
    )
    tags = ""
    # An archive of a checkout has none.
    with contextlib.suppress(OSError, StackError):
        tags = _git("tag", "--list")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return outdated(released(tags, changelog, own[1] if own else ""))


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
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("revision", nargs="?", help="a commit or tag")
    wanted.add_argument("--check", action="store_true", help="only say whether one is due")
    options = parser.parse_args()
    if options.check:
        complaint = _check()
        if complaint:
            fail(StackError(complaint))
        return 1 if complaint else 0
    try:
        commit = pin(options.revision)
    except StackError as error:
        fail(error)
        return 1
    say(f"{commit} is pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
