"""The worked examples of docs/development.md, on the agent's side."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from support.worked_examples import EXAMPLES, ROOT, Example, Tree

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("git") is None, reason="git applies the patches"),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_works_and_touches_few_files(example: Example, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree")

    tree.apply(example)
    tree.generate()

    assert tree.changed() == example.files() | example.generated
    assert len(example.files()) <= example.most
    if example.proof:
        tree.pytest("-n0", *example.proof)


def test_a_new_key_is_shown_and_checked(tmp_path: Path) -> None:
    [example] = [one for one in EXAMPLES if one.name == "key"]
    tree = Tree(tmp_path / "tree")
    tree.apply(example)
    config = tmp_path / "config.yaml"
    config.write_text("broker: localhost\ncommands:\n  min_cooldown: 30\n", "utf-8")

    shown = tree.python("-m", "companion_agent", "config", "show", "--config", str(config))

    assert "min_cooldown: 30" in shown.stdout


def test_the_examples_are_named_where_contributors_look() -> None:
    told = (ROOT / "docs" / "development.md").read_text("utf-8")

    for example in EXAMPLES:
        assert f"(../tests/examples/{example.patch.name})" in told
