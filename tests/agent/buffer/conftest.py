from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
import pytest

from support.agent_buffer import FakeConsumer, FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A disk that many share takes its time for a sync.
settings.register_profile(
    "slow disk", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("slow disk")


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., FakeHost]]:
    made: list[FakeHost] = []

    def make(**settings: object) -> FakeHost:
        made.append(FakeHost(tmp_path / "state", **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        host.kill()


@pytest.fixture
def host(make_host: Callable[..., FakeHost]) -> FakeHost:
    return make_host()


@pytest.fixture
def online(make_host: Callable[..., FakeHost]) -> FakeHost:
    """A host that has been heard for a while."""
    host = make_host()
    host.connect()
    host.read(percent=1.0)
    host.pass_time(300)
    return host


@pytest.fixture
def home() -> FakeConsumer:
    return FakeConsumer()
