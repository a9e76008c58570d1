"""A camera in use for real: one that Debian's kernel plays (vivid), and a program that films."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from seen_inside import seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.guest import Guest

pytestmark = pytest.mark.proves("camera.*")

_VIDEO_CAPTURE = 0x1


@pytest.fixture
def camera(guest: Guest) -> Iterator[str]:
    """A camera, and none of the tuners and outputs that the driver plays besides."""
    guest.run("modprobe", "vivid", "n_devs=1", f"node_types={_VIDEO_CAPTURE}")
    yield guest.run("sh", "-c", "echo /dev/video*").stdout.strip()
    guest.run("modprobe", "-r", "vivid")


def test_a_program_that_films_is_named(guest: Guest, camera: str) -> None:
    assert seen(guest, "camera", camera) == {
        "before": [False, ""],
        "while it films": [True, "cat"],
        "it ended by": -signal.SIGTERM,
        "afterwards": [False, ""],
    }
