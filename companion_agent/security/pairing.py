"""How a code that a person reads becomes a secret that nobody else has: the host's half.

SPAKE2 turns the code into a key so that neither an eavesdropper nor one who changes messages
learns anything that could be tried against a list of codes; each try needs the host's answer, and
the host answers five times. Everything here is pure: messages in, messages out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, Protocol

from companion_agent.clock import elapsed
from companion_agent.security.envelope import (
    MAX_PAIRING,
    PROTOCOL,
    MalformedError,
    parse_object,
)
from companion_agent.security.key_store import is_name
from companion_agent.security.keys import hkdf

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 600.0
TRIES = 5
# A try that is neither confirmed nor wrong keeps other controllers waiting this long.
PATIENCE = 10.0

_CODE_DIGITS = 8
_ATTEMPT = re.compile(r"[0-9a-f]{16}")
_CONFIRM = re.compile(r"[0-9a-f]{64}")
_MESSAGE_SIZE = 33


class Status(StrEnum):
    """Where a pairing stands."""

    WAITING = "waiting"
    PAIRED = "paired"
    EXPIRED = "expired"
    BURNED = "burned"


@dataclass(frozen=True, slots=True)
class PairRequest:
    """A controller's wish to pair.

    Attributes:
        attempt: The try's id, drawn by the controller.
        name: What the controller calls itself.
        message: Its SPAKE2 message.
    """

    attempt: str
    name: str
    message: bytes


@dataclass(frozen=True, slots=True)
class PairConfirm:
    """A controller's proof that it has the same key."""

    attempt: str
    confirm: str


@dataclass(frozen=True, slots=True)
class Paired:
    """A controller that proved that it knows the code, and the secret shared with it."""

    controller: str
    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that both sides must have seen alike.

    Attributes:
        controller: The controller's id.
        host: Prefix and id of the host, joined by a slash.
        attempt: The try's id.
        name: What the controller calls itself.
        from_controller: The controller's SPAKE2 message.
        from_host: The host's SPAKE2 message.
    """

    controller: str
    host: str
    attempt: str
    name: str
    from_controller: bytes
    from_host: bytes


class _Spake(Protocol):
    """What this module uses of the library's class, which has no type hints."""

    def start(self) -> bytes: ...

    def finish(self, inbound_side_and_message: bytes) -> bytes: ...


def draw_code() -> str:
    """Draw a code of eight digits."""
    return f"{secrets.randbelow(10**_CODE_DIGITS):0{_CODE_DIGITS}d}"


def identities(controller: str, host: str) -> tuple[str, str]:
    """Return what the two sides call each other in SPAKE2 and in the confirmations."""
    return f"controller:{controller}", f"host:{host}"


def pairing_secret(shared: bytes, transcript: Transcript) -> bytes:
    """Make the secret from SPAKE2's key and the two messages."""
    salt = sha256(transcript.from_controller + transcript.from_host).digest()
    return hkdf(shared, salt, b"pilot pairing")


def confirmation(secret: bytes, role: str, transcript: Transcript) -> str:
    """Return the proof that a side (`controller` or `host`) has the secret.

    Only the name is free text, and it holds no line feed: the lines cannot be cut elsewhere.
    """
    lines = (
        role,
        *identities(transcript.controller, transcript.host),
        transcript.attempt,
        transcript.name,
        transcript.from_controller.hex(),
        transcript.from_host.hex(),
    )
    return hmac.digest(secret, "\n".join(lines).encode(), "sha256").hex()


def parse_pair_request(payload: bytes) -> PairRequest:
    """Read a `request`.

    Raises:
        MalformedError: It is something else.
    """
    content = parse_object(payload, MAX_PAIRING)
    if isinstance(content.get("protocol"), bool) or content.get("protocol") != PROTOCOL:
        raise MalformedError("protocol is not 2")
    name = content.get("name")
    if not isinstance(name, str) or not is_name(name):
        raise MalformedError("name is not a short text")
    return PairRequest(_attempt(content), name, _message(content.get("message")))


def parse_pair_confirm(payload: bytes) -> PairConfirm:
    """Read a `confirm`.

    Raises:
        MalformedError: It is something else.
    """
    content = parse_object(payload, MAX_PAIRING)
    confirm = content.get("confirm")
    if not isinstance(confirm, str) or not _CONFIRM.fullmatch(confirm):
        raise MalformedError("confirm is not 64 hexadecimal digits")
    return PairConfirm(_attempt(content), confirm)


def attempt_of(payload: bytes) -> str:
    """Return the try that a message belongs to, as far as it can be read; empty when not."""
    try:
        return _attempt(parse_object(payload, MAX_PAIRING))
    except MalformedError:
        return ""


@dataclass(frozen=True, slots=True)
class _Try:
    """A request that was answered."""

    transcript: Transcript
    secret: bytes = field(repr=False)
    answered: float


