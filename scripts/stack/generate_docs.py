"""``scripts/generate-docs``: the parts of the documents that are made from declarations.

They stand between ``<!-- generated: NAME -->`` and ``<!-- end generated -->``.
"""

from __future__ import annotations

import argparse
from functools import partial
import json
from pathlib import Path
import re
import subprocess
import sys

from . import toolchain
from .console import StackError, fail, say
from .paths import ROOT


def _place(content: str, found: re.Match[str]) -> str:
    return f"{found[1]}\n{content}\n\n{found[2]}"


def splice(text: str, parts: dict[str, str]) -> str:
    """Return a document with its generated parts replaced.

    Raises:
        StackError: A part has no place in the document.
    """
    for name, content in parts.items():
        marker = f"<!-- generated: {name} -->"
        pattern = rf"({re.escape(marker)}\n).*?(<!-- end generated -->)"
        # A function, since a text would have its backslashes read.
        text, count = re.subn(pattern, partial(_place, content), text, flags=re.DOTALL)
        if count != 1:
            raise StackError(f"expected {marker} once, found it {count} times")
    return text


def generate(*, check: bool, python: Path | None = None) -> int:
    """Write what differs, or say what does.

    Args:
        check: Whether to write nothing.
        python: An interpreter with the agent's dependencies; that of an environment by default.

    Returns:
        How many documents differ from what is declared.
    """
    made = subprocess.run(
        [
            str(python or toolchain.python_of("agent-3.11")),
            str(ROOT / "scripts" / "documents.py"),
        ],
        cwd=ROOT,
        env=toolchain.clean_env(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        check=False,
    )
    if made.returncode:
        raise StackError("the generated parts of the documents cannot be made")
    differing = 0
    for name, parts in json.loads(made.stdout).items():
        document = ROOT / name
        old = document.read_text(encoding="utf-8")
        new = splice(old, parts)
        if new == old:
            continue
        differing += 1
        if check:
            say(f"{name} is not what is declared; run scripts/generate-docs")
        else:
            document.write_text(new, encoding="utf-8")
            say(f"{name} written")
    return differing


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(
        prog="scripts/generate-docs", description="Writes the generated parts of docs/."
    )
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument(
        "--python", type=Path, help="an interpreter that has the agent's dependencies"
    )
    options = parser.parse_args()
    try:
        differing = generate(check=options.check, python=options.python)
    except StackError as error:
        fail(error)
        return 1
    return int(options.check and differing > 0)


if __name__ == "__main__":
    sys.exit(main())
