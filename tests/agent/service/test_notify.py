"""What systemd hears from the agent."""

from __future__ import annotations

import math
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.service.sd_notify import Notifier
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux's")


class Manager:
    """The end that systemd holds."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self._socket.settimeout(0.2)
        self.environment = {"NOTIFY_SOCKET": address}

    def heard(self) -> list[str]:
        messages = []
        try:
            while True:
                messages.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        if sys.platform != "linux":
            pytest.skip("only Linux has an abstract namespace")
        address = f"@pilot-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.close()


def test_tells_how_it_is_once_for_each_change(manager: Manager) -> None:
    notifier = Notifier(manager.environment)
    assert notifier.listening
    notifier.ready()
    for text in ("Connected to a:1", "Connected to a:1", "Not connected:\n  no answer"):
        notifier.status(text)
    notifier.stopping()
    assert manager.heard() == [
        "READY=1",
        "STATUS=Connected to a:1",
        "STATUS=Not connected: no answer",
        "STOPPING=1",
    ]
    notifier.close()
    notifier.ready()
    assert manager.heard() == []


def test_being_up_is_a_sign_of_life(manager: Manager) -> None:
    """A process that became another one is up already to systemd, which counts its silence."""
    notifier = Notifier({**manager.environment, "WATCHDOG_USEC": "90000000"})

    notifier.ready()

    assert manager.heard() == ["READY=1", "WATCHDOG=1"]


def test_gives_signs_of_life_at_a_low_rate(manager: Manager) -> None:
    clock = ManualClock()
    notifier = Notifier({**manager.environment, "WATCHDOG_USEC": "90000000"}, clock)
    assert notifier.deadline() == clock() + 45
    for _ in range(120):
        clock.advance(1)
        notifier.alive()
    assert manager.heard() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_wakeup_without_a_watchdog(manager: Manager, watchdog: dict[str, str]) -> None:
    notifier = Notifier({**manager.environment, **watchdog})
    notifier.alive()
    assert math.isinf(notifier.deadline())
    assert manager.heard() == []


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/notify"])
def test_silent_without_a_listener(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert not notifier.listening
    notifier.ready()
    assert math.isinf(notifier.deadline())


def test_a_manager_that_goes_away_stops_nothing(manager: Manager) -> None:
    notifier = Notifier(manager.environment)
    manager.close()
    notifier.ready()
    assert notifier.listening
