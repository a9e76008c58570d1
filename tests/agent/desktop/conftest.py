"""Fixtures of the tests of session helpers; both ends are in `tests/support`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]
else:
    from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
    from support.agent_media import FakePlayers
    from support.agent_sound import SoundServer, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_logind import SystemBus


@pytest.fixture
def control() -> FakeControl:
    """Every connection is that of anna, who sits at the machine."""
    return FakeControl(session())


@pytest.fixture
def agent(tmp_path: Path, control: FakeControl) -> Iterator[AgentEnd]:
    with AgentEnd(tmp_path, control) as agent:
        yield agent


@pytest.fixture
def connect(agent: AgentEnd) -> Iterator[Callable[[], HelperEnd]]:
    """Connect to the agent, as a process that has yet to be admitted."""
    ends: list[HelperEnd] = []

    def connect() -> HelperEnd:
        ends.append(HelperEnd(agent.folder))
        return ends[-1]

    yield connect
    for end in ends:
        end.close()


@pytest.fixture
def admit(agent: AgentEnd) -> Iterator[Callable[[], HelperEnd]]:
    """Connect a helper that the agent admits."""
    ends: list[HelperEnd] = []

    def admit() -> HelperEnd:
        ends.append(HelperEnd.admitted(agent.folder))
        return ends[-1]

    yield admit
    for end in ends:
        end.close()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    """A sound server with two outputs and a microphone."""
    if reason := why_not():
        pytest.skip(reason)
    pytest.importorskip("pulsectl_asyncio", reason="the extra `sound` is not installed")
    server = SoundServer(tmp_path_factory.mktemp("sound"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def players(bus: SystemBus, tmp_path_factory: pytest.TempPathFactory) -> FakePlayers:
    """Media players on the session bus that do what a test says."""
    return FakePlayers(bus, tmp_path_factory.mktemp("players"))
