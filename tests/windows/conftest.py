"""A Windows PC for each test: in Wine, or this machine where it is one and the test allows it."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, cast

import pytest

from support.agent_mqtt import FakeHomeAssistant, Mosquitto
from support.native_pc import NativePc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.wine import WinePc

# An agent needs seconds of a processor to start there, and the machine may be busy.
PATIENCE = 120


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


@pytest.fixture(scope="session")
def pc_in_use(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinePc]:
    """The PC of all tests that leave it as they found it, which a boot for each would double."""
    from stack.wine import WinePc

    with WinePc(tmp_path_factory.mktemp("pc"), display) as pc:
        yield pc


@pytest.fixture
def pc(request: pytest.FixtureRequest, display: str, tmp_path: Path) -> Iterator[WinePc]:
    """A PC that is switched on; what the test runs on it and writes to it is gone afterwards."""
    if sys.platform == "win32":
        if not request.node.get_closest_marker("native"):
            pytest.skip("this PC is in use: the test changes or ends it")
        native = NativePc(tmp_path / "pc")
        native.folder.mkdir()
        # The same, as far as a test may do it there.
        yield cast("WinePc", native)
        native.remove()
        return
    from stack.wine import WinePc

    if request.node.get_closest_marker("native"):
        pc = request.getfixturevalue("pc_in_use")
        there = set(pc.drive.iterdir())
        yield pc
        pc.end_started()
        for path in set(pc.drive.iterdir()) - there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return
    with WinePc(tmp_path / "pc", display) as pc:
        yield pc


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    program = shutil.which("mosquitto") or shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin"
    )
    if not program:
        pytest.skip("Mosquitto is not installed; `apt-get install mosquitto` brings it")
    mosquitto = Mosquitto(program, tmp_path, "allow_anonymous true\n")
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture
def home_assistant(mosquitto: Mosquitto) -> Iterator[FakeHomeAssistant]:
    home_assistant = FakeHomeAssistant(mosquitto.port, patience=PATIENCE)
    yield home_assistant
    home_assistant.close()
