"""``scripts/generate-docs``: the parts of the documents that are made from declarations.

They stand between ``<!-- generated: NAME -->`` and ``<!-- end generated -->``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from . import toolchain
from .console import StackError, fail, say
from .paths import ROOT

# Document -> what prints its parts by name, as JSON, in the agent's environment.
_SOURCES = {
    "docs/configuration.md": (
        "import json; from companion_agent.config import reference; "
        "print(json.dumps(reference.generated()))"
    ),
}


def splice(text: str, parts: dict[str, str]) -> str:
    """Return a document with its generated parts replaced.

    Raises:
        StackError: A part has no place in the document.
    """
    for name, content in parts.items():
        marker = f"<!-- generated: {name} -->"
        pattern = rf"({re.escape(marker)}\n).*?(<!-- end generated -->)"
        text, count = re.subn(
            pattern,
            lambda found, body=content: f"{found[1]}\n{body}\n\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise StackError(f"expected {marker} once, found it {count} times")
    return text


def generate(*, check: bool) -> int:
    """Write what differs, or say what does.

    Args:
        check: Whether to write nothing.

    Returns:
        How many documents differ from what is declared.
    """
    python = str(toolchain.python_of("agent-3.11"))
    differing = 0
    for name, program in _SOURCES.items():
        made = subprocess.run(
            [python, "-c", program], cwd=ROOT, env=toolchain.clean_env(), stdout=subprocess.PIPE,
            check=False,
        )  # fmt: skip
        if made.returncode:
            raise StackError(f"the generated parts of {name} cannot be made")
        document = ROOT / name
        old = document.read_text(encoding="utf-8")
        new = splice(old, json.loads(made.stdout))
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
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.stderr.write("usage: scripts/generate-docs [--check]\n")
        return 2
    try:
        differing = generate(check=check)
    except StackError as error:
        fail(error)
        return 1
    return int(check and differing > 0)


if __name__ == "__main__":
    sys.exit(main())
