"""Pairing: a code of a few digits becomes a secret that only a host and a controller have.

SPAKE2 turns the code into a key so that neither reading nor changing the messages gives anything
that could be tried against a list of codes; each try needs the host's answer, and the host
answers five times. Both sides are here, and both are pure: messages in, messages out.
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
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from .encoding import dump, load_object
from .errors import PilotError, ProtocolError
from .signing import hkdf
from .validation import (
    MAX_CONTROLLER_NAME,
    MAX_PAIRING,
    PROTOCOL,
    UNPRINTABLE,
    check_protocol,
    is_controller_name,
    is_hex_id,
    is_signature,
    is_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CODE_DIGITS: Final = 8
LIFETIME: Final = 600.0
"""Seconds that a code is valid."""
TRIES: Final = 5
PATIENCE: Final = 10.0
"""Seconds that a try which is neither confirmed nor wrong keeps other controllers waiting."""
ERRORS: Final = ("no_code", "expired", "burned", "busy", "malformed", "wrong_code")
"""What a host may answer instead of going on."""

_MESSAGE_SIZE = 33


class Status(StrEnum):
    """Where a pairing stands."""

    WAITING = "waiting"
    PAIRED = "paired"
    EXPIRED = "expired"
    BURNED = "burned"


class PairingError(PilotError):
    """The host did not pair.

    Attributes:
        reason: One of `ERRORS`; `not_genuine` when the other side does not know the code.
        left: How many tries are left, where the host said so.
    """

    def __init__(self, reason: str, left: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.left = left


class PairRequest(NamedTuple):
    """A controller's wish to pair.

    Attributes:
        attempt: The try's id, drawn by the controller.
        name: What the controller calls itself.
        message: Its SPAKE2 message.
    """

    attempt: str
    name: str
    message: bytes


class PairConfirm(NamedTuple):
    """A controller's proof that it has the same key."""

    attempt: str
    confirm: str


@dataclass(frozen=True, slots=True)
class Paired:
    """A controller that proved that it knows the code, and the secret shared with it."""

    controller: str
    name: str
    secret: bytes = field(repr=False)


class Transcript(NamedTuple):
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
    """What this module uses of the library's classes, which have no type hints."""

    def start(self) -> bytes: ...

    def finish(self, inbound_side_and_message: bytes) -> bytes: ...


# --- Both sides ------------------------------------------------------------------------------


def draw_code() -> str:
    """Draw a code."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def read_code(text: str) -> str | None:
    """Return the digits of a code as users type it; `None` if it cannot be one."""
    code = re.sub(r"[\s-]", "", text)
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        return None
    return code


def identities(controller: str, host: str) -> tuple[str, str]:
    """Return the names of the two sides in SPAKE2 and in the confirmations."""
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


# --- The host --------------------------------------------------------------------------------


def parse_pair_request(payload: bytes) -> PairRequest:
    """Read a `request`.

    Raises:
        ProtocolError: It is something else.
    """
    data = load_object(payload, MAX_PAIRING)
    check_protocol(data)
    name = data.get("name")
    if not is_controller_name(name):
        raise ProtocolError("name", "name is not a short text")
    return PairRequest(_attempt(data), name, _message(data.get("message")))


def parse_pair_confirm(payload: bytes) -> PairConfirm:
    """Read a `confirm`.

    Raises:
        ProtocolError: It is something else.
    """
    data = load_object(payload, MAX_PAIRING)
    confirm = data.get("confirm")
    if not is_signature(confirm):
        raise ProtocolError("confirm", "confirm is not 64 hexadecimal digits")
    return PairConfirm(_attempt(data), confirm)


def attempt_of(payload: bytes) -> str:
    """Return the try that a message belongs to, as far as it can be read; empty when not."""
    try:
        return _attempt(load_object(payload, MAX_PAIRING))
    except ProtocolError:
        return ""


def _attempt(data: Mapping[str, Any]) -> str:
    attempt = data.get("attempt")
    if not is_hex_id(attempt):
        raise ProtocolError("attempt", "attempt is not 16 hexadecimal digits")
    return attempt


def _message(text: object) -> bytes:
    if not isinstance(text, str):
        raise ProtocolError("message", "message is not text")
    try:
        message = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise ProtocolError("message", "message is not base64") from None
    if len(message) != _MESSAGE_SIZE:
        raise ProtocolError("message", f"message has not {_MESSAGE_SIZE} bytes")
    return message


@dataclass(frozen=True, slots=True)
class _Try:
    """A request that was answered."""

    transcript: Transcript
    secret: bytes = field(repr=False)
    answered: float


class HostPairing:
    """The host's side: one code, from being shown to being used up.

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
        clock: Callable[[], float],
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
        except ProtocolError:
            return {"attempt": attempt_of(payload), "error": "malformed"}
        known = self._open.get(controller)
        if known and known.transcript.attempt == asked.attempt:
            return self._answer_again(known, asked)
        if refusal := self._refusal(controller):
            return {"attempt": asked.attempt, "error": refusal}
        try:
            answered = self._exchange(controller, asked)
        except ProtocolError:
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
        except ProtocolError:
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
        # Loaded here: it brings 15 MiB that only the process of a pairing needs.
        from spake2 import SPAKE2_B  # type: ignore[import-untyped]  # noqa: PLC0415

        side_a, side_b = (name.encode() for name in identities(controller, self._host))
        spake: _Spake = SPAKE2_B(
            self._code.encode(), idA=side_a, idB=side_b, entropy_f=self._entropy
        )
        message = spake.start()
        try:
            shared = spake.finish(asked.message)
        except Exception as error:  # the library has no common error for bad input
            raise ProtocolError("message", "not a message of SPAKE2") from error
        transcript = Transcript(
            controller, self._host, asked.attempt, asked.name, asked.message, message
        )
        return _Try(transcript, pairing_secret(shared, transcript), self._clock())


