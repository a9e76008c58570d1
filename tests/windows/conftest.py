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


@pytest.fixture
def pc(request: pytest.FixtureRequest, display: str, tmp_path: Path) -> Iterator[WinePc]:
    """A PC that is switched on; it is gone after the test, with all that runs on it."""
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
