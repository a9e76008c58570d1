"""A Windows PC for each test: this machine where it is one, else one of its own in Wine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.wine import Display, WinePc


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Display]:
    """An X server for the windows of all PCs."""
    from stack.wine import Display, why_not

    if reason := why_not():
        pytest.skip(reason)
    with Display(tmp_path_factory.mktemp("display")) as display:
        yield display


@pytest.fixture
def pc(display: Display, tmp_path: Path) -> Iterator[WinePc]:
    """A PC that is switched on; it is gone after the test, with all that runs on it."""
    from stack.wine import WinePc

    with WinePc(tmp_path / "pc", display.name_of_display) as pc:
        yield pc
