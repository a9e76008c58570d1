"""The table of what Pilot reads and does, by system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from supported import Proof, Support, UndeclaredError, proofs, rows

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("screen.brightness", "screen.on")
DECLARED = (
    Support(("screen.*",), "yes", "not there: it was not tried"),
    Support(("screen.brightness",), "built-in screens", "not there", "logind's"),
)
PROVED = (Proof("agent/test_screen.py", frozenset({"screen.*"})),)


def test_the_longest_pattern_counts() -> None:
    made = {name: rest for name, *rest in rows(NAMES, DECLARED, PROVED)}

    assert made == {
        "screen.brightness": [
            "built-in screens", "not there", "logind's", "[unit](../tests/agent/test_screen.py)"
        ],
        "screen.on": [
            "yes", "not there: it was not tried", "", "[unit](../tests/agent/test_screen.py)"
        ],
    }  # fmt: skip


def test_of_each_sort_of_tests_the_closest_file_is_named() -> None:
    found = (
        *PROVED,
        Proof("agent/test_on.py", frozenset({"screen.on"})),
        Proof("hardware/test_screen.py", frozenset({"screen.on"})),
    )

    *_, proved = list(rows(NAMES, DECLARED, found))[1]

    assert proved == (
        "[machine in QEMU](../tests/hardware/test_screen.py), [unit](../tests/agent/test_on.py)"
    )


@pytest.mark.parametrize(
    ("names", "declared", "proved", "problem"),
    [
        ((*NAMES, "fan.speed"), DECLARED, PROVED, "fan.speed has no row"),
        (NAMES, DECLARED, (), "no test says that it proves screen.brightness"),
        (("screen.on",), DECLARED, PROVED, "is called screen.brightness"),
        (NAMES, DECLARED, (Proof("agent/a.py", frozenset({"screen"})),), "is called screen"),
    ],
)
def test_what_is_missing_is_named(
    names: tuple[str, ...], declared: tuple[Support, ...], proved: tuple[Proof, ...], problem: str
) -> None:
    with pytest.raises(UndeclaredError, match=problem):
        list(rows(names, declared, proved))


def test_marks_are_found_in_modules_and_at_functions(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "test_cpu.py").write_text(
        'pytestmark = pytest.mark.proves("cpu.*")\n'
        '@pytest.mark.proves("fan.speed")\n'
        "def test_a() -> None: ...\n"
    )

    assert list(proofs(tmp_path)) == [Proof("agent/test_cpu.py", frozenset({"cpu.*", "fan.speed"}))]
