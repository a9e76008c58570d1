"""Keys and signatures: pure functions over bytes."""

import base64
import binascii
from dataclasses import dataclass, field
import hmac
import re
from typing import Final

SECRET_SIZE: Final = 32
FLEET: Final = "fleet"

_CONTROLLER = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")

# 32 random bytes have fewer than 16 different values once in 10^17 draws; "aaaa…" always has.
_FLEET_VARIETY = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The two keys between this Home Assistant and one host.

    Attributes:
        key_id: What signatures by them stand under.
        command: Signs what is asked of the host.
        report: Signs what the host says.
    """

    key_id: str
    command: bytes = field(repr=False)
    report: bytes = field(repr=False)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Derive a key of 32 bytes: HKDF-SHA256 of RFC 5869, whose first block is all of it."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def derive(key_id: str, secret: bytes, prefix: str, host_id: str) -> Keys:
    """Derive the keys from the secret that both sides share.

    They differ by direction, so that a message which is sent back to its sender never
    verifies, and by host, so that those of a fleet do not verify each other.
    """
    salt = f"{prefix}/{host_id}".encode()
    return Keys(key_id, hkdf(secret, salt, b"pilot command"), hkdf(secret, salt, b"pilot report"))


def sign(key: bytes, topic: str, body: bytes) -> str:
    """Sign the body of an envelope for the topic that it is published on.

    Neither the first line nor the topic can hold a line feed, so the three parts cannot be
    cut anywhere else.
    """
    return hmac.digest(key, f"pilot/2\n{topic}\n".encode() + body, "sha256").hex()


def verify(key: bytes, topic: str, body: bytes, signature: object) -> bool:
    """Say whether a body was signed with a key for a topic, in a time that tells nothing."""
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        return False
    return hmac.compare_digest(sign(key, topic, body), signature)


def is_controller(text: object) -> bool:
    """Say whether something has the form of a controller's id."""
    return isinstance(text, str) and _CONTROLLER.fullmatch(text) is not None


def fleet_secret(text: str) -> bytes:
    """Read a fleet key as people write it: base64 of 32 random bytes or more.

    Only base64 is taken, so that nobody types a sentence: whoever records one message can
    try sentences against it for as long as they like.

    Raises:
        ValueError: It is not such a key.
    """
    try:
        secret = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error) as err:
        raise ValueError("not base64") from err
    if len(secret) < SECRET_SIZE:
        raise ValueError("too short")
    if len(set(secret)) < _FLEET_VARIETY:
        raise ValueError("not random")
    return secret
