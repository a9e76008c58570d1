"""The worked examples of docs/development.md, on Home Assistant's side."""

import shutil
from typing import TYPE_CHECKING

import pytest

from support.worked_examples import EXAMPLES, Tree

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT = "tests/integration/snapshots/test_entities.ambr"

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("git") is None, reason="git applies the patches"),
]


def test_the_examples_appear_in_home_assistant(tmp_path: Path) -> None:
    """All in one tree: names, icons, the reading, the button's command, the text."""
    tree = Tree(tmp_path / "tree")
    for example in EXAMPLES:
        tree.apply(example)
    tree.generate()

    tree.pytest(
        "-oasyncio_mode=auto",
        "--snapshot-update",
        "tests/integration/test_package.py",
        "tests/integration/test_entities.py::test_every_kind_is_described_on_its_platform",
        "tests/integration/test_entities.py::test_entities[binary_sensor]",
        "tests/integration/trust/test_entities.py"
        "::test_pressing_a_button_has_the_host_carry_out_its_command[backlight.off]",
        "tests/integration/trust/test_text.py",
    )

    assert "name: test_entities[binary_sensor][binary_sensor.office_pc_smart_status" in (
        tree.root / SNAPSHOT
    ).read_text("utf-8")
    written_by_scripts = {SNAPSHOT}.union(*(example.generated for example in EXAMPLES))
    by_hand = set[str]().union(*(example.files() for example in EXAMPLES))
    assert tree.changed() == by_hand | written_by_scripts
