"""When the version before is to be pinned anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stack import previous

if TYPE_CHECKING:
    from pathlib import Path

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-12-01\n\n## [0.2.0] - 2026-11-01\n"


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder with what is pinned, which is 0.2.0."""
    monkeypatch.setattr(previous, "PINNED", tmp_path)
    (tmp_path / "pilot_agent-0.2.0-py3-none-any.whl").touch()
    return tmp_path


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(
    ("tags", "changelog", "own"),
    [
        ("v0.1.0\nv0.2.0\n", "", "0.2.0"),
        # The commit that will be tagged cannot pin itself.
        ("v0.2.0\n", CHANGELOG, "0.3.0"),
        ("v0.3.0rc1\nnightly\n", "## [Unreleased]\n", "0.3.0"),
    ],
)
def test_nothing_is_due_without_a_later_release(tags: str, changelog: str, own: str) -> None:
    assert previous.outdated(previous.released(tags, changelog, own)) == ""


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize(
    ("tags", "changelog", "own"),
    [
        ("v0.2.0\nv0.10.0\nv0.9.0\n", "", "0.10.0"),
        # A checkout without tags.
        ("", CHANGELOG.replace("0.3.0", "0.10.0"), "0.11.0"),
    ],
)
def test_a_later_release_is_to_be_pinned(tags: str, changelog: str, own: str) -> None:
    said = previous.outdated(previous.released(tags, changelog, own))

    assert "holds 0.2.0, and 0.10.0 has been released: scripts/pin-previous v0.10.0" in said
