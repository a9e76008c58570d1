"""The running agent, as far as pairing goes; the broker is a list."""

from __future__ import annotations

from contextlib import ExitStack
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from companion_agent.identity import only_agent
from companion_agent.ipc.handlers import Handlers
from companion_agent.ipc.server import LocalServer
from companion_agent.security.audit import AuditLog
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing

from .agent_security import BASE, HOST, NOW, PREFIX
from .clock import ManualClock
from .event_loop import ManualEventLoop

if TYPE_CHECKING:
    from pathlib import Path


class PairingService:
    """The running agent, as far as pairing goes."""

    def __init__(self, folder: Path, *, unix: bool = sys.platform != "win32") -> None:
        self._held = ExitStack()
        self._held.enter_context(only_agent(folder))
        self.clock = ManualClock(NOW)
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.announced = 0
        self.ring = KeyRing(TrustStore(folder), PREFIX, HOST, clock=self.clock)
        audit = AuditLog(folder / "audit.log", self.clock, self.clock)
        self.handlers = Handlers(
            self.ring, BASE, self.publish, self.announce, lambda: True, audit, self.clock
        )
        self.server = LocalServer(folder, self.handlers, unix=unix)
        self.loop = ManualEventLoop(time.monotonic)
        self.loop.run_until_complete(self.server.open())

    def publish(self, topic: str, payload: str) -> None:
        self.published.append((topic, json.loads(payload)))

    def announce(self) -> None:
        self.announced += 1

    def pairing_received(
        self, controller: str, kind: str, payload: bytes, *, retained: bool = False
    ) -> None:
        """Deliver a message of a controller."""
        topic = f"{BASE}/pair/{controller}/{kind}"
        self.loop.call(self.handlers.pairing_received, topic, payload, retained=retained)

    def turn(self) -> None:
        """Do what the event loop does, until nothing is left to do."""
        self.loop.settle(grace=0.05)

    def close(self) -> None:
        """End the service."""
        self.loop.call(self.server.close)
        self.turn()
        self.loop.end()
        self._held.close()

    def crash(self) -> None:
        """End without tidying up; who listens at its address is not known any more."""
        self._held.close()
