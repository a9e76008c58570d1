"""Machines, a clock, and what a user would see of a collector."""

from __future__ import annotations

from contextlib import suppress
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from support.agent_machines import build
from support.agent_screen import Screen
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.agent_screen import MachineOf, ScreenOf

if sys.platform != "linux":
    collect_ignore = ["test_processor.py", "test_usb.py"]


@pytest.fixture(autouse=True)
def _no_system_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is logged in on this machine out of the others."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")


@pytest.fixture
def machine(tmp_path: Path) -> MachineOf:
    """Make one of the machines."""
    return lambda name: build(name, tmp_path)


@pytest.fixture
def dripping() -> Iterator[int]:
    """Answer with a letter now and then, and never with an end; the port."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError), server.accept()[0] as client:
            while not over.wait(0.02):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Stop the clock that rates are measured by."""
    clock = ManualClock()
    for module in ("rates", "cpu"):
        monkeypatch.setattr(f"companion_agent.plugins.{module}.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def screen() -> ScreenOf:
    """Look at a collector as a user does."""
    return Screen
