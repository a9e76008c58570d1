"""Keys and signatures: pure functions over bytes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
import hmac
from typing import Final

from .validation import is_signature

SECRET_SIZE: Final = 32
# 32 random bytes have fewer than 16 different values once in 10^17 draws; "aaaa…" always has.
MIN_VARIETY: Final = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys between one controller and one host.

    Attributes:
        key_id: What signatures by them stand under: the controller's id, or `fleet`.
        command: Signs what the controller sends.
        report: Signs what the host sends.
    """

    key_id: str
    command: bytes = field(repr=False)
    report: bytes = field(repr=False)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Derive a key of 32 bytes: HKDF-SHA256 of RFC 5869, whose first block is all of it."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def derive(key_id: str, secret: bytes, prefix: str, host: str) -> Keys:
    """Derive the keys that a controller and a host use from the secret that they share.

    They differ by direction, so that a message which is sent back to its sender never verifies,
    and by host, so that those of a fleet do not verify each other.
    """
    salt = f"{prefix}/{host}".encode()
    return Keys(key_id, hkdf(secret, salt, b"pilot command"), hkdf(secret, salt, b"pilot report"))


def sign(key: bytes, topic: str, body: bytes) -> str:
    """Sign the body of an envelope for the topic that it is published on.

    Neither the first line nor the topic can hold a line feed, so the three parts cannot be cut
    anywhere else.
    """
    return hmac.digest(key, f"pilot/2\n{topic}\n".encode() + body, "sha256").hex()


def verify(key: bytes, topic: str, body: bytes, signature: object) -> bool:
    """Tell whether a body was signed with a key for a topic, in a time that tells nothing."""
    return is_signature(signature) and hmac.compare_digest(sign(key, topic, body), signature)


def fleet_secret(text: str) -> bytes:
    """Read a fleet key as users write it: base64 of 32 random bytes or more.

    Only base64 is taken, which keeps out sentences: against one recorded message, sentences can
    be tried without a limit.

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
    if len(set(secret)) < MIN_VARIETY:
        raise ValueError(f"this fleet key is not random; {advice}")
    return secret
