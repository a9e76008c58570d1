"""A Home Assistant that pairs and commands, and a host without a broker that obeys it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
import json
import secrets
from typing import TYPE_CHECKING, Any

from companion_agent.config.policy import Policy
from companion_agent.protocol.encoding import dump
from companion_agent.protocol.envelope import seal
from companion_agent.protocol.pairing import Transcript, confirmation, pairing_secret
from companion_agent.protocol.signing import derive, verify
from companion_agent.protocol.topics import Separator, Topics
from companion_agent.security.audit import AuditLog
from companion_agent.security.authorizer import Dispatcher, Job
from companion_agent.security.key_store import TrustStore
from companion_agent.security.keyring import KeyRing

from .agent_commands import FakePower
from .clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "pilot/v2"
HOST = "9c3f6f0e3a5b4d21"
BASE = f"{PREFIX}/{HOST}"
TOPICS = Topics(PREFIX, HOST)
SESSION = "5f1c0a9be3d24c77"
NOW = 1793952000.0


@dataclass
class FakeController:
    """A Home Assistant that signs commands and verifies results."""

    id: str = "4f1d2c3b5a697887"
    name: str = "Home"
    secret: bytes = bytes(range(32))
    key_id: str = ""
    counter: int = int(NOW * 1000)

    def __post_init__(self) -> None:
        self.key_id = self.key_id or self.id
        self.keys = derive(self.key_id, self.secret, PREFIX, HOST)

    def body(self, args: Mapping[str, Any] | None = None, **fields: Any) -> str:
        self.counter += 1
        content = {
            "id": f"{self.counter:016x}",
            "controller": self.id,
            "session": SESSION,
            "counter": self.counter,
            "time": NOW,
            "args": args or {},
        }
        return dump(content | fields)

    def command(
        self,
        key: str,
        args: Mapping[str, Any] | None = None,
        *,
        host: str = HOST,
        separator: Separator = Separator.DOT,
        **fields: Any,
    ) -> bytes:
        topic = Topics(PREFIX, host).command(key, separator)
        return seal(topic, self.body(args, **fields), {self.key_id: self.keys.command}).encode()

    def read(self, topic: str, payload: str) -> dict[str, Any]:
        """Verify what the host sent, and return it."""
        envelope = json.loads(payload)
        signature = envelope["signatures"][self.key_id]
        assert verify(self.keys.report, topic, envelope["body"].encode(), signature)
        body: dict[str, Any] = json.loads(envelope["body"])
        return body


class FakePairingController:
    """A Home Assistant that pairs."""

    def __init__(self, code: str, *, id: str = "4f1d2c3b5a697887", name: str = "Home") -> None:  # noqa: A002
        from spake2 import SPAKE2_A

        self.id = id
        self.name = name
        self.attempt = secrets.token_hex(8)
        self._spake = SPAKE2_A(
            code.encode(), idA=f"controller:{id}".encode(), idB=f"host:{BASE}".encode()
        )
        self.message: bytes = self._spake.start()

    def request(self, **fields: Any) -> bytes:
        content = {
            "protocol": 2,
            "attempt": self.attempt,
            "name": self.name,
            "message": base64.b64encode(self.message).decode(),
        }
        return dump(content | fields).encode()

    def confirm(self, answer: Mapping[str, Any]) -> bytes:
        from_host = base64.b64decode(answer["message"])
        self.transcript = Transcript(
            self.id, BASE, self.attempt, self.name, self.message, from_host
        )
        self.secret = pairing_secret(self._spake.finish(from_host), self.transcript)
        proof = confirmation(self.secret, "controller", self.transcript)
        return dump({"attempt": self.attempt, "confirm": proof}).encode()

    def believes(self, result: Mapping[str, Any]) -> bool:
        return bool(result["confirm"] == confirmation(self.secret, "host", self.transcript))


@dataclass
class PairedHost:
    """A host that is paired with one Home Assistant."""

    folder: Path
    policy: Policy = field(default_factory=Policy)
    fleet: bytes | None = None
    session: str = SESSION

    def __post_init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.home = FakeController()
        self.power = FakePower()
        self.published: list[tuple[str, str]] = []
        self.jobs: list[Job] = []
        self.reprobed = 0
        self.reannounced = 0
        self.surpassed: list[int] = []
        self.ring = KeyRing(
            TrustStore(self.folder), PREFIX, HOST, fleet=self.fleet, clock=self.clock
        )
        if not self.ring.controllers:
            self.ring.add(self.home.id, self.home.name, self.home.secret)
        self.audit = AuditLog(self.folder / "audit.log", self.clock, self.clock)
        self.dispatcher = Dispatcher(
            ring=self.ring,
            topics=TOPICS,
            session=self.session,
            policy=self.policy,
            publish=lambda topic, payload: self.published.append((topic, payload)),
            start=self.jobs.append,
            revoked=self._reannounce,
            missing=self._reprobe,
            surpass=self.surpassed.append,
            audit=self.audit,
            clock=self.clock,
            monotonic=self.clock,
        )
        self.dispatcher.offer({self.power: self.power.commands()})

    def send(self, key: str, payload: bytes, *, retained: bool = False) -> None:
        """Deliver a message on a command's topic, and let the worker do what comes of it."""
        self.dispatcher.received(f"{BASE}/command/{key}", payload, retained=retained)
        self.work()

    def call(
        self, key: str, args: Mapping[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a genuine command and return its result."""
        self.send(key, self.home.command(key, args, **fields))
        return self.last

    def work(self) -> None:
        while self.jobs:
            job = self.jobs.pop(0)
            try:
                output = job.run()
            except Exception as error:  # noqa: BLE001  (as the worker does)
                self.dispatcher.finished(job, error)
            else:
                self.dispatcher.finished(job, None, output)

    @property
    def last(self) -> dict[str, Any]:
        """The last result, verified."""
        return self.home.read(*self.published[-1])

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The record."""
        path = self.folder / "audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _reannounce(self) -> None:
        self.reannounced += 1

    def _reprobe(self) -> None:
        self.reprobed += 1
