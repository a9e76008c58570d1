"""Cameras in use. Files stand in for cameras; who has them open says the system's own /proc."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.plugins.camera import helper
from companion_agent.plugins.camera.devices import cameras
from companion_agent.plugins.camera.helper import CameraDomain
from support.event_loop import PATIENCE

from .domains import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.proves("camera.*")

IN_USE, PROGRAMS = Thing("in_use"), Thing("programs")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine without cameras, on which this machine's programs run."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "proc").symlink_to("/proc")
    monkeypatch.setattr(CameraDomain, "root", tmp_path)
    monkeypatch.setattr(helper, "SETTLE", 0.05)
    return tmp_path


def plug(root: Path, name: str) -> Path:
    camera = root / "dev" / name
    camera.touch()
    return camera


@contextmanager
def filming(camera: Path) -> Iterator[None]:
    """A program has a camera open, as `sleep` has its standard input."""
    with camera.open("rb") as opened:
        program = subprocess.Popen(["sleep", "1000"], stdin=opened)
    yield
    program.kill()
    program.wait(PATIENCE)


def test_a_camera_is_in_use_while_a_program_has_it_open(root: Path) -> None:
    camera = plug(root, "video0")

    async def play() -> None:
        async with started(CameraDomain) as context:
            assert context.values == {IN_USE: False, PROGRAMS: ""}
            with filming(camera):
                await context.until(lambda: context.values[IN_USE] is True)
                assert context.values[PROGRAMS] == "sleep"
            await context.until(lambda: context.values[IN_USE] is False)
            assert context.values[PROGRAMS] == ""

    asyncio.run(play())


def test_a_camera_that_was_in_use_before(root: Path) -> None:
    async def play() -> None:
        with filming(plug(root, "video0")):
            async with started(CameraDomain) as context:
                assert context.values == {IN_USE: True, PROGRAMS: "sleep"}

    asyncio.run(play())


def test_cameras_come_and_go(root: Path) -> None:
    async def play() -> None:
        async with started(CameraDomain) as context:
            assert "there is no camera" in context.offered.why[""]
            camera = plug(root, "video2")
            await context.until(lambda: IN_USE in context.offered.readings)
            with filming(camera):
                await context.until(lambda: context.values[IN_USE] is True)
            camera.unlink()
            await context.until(lambda: context.offered.empty)

    asyncio.run(play())


def test_a_program_that_only_lists_cameras_uses_none(root: Path) -> None:
    camera = plug(root, "video0")

    async def play() -> None:
        async with started(CameraDomain) as context:
            looked = []
            read = context.read
            context.read = lambda values: (looked.append(values[IN_USE]), read(values))[1]
            camera.open("rb").close()
            await context.until(lambda: looked)
            assert not any(looked)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("capabilities", "films"),
    [
        (":capture:", True),
        (":", False),
        (":video_output:", False),
        (":capture:video_output:", False),
    ],
    ids=["a camera", "its second device, or a decoder", "an output", "an older decoder"],
)
def test_what_only_decodes_is_no_camera(root: Path, capabilities: str, films: bool) -> None:
    camera = plug(root, "video10")
    # A plain file has no number.
    entry = root / "run/udev/data/c0:0"
    entry.parent.mkdir(parents=True)
    entry.write_text(f"I:1\nE:ID_V4L_PRODUCT=Thing\nE:ID_V4L_CAPABILITIES={capabilities}\n")

    assert cameras(root) == ([camera] if films else [])


def test_what_programs_film_into_is_no_camera(root: Path) -> None:
    plug(root, "video9")
    place = root / "sys/devices/virtual/video4linux/video9"
    place.mkdir(parents=True)
    named = root / "sys/class/video4linux"
    named.mkdir(parents=True)
    (named / "video9").symlink_to(place)

    assert cameras(root) == []
