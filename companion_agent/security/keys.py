"""Keys and signatures: pure functions over bytes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
import hmac
import re
from typing import TypeGuard

SECRET_SIZE = 32
FLEET = "fleet"

_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_CONTROLLER = re.compile(r"[0-9a-f]{16}")

# 32 random bytes have fewer than 16 different values once in 10^17 draws; "aaaa…" always has.
_FLEET_VARIETY = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys between one controller and one host.

    Attributes:
        command: Signs what the controller sends.
        report: Signs what the host sends.
    """

    command: bytes = field(repr=False)
    report: bytes = field(repr=False)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Derive a key of 32 bytes: HKDF-SHA256 of RFC 5869, whose first block is all of it."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def derive(secret: bytes, prefix: str, host: str) -> Keys:
    """Derive the keys that a controller and a host use from the secret that they share."""
    salt = f"{prefix}/{host}".encode()
    return Keys(hkdf(secret, salt, b"pilot command"), hkdf(secret, salt, b"pilot report"))


def sign(key: bytes, topic: str, body: str) -> str:
    """Sign the body of an envelope for the topic that it is published on.

    Neither the first line nor the topic can hold a line feed, so the three parts cannot be cut
    anywhere else.
    """
    return hmac.digest(key, f"pilot/2\n{topic}\n{body}".encode(), "sha256").hex()


def verify(key: bytes, topic: str, body: str, signature: str) -> bool:
    """Tell whether a body was signed with a key for a topic, in a time that tells nothing."""
    return hmac.compare_digest(sign(key, topic, body), signature)


def is_signature(text: object) -> TypeGuard[str]:
    """Tell whether something has the form of a signature."""
    return isinstance(text, str) and _SIGNATURE.fullmatch(text) is not None


def is_controller(text: object) -> TypeGuard[str]:
    """Tell whether something has the form of a controller's id."""
    return isinstance(text, str) and _CONTROLLER.fullmatch(text) is not None


def is_key_id(text: object) -> bool:
    """Tell whether something has the form of the id that a signature stands under."""
    return text == FLEET or is_controller(text)


def fleet_secret(text: str) -> bytes:
    """Read a fleet key as people write it: base64 of 32 random bytes or more.

    Only base64 is taken, so that nobody types a sentence: whoever records one message can try
    sentences against it for as long as they like.

    Raises:
        ValueError: It is not such a key; the message says what to do.
    """
    advice = "make one with: openssl rand -base64 32"
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"a fleet key is base64 of 32 random bytes; {advice}") from None
    if len(secret) < SECRET_SIZE:
        raise ValueError(f"a fleet key has at least 32 bytes, this one has {len(secret)}; {advice}")
    if len(set(secret)) < _FLEET_VARIETY:
        raise ValueError(f"this fleet key is not random; {advice}")
    return secret
