"""How a code that a person reads becomes a secret that nobody else has: the controller's half.

SPAKE2 turns the code into a key so that neither an eavesdropper nor one who changes messages
learns anything that could be tried against a list of codes. Everything here is pure:
messages in, messages out.
"""

import base64
from dataclasses import dataclass
from hashlib import sha256
import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from .keys import hkdf
from .protocol import PROTOCOL, ProtocolError, load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PAIRING: Final = 4 * 1024
CODE_DIGITS: Final = 8
_MAX_NAME = 64

# Controls, line separators and what turns the direction of writing: hosts show the name in
# logs and terminals, and refuse one that has these.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

ERRORS: Final = ("no_code", "expired", "burned", "busy", "malformed", "wrong_code")
"""What a host may answer instead of going on."""


class PairingError(Exception):
    """The host did not pair.

    Attributes:
        reason: One of `ERRORS`; `not_genuine` when whoever answered does not know the code.
        left: How many tries are left, where the host said so.
    """

    def __init__(self, reason: str, left: int | None = None) -> None:
        """Keep why."""
        super().__init__(reason)
        self.reason = reason
        self.left = left


class _Spake(Protocol):
    """What this module uses of the library's class, which has no type hints."""

    def start(self) -> bytes:
        """Return the message for the other side."""

    def finish(self, inbound_side_and_message: bytes) -> bytes:
        """Take the other side's message and return the key."""


@dataclass(frozen=True, slots=True)
class _Transcript:
    """Everything that both sides must have seen alike."""

    controller: str
    host: str
    attempt: str
    name: str
    from_controller: bytes
    from_host: bytes


def read_code(text: str) -> str | None:
    """Return the digits of a code as people type it; None if it cannot be one."""
    code = re.sub(r"[\s-]", "", text)
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        return None
    return code


def controller_name(text: str) -> str:
    """Return what this Home Assistant calls itself towards hosts."""
    return _UNSHOWABLE.sub("", text).strip()[:_MAX_NAME].strip() or "Home Assistant"


class ControllerPairing:
    """One try to pair.

    Creating one and `confirm()` compute for some tens of milliseconds: not for the event loop.

    Args:
        code: The code that the host shows.
        controller: This Home Assistant's id.
        host: Prefix and id of the host, joined by a slash.
        name: What this Home Assistant calls itself.
        attempt: The try's id.
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
        """Make the first message."""
        # Loaded when somebody pairs: Home Assistant needs it for a few seconds a year.
        from spake2 import SPAKE2_A  # type: ignore[import-untyped]  # noqa: PLC0415

        self._controller = controller
        self._host = host
        self._name = name
        self.attempt = attempt or secrets.token_hex(8)
        side_a, side_b = self._identities()
        self._spake: _Spake = SPAKE2_A(
            code.encode(), idA=side_a.encode(), idB=side_b.encode(), entropy_f=entropy
        )
        self._message = self._spake.start()
        self._secret = b""
        self._expected = ""

    def request(self) -> bytes:
        """Return the payload that asks the host to pair."""
        return orjson.dumps(
            {
                "protocol": PROTOCOL,
                "attempt": self.attempt,
                "name": self._name,
                "message": base64.b64encode(self._message).decode(),
            }
        )

    def confirm(self, answer: Mapping[str, Any]) -> bytes:
        """Take the host's message; return the payload that proves that the code is known.

        Raises:
            PairingError: The message cannot be one.
        """
        try:
            from_host = base64.b64decode(str(answer.get("message")), validate=True)
            shared = self._spake.finish(from_host)
        except Exception as err:  # the library has no common error for bad input
            raise PairingError("malformed") from err
        transcript = _Transcript(
            self._controller, self._host, self.attempt, self._name, self._message, from_host
        )
        salt = sha256(self._message + from_host).digest()
        self._secret = hkdf(shared, salt, b"pilot pairing")
        self._expected = self._proof("host", transcript)
        proof = self._proof("controller", transcript)
        return orjson.dumps({"attempt": self.attempt, "confirm": proof})

    def finish(self, result: Mapping[str, Any]) -> bytes:
        """Take the host's proof and return the secret.

        Raises:
            PairingError: It is no proof.
        """
        proof = result.get("confirm")
        if not isinstance(proof, str) or not hmac.compare_digest(
            proof.encode("utf-8", "replace"), self._expected.encode()
        ):
            raise PairingError("not_genuine")
        return self._secret

    def read(self, payload: bytes) -> dict[str, Any] | None:
        """Read an `answer` or `result`; None when it does not belong to this try.

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
            raise PairingError(
                error if error in ERRORS else "malformed", left if type(left) is int else None
            )
        return message

    def _identities(self) -> tuple[str, str]:
        return f"controller:{self._controller}", f"host:{self._host}"

    def _proof(self, role: str, transcript: _Transcript) -> str:
        # Only the name is free text, and it holds no line feed: the lines cannot be cut
        # anywhere else.
        lines = (
            role,
            *self._identities(),
            transcript.attempt,
            transcript.name,
            transcript.from_controller.hex(),
            transcript.from_host.hex(),
        )
        return hmac.digest(self._secret, "\n".join(lines).encode(), "sha256").hex()
