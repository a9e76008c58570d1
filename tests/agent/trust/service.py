"""The running agent, as far as pairing goes; the broker is a list."""

from __future__ import annotations

import json
import select
import sys
from typing import TYPE_CHECKING, Any

from companion_agent.ipc.handlers import Desk
from companion_agent.ipc.server import LocalServer
from companion_agent.security.audit import AuditLog
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing

from .peer import BASE, HOST, PREFIX, Clock

if TYPE_CHECKING:
    from pathlib import Path


class Service:
    """The running agent, as far as pairing goes."""

    def __init__(self, folder: Path, *, unix: bool = sys.platform != "win32") -> None:
        self.clock = Clock()
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.announced = 0
        self.ring = KeyRing(TrustStore(folder), PREFIX, HOST, clock=self.clock)
        audit = AuditLog(folder / "audit.log", self.clock, self.clock)
        self.desk = Desk(
            self.ring, BASE, self.publish, self.announce, lambda: True, audit, self.clock
        )
        self.server = LocalServer(folder, self.desk, unix=unix)
        self.server.open()

    def publish(self, topic: str, payload: str) -> None:
        self.published.append((topic, json.loads(payload)))

    def announce(self) -> None:
        self.announced += 1

    def turn(self) -> None:
        """Do what the loop does, until nothing is left to do."""
        while ready := select.select(self.server.sockets, [], [], 0.05)[0]:
            for sock in ready:
                self.server.readable(sock)
