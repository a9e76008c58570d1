"""A Windows PC for each test: in Wine, or this machine where it is one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import pytest

from support.native_pc import NativePc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.wine import WinePc


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The display of the windows of all PCs, ``:99``; this machine has its own."""
    if sys.platform == "win32":
        yield ""
        return
    from stack.wine import Display, why_not

    if reason := why_not():
        pytest.skip(reason)
    with Display(tmp_path_factory.mktemp("display")) as display:
        yield display.name_of_display


@pytest.fixture
def pc(display: str, tmp_path: Path) -> Iterator[WinePc]:
    """A PC that is switched on; it is gone after the test, with all that runs on it."""
    if sys.platform == "win32":
        native = NativePc(tmp_path / "pc")
        native.folder.mkdir()
        # The same, as far as a test may do it there.
        yield cast("WinePc", native)
        native.remove()
        return
    from stack.wine import WinePc

    with WinePc(tmp_path / "pc", display) as pc:
        yield pc
