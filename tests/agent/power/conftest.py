"""Fixtures of the tests of power and sessions; the buses are in `tests/support`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    collect_ignore = [
        "test_control.py",
        "test_logind_watch.py",
        "test_rule.py",
        "test_sessions_of_processes.py",
    ]
else:
    from support.agent_logind import LOGIND, MANAGER, POLKIT, FakeLogind, FakePolkit, SystemBus
    from support.dbusmock import why_not

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def can_play() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def bus(
    can_play: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SystemBus]:
    """A system bus without any service on it."""
    bus = SystemBus(tmp_path_factory.mktemp("bus"))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    bus.start()
    yield bus
    bus.stop()


@pytest.fixture
def logind(bus: SystemBus) -> FakeLogind:
    """logind, on a machine that can do everything."""
    bus.play("logind", LOGIND)
    logind = FakeLogind(bus)
    logind.method(MANAGER, "SetWallMessage", "sb", "", "")
    logind.method(MANAGER, "ScheduleShutdown", "st", "", "self.planned = args[0]")
    logind.method(
        MANAGER, "CancelScheduledShutdown", "", "b",
        "ret = bool(getattr(self, 'planned', '')); self.planned = ''",
    )  # fmt: skip
    return logind


@pytest.fixture
def polkit(bus: SystemBus) -> FakePolkit:
    """polkit, which permits nothing yet."""
    bus.play("polkitd", POLKIT)
    return FakePolkit(bus)
