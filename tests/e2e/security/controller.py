"""A Home Assistant that pairs, commands and verifies, written from `docs/protocol.md` alone.

It shares no code with either side: what both get wrong in the same way would show here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import sha256
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "pilot/v2"


class Said(NamedTuple):
    """Something to publish."""

    topic: str
    payload: bytes


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) for the 32 bytes of its first block."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def sign(key: bytes, topic: str, body: str) -> str:
    """Sign the body of an envelope."""
    return hmac.digest(key, f"pilot/2\n{topic}\n{body}".encode(), "sha256").hex()


def wrap(body: str, signatures: Mapping[str, str]) -> bytes:
    """Put a body into an envelope."""
    return json.dumps({"protocol": 2, "body": body, "signatures": dict(signatures)}).encode()


@dataclass
class FakeController:
    """A Home Assistant that is paired with a host.

    Attributes:
        host: The host's id.
        id: Its own id.
        name: What it calls itself.
        secret: What both share.
    """

    host: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    name: str = "Home"
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _counter: int = 0

    @property
    def command_key(self) -> bytes:
        """The key that its commands are signed with."""
        return hkdf(self.secret, f"{PREFIX}/{self.host}".encode(), b"pilot command")

    @property
    def report_key(self) -> bytes:
        """The key that what the host says is signed with."""
        return hkdf(self.secret, f"{PREFIX}/{self.host}".encode(), b"pilot report")

    def pair_long_ago(self, state: Path) -> None:
        """Write into a host's state folder that it is paired with this Home Assistant."""
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = state / "trust.json"
        content = json.loads(file.read_text()) if file.exists() else {"controllers": []}
        controller = {
            "id": self.id,
            "name": self.name,
            "secret": base64.b64encode(self.secret).decode(),
            "since": 1793952000.0,
        }
        file.touch(mode=0o600)
        file.write_text(
            json.dumps({"version": 1, "controllers": [*content["controllers"], controller]})
        )

    def body(self, session: str, args: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Write a request."""
        self._counter = max(self._counter + 1, int(time.time() * 1000))
        content = {
            "id": secrets.token_hex(8),
            "controller": self.id,
            "session": session,
            "counter": self._counter,
            "time": time.time(),
            "args": dict(args or {}),
        }
        return json.dumps(content | fields)

    def command(
        self,
        key: str,
        session: str,
        args: Mapping[str, Any] | None = None,
        *,
        separator: str = ".",
        **fields: Any,
    ) -> Said:
        """Sign a command without publishing it."""
        topic = f"{PREFIX}/{self.host}/command/{key.replace('.', separator)}"
        return self.seal(topic, self.body(session, args, **fields))

    def seal(self, topic: str, body: str) -> Said:
        """Sign anything with the key of commands."""
        return Said(topic, wrap(body, {self.id: sign(self.command_key, topic, body)}))

    def read(self, topic: str, payload: bytes) -> dict[str, Any] | None:
        """Return what the host says, or nothing unless it really is the host that says it."""
        try:
            envelope = json.loads(payload)
            expected = sign(self.report_key, topic, envelope["body"])
            if not hmac.compare_digest(expected, envelope["signatures"][self.id]):
                return None
            body: dict[str, Any] = json.loads(envelope["body"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return body


class FakePairingController:
    """One attempt to pair, honest or not.

    Args:
        host: The host's id.
        code: What was typed.
        id: The controller's id.
        name: What it calls itself.
    """

    def __init__(self, host: str, code: str, id: str = "", name: str = "Home") -> None:  # noqa: A002
        from spake2 import SPAKE2_A  # type: ignore[import-untyped, import-not-found, unused-ignore]

        self.host = host
        self.id = id or secrets.token_hex(8)
        self.name = name
        self.attempt = secrets.token_hex(8)
        self._identities = (f"controller:{self.id}", f"host:{PREFIX}/{host}")
        side_a, side_b = (identity.encode() for identity in self._identities)
        self._spake = SPAKE2_A(code.encode(), idA=side_a, idB=side_b)
        self._mine: bytes = self._spake.start()
        self._theirs = b""
        self.secret = b""

    def topic(self, kind: str) -> str:
        """Return the topic of a message."""
        return f"{PREFIX}/{self.host}/pair/{self.id}/{kind}"

    def request(self, **fields: Any) -> Said:
        """Ask to be paired."""
        content = {
            "protocol": 2,
            "attempt": self.attempt,
            "name": self.name,
            "message": base64.b64encode(self._mine).decode(),
        }
        return Said(self.topic("request"), json.dumps(content | fields).encode())

    def confirm(self, answer: bytes) -> Said:
        """Prove that this side has the key."""
        self._theirs = base64.b64decode(json.loads(answer)["message"])
        shared = self._spake.finish(self._theirs)
        salt = sha256(self._mine + self._theirs).digest()
        self.secret = hkdf(shared, salt, b"pilot pairing")
        content = {"attempt": self.attempt, "confirm": self._proof("controller")}
        return Said(self.topic("confirm"), json.dumps(content).encode())

    def believes(self, result: bytes) -> bool:
        """Tell whether the host has proved that it has the key as well."""
        shown = json.loads(result).get("confirm", "")
        return hmac.compare_digest(shown, self._proof("host"))

    def home(self) -> FakeController:
        """Return the Home Assistant that came of it."""
        return FakeController(self.host, self.id, self.name, self.secret)

    def _proof(self, role: str) -> str:
        lines = (role, *self._identities, self.attempt, self.name, self._mine.hex())
        text = "\n".join((*lines, self._theirs.hex()))
        return hmac.digest(self.secret, text.encode(), "sha256").hex()
