"""What the summary counts."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from stack.results import Counts

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import pytest

def test_passes(): pass

def test_fails(): assert False

@pytest.mark.skip
def test_is_skipped(): pass

@pytest.mark.xfail
def test_is_expected_to_fail(): assert False

@pytest.mark.xfail(strict=True)
def test_passes_unexpectedly(): pass
"""


def test_what_is_expected_to_fail_is_counted_apart_from_what_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_each.py").write_text(TESTS)
    report = tmp_path / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, f"--rootdir={tmp_path}", f"--junitxml={report}", str(tmp_path)], check=False
    )

    counts = Counts.of_report(report)

    assert counts == Counts(passed=1, failed=2, skipped=1, xfailed=1)
    assert str(counts) == "1 passed, 2 failed, 1 skipped, 1 expected to fail"
    assert counts.total == 5