class HostPairing:
    """One code, from being shown to being used up.

    Args:
        code: The code that is shown.
        host: Prefix and id of this host, joined by a slash.
        clock: Returns seconds that never go back.
        entropy: Returns random bytes; SPAKE2 draws from it.
    """

    def __init__(
        self,
        code: str,
        host: str,
        clock: Callable[[], float] = elapsed,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._code = code
        self._host = host
        self._clock = clock
        self._entropy = entropy
        self._ends = clock() + LIFETIME
        self._tries = 0
        self._open: dict[str, _Try] = {}
        self._paired: tuple[PairConfirm, dict[str, Any]] | None = None

    @property
    def status(self) -> Status:
        """Where the pairing stands now."""
        if self._paired:
            return Status.PAIRED
        if self._clock() >= self._ends:
            return Status.EXPIRED
        if self._tries >= TRIES and not self._waiting():
            return Status.BURNED
        return Status.WAITING

    @property
    def left(self) -> int:
        """How many tries are left."""
        return TRIES - self._tries

    @property
    def remaining(self) -> float:
        """Seconds until the code expires."""
        return max(0.0, self._ends - self._clock())

    def request(self, controller: str, payload: bytes) -> dict[str, Any]:
        """Answer a controller's request; returns the payload of `answer`."""
        try:
            asked = parse_pair_request(payload)
        except MalformedError:
            return {"attempt": attempt_of(payload), "error": "malformed"}
        known = self._open.get(controller)
        if known and known.transcript.attempt == asked.attempt:
            return self._answer_again(known, asked)
        if refusal := self._refusal(controller):
            return {"attempt": asked.attempt, "error": refusal}
        try:
            answered = self._exchange(controller, asked)
        except MalformedError:
            return {"attempt": asked.attempt, "error": "malformed"}
        self._tries += 1
        self._open[controller] = answered
        return _answer(answered)

    def confirm(
        self, controller: str, payload: bytes
    ) -> tuple[dict[str, Any] | None, Paired | None]:
        """Check a controller's proof.

        Returns:
            The payload of `result`, `None` where nothing is to be said; and who is paired now.
        """
        try:
            shown = parse_pair_confirm(payload)
        except MalformedError:
            return None, None
        if self._paired and self._paired[0] == shown:
            return self._paired[1], None
        known = self._open.get(controller)
        if self._paired or known is None or known.transcript.attempt != shown.attempt:
            return None, None
        if self._clock() >= self._ends:
            return {"attempt": shown.attempt, "error": "expired"}, None
        del self._open[controller]
        expected = confirmation(known.secret, "controller", known.transcript)
        if not hmac.compare_digest(expected, shown.confirm):
            return {"attempt": shown.attempt, "error": "wrong_code", "left": self.left}, None
        proof = confirmation(known.secret, "host", known.transcript)
        result = {"attempt": shown.attempt, "confirm": proof}
        self._paired = (shown, result)
        self._open.clear()
        return result, Paired(controller, known.transcript.name, known.secret)

    def _answer_again(self, known: _Try, asked: PairRequest) -> dict[str, Any]:
        """Answer a message that the broker delivered twice; a changed one is no repeat."""
        same = (known.transcript.name, known.transcript.from_controller)
        if same != (asked.name, asked.message):
            return {"attempt": asked.attempt, "error": "malformed"}
        return _answer(known)

    def _refusal(self, controller: str) -> str:
        if self._paired:
            return "no_code"
        if self._clock() >= self._ends:
            return "expired"
        if self._tries >= TRIES:
            return "burned"
        others = (self._open[other] for other in self._open if other != controller)
        return "busy" if any(self._is_fresh(other) for other in others) else ""

    def _waiting(self) -> bool:
        return any(self._is_fresh(answered) for answered in self._open.values())

    def _is_fresh(self, answered: _Try) -> bool:
        return self._clock() - answered.answered < PATIENCE

    def _exchange(self, controller: str, asked: PairRequest) -> _Try:
        # Loaded here: it brings 15 MiB that only this process of a few minutes needs.
        from spake2 import SPAKE2_B  # type: ignore[import-untyped]  # noqa: PLC0415

        side_a, side_b = (name.encode() for name in identities(controller, self._host))
        spake: _Spake = SPAKE2_B(
            self._code.encode(), idA=side_a, idB=side_b, entropy_f=self._entropy
        )
        message = spake.start()
        try:
            shared = spake.finish(asked.message)
        except Exception as error:  # the library has no common error for bad input
            raise MalformedError("not a message of SPAKE2") from error
        transcript = Transcript(
            controller, self._host, asked.attempt, asked.name, asked.message, message
        )
        return _Try(transcript, pairing_secret(shared, transcript), self._clock())


def _answer(answered: _Try) -> dict[str, Any]:
    message = base64.b64encode(answered.transcript.from_host).decode()
    return {"attempt": answered.transcript.attempt, "message": message}


def _attempt(content: dict[str, Any]) -> str:
    attempt = content.get("attempt")
    if not isinstance(attempt, str) or not _ATTEMPT.fullmatch(attempt):
        raise MalformedError("attempt is not 16 hexadecimal digits")
    return attempt


def _message(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedError("message is not text")
    try:
        message = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise MalformedError("message is not base64") from None
    if len(message) != _MESSAGE_SIZE:
        raise MalformedError("message has not 33 bytes")
    return message