def _answer(answered: _Try) -> dict[str, Any]:
    message = base64.b64encode(answered.transcript.from_host).decode()
    return {"attempt": answered.transcript.attempt, "message": message}


# --- The controller --------------------------------------------------------------------------


def controller_name(text: str) -> str:
    """Return what a controller calls itself towards hosts, from the name that it has."""
    return UNPRINTABLE.sub("", text).strip()[:MAX_CONTROLLER_NAME].strip() or "Home Assistant"


class ControllerPairing:
    """The controller's side: one try to pair.

    Creating one and `confirm()` compute for some tens of milliseconds: not for an event loop.

    Attributes:
        attempt: The try's id.

    Args:
        code: The code that the host shows.
        controller: The controller's id.
        host: Prefix and id of the host, joined by a slash.
        name: What the controller calls itself.
        attempt: The try's id; drawn unless given.
        entropy: Returns random bytes; SPAKE2 draws from it.
    """

    def __init__(
        self,
        code: str,
        controller: str,
        host: str,
        name: str,
        attempt: str | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        # Loaded here: a controller needs it for a few seconds a year.
        from spake2 import SPAKE2_A  # noqa: PLC0415

        self._controller = controller
        self._host = host
        self._name = name
        self.attempt = attempt or secrets.token_hex(8)
        side_a, side_b = (side.encode() for side in identities(controller, host))
        self._spake: _Spake = SPAKE2_A(code.encode(), idA=side_a, idB=side_b, entropy_f=entropy)
        self._message = self._spake.start()
        self._secret = b""
        self._expected = ""

    def request(self) -> bytes:
        """Return the payload that asks the host to pair."""
        content = {
            "protocol": PROTOCOL,
            "attempt": self.attempt,
            "name": self._name,
            "message": base64.b64encode(self._message).decode(),
        }
        return dump(content).encode()

    def confirm(self, answer: Mapping[str, Any]) -> bytes:
        """Take the host's message; return the payload that proves that the code is known.

        Raises:
            PairingError: The message cannot be one.
        """
        try:
            from_host = base64.b64decode(str(answer.get("message")), validate=True)
            shared = self._spake.finish(from_host)
        except Exception as error:  # the library has no common error for bad input
            raise PairingError("malformed") from error
        transcript = Transcript(
            self._controller, self._host, self.attempt, self._name, self._message, from_host
        )
        self._secret = pairing_secret(shared, transcript)
        self._expected = confirmation(self._secret, "host", transcript)
        proof = confirmation(self._secret, "controller", transcript)
        return dump({"attempt": self.attempt, "confirm": proof}).encode()

    def finish(self, result: Mapping[str, Any]) -> bytes:
        """Take the host's proof and return the secret.

        Raises:
            PairingError: It is no proof.
        """
        proof = result.get("confirm")
        if not is_signature(proof) or not hmac.compare_digest(proof, self._expected):
            raise PairingError("not_genuine")
        return self._secret

    def read(self, payload: bytes) -> dict[str, Any] | None:
        """Read an `answer` or `result`; `None` when it does not belong to this try.

        Raises:
            PairingError: The host does not go on.
        """
        try:
            message = load_object(payload, MAX_PAIRING)
        except ProtocolError:
            return None
        if message.get("attempt") != self.attempt:
            return None
        if (error := message.get("error")) is not None:
            left = message.get("left")
            reason = error if error in ERRORS else "malformed"
            raise PairingError(reason, left if is_whole(left) else None)
        return message
