"""A machine with hardware: Debian's own kernel, in QEMU; one boot for all tests."""

from __future__ import annotations

from pathlib import Path
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from stack.guest import Guest, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The machine; what a test changes of it, that test puts back."""
    if reason := why_not():
        pytest.skip(reason)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the machine borrows the libraries of this environment, made for Python 3.11")
    libraries = Path(sysconfig.get_path("purelib"))
    with Guest(tmp_path_factory.mktemp("guest"), libraries) as guest:
        yield guest
