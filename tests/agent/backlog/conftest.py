from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
import pytest

from .played import Home, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A disk that many share takes its time for a sync.
settings.register_profile(
    "slow disk", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("slow disk")


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(**settings: object) -> Scene:
        made.append(Scene(tmp_path / "state", **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for scene in made:
        scene.kill()


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture
def online(make_scene: Callable[..., Scene]) -> Scene:
    """A host that has been heard for a while."""
    scene = make_scene()
    scene.connect()
    scene.read(percent=1.0)
    scene.pass_time(300)
    return scene


@pytest.fixture
def home() -> Home:
    return Home()
