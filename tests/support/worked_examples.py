"""The worked examples of docs/development.md: patches that are applied to a copy of the tree."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import subprocess
import sys

ROOT = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "artifacts", "benchmarks", "deploy")


@dataclass(frozen=True)
class Example:
    """A change that adds one thing.

    Attributes:
        name: What it adds.
        most: How many files may have to be written by hand, tests and translations included.
        generated: What scripts/sync-protocol and scripts/generate-docs then write.
        proof: The agent's tests that the change brings, or that hold it.
    """

    name: str
    most: int
    generated: frozenset[str]
    proof: tuple[str, ...]

    @property
    def patch(self) -> Path:
        """The change, without what scripts write."""
        return ROOT / "tests" / "examples" / f"adding_a_{self.name}.patch"

    def files(self) -> set[str]:
        """Return the files that are written by hand."""
        return {
            line.removeprefix("+++ b/")
            for line in self.patch.read_text("utf-8").splitlines()
            if line.startswith("+++ b/")
        }


_CATALOGUE = frozenset(
    {"custom_components/pilot/protocol/catalogue.py", "docs/protocol.md", "docs/supported.md"}
)

EXAMPLES = (
    Example("reading", 10, _CATALOGUE, ("tests/agent/plugins/test_catalogue.py",)),
    Example("command", 9, frozenset(), ("tests/agent/plugins/test_backlight.py",)),
    Example(
        "key",
        3,
        frozenset({"docs/configuration.md"}),
        ("tests/agent/security/test_policy_config.py", "-k", "cooldown"),
    ),
    Example("platform", 8, _CATALOGUE, ()),
)


class Tree:
    """A copy of the tree, without what no example needs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)

    def apply(self, example: Example) -> None:
        """Change it as an example says.

        Raises:
            AssertionError: The patch does not fit the tree any more.
        """
        done = self.run("git", "apply", str(example.patch))
        renew = f"renew {example.patch.name}: docs/development.md, 'Add something'"
        assert done.returncode == 0, f"{done.stderr}\n{renew}"

    def generate(self) -> None:
        """Run the scripts that write what follows from what is declared."""
        for command in (
            ["scripts/sync-protocol"],
            ["-m", "stack.generate_docs", "--python", sys.executable],
        ):
            done = self.python(*command)
            assert done.returncode == 0, done.stderr

    def changed(self) -> set[str]:
        """Return the files that differ from the original tree, new ones included."""
        return {
            name
            for name in (
                str(path.relative_to(self.root))
                for path in self.root.rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            )
            if not (ROOT / name).exists()
            or (ROOT / name).read_bytes() != (self.root / name).read_bytes()
        }

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in it."""
        return self.run(sys.executable, *arguments)

    def pytest(self, *arguments: str) -> str:
        """Run tests of it, and return their output.

        Raises:
            AssertionError: One failed.
        """
        done = self.python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it."""
        # Neither the workers nor the coverage of the run that this is a part of.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "COV_", "COVERAGE_", "GIT_"))
        }
        path = os.pathsep.join((str(self.root), str(self.root / "scripts")))
        return subprocess.run(
            command,
            cwd=self.root,
            env={**inherited, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
