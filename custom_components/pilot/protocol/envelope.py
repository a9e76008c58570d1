"""Signed messages: those of hosts, for all their controllers, and those of one controller."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .encoding import dump, load_object
from .errors import ProtocolError
from .signing import Keys, sign, verify
from .validation import (
    MAX_COMMAND,
    MAX_ENVELOPE,
    MAX_SIGNATURES,
    PROTOCOL,
    check_protocol,
    is_key_id,
    is_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Envelope(NamedTuple):
    """A message of a host, not verified; without signatures it came as a bare body."""

    body: bytes
    signatures: Mapping[str, object]


class ControllerEnvelope(NamedTuple):
    """A message of a controller, which has signed it with one key; not verified.

    Attributes:
        body: The text that is signed.
        key_id: The key that it says it is signed with.
        signature: The signature.
    """

    body: str
    key_id: str
    signature: str


def seal(topic: str, body: str, keys: Mapping[str, bytes]) -> str:
    """Put a body into an envelope that every key has signed; without keys it stays bare."""
    if not keys:
        return body
    signatures = {key_id: sign(key, topic, body.encode()) for key_id, key in keys.items()}
    return dump({"protocol": PROTOCOL, "body": body, "signatures": signatures})


# --- What hosts send -------------------------------------------------------------------------


def open_envelope(payload: bytes, limit: int) -> Envelope:
    """Take the envelope off a host's message, if it has one; nothing is verified.

    Args:
        payload: The message.
        limit: The most bytes that the body may have.

    Raises:
        ProtocolError: It is too large, or a malformed envelope.
    """
    if len(payload) > MAX_ENVELOPE:
        raise ProtocolError("size", f"{len(payload)} bytes are more than {MAX_ENVELOPE}")
    # No bare body has a field of this name, and looking for it costs less than reading twice.
    if b'"signatures"' not in payload:
        return Envelope(payload, MappingProxyType({}))
    data = load_object(payload, MAX_ENVELOPE)
    if "signatures" not in data:
        return Envelope(payload, MappingProxyType({}))
    return read_envelope(data, limit)


def read_envelope(data: Mapping[str, Any], limit: int) -> Envelope:
    """Read a host's envelope from its JSON; nothing is verified.

    Raises:
        ProtocolError: It is too large, or malformed.
    """
    check_protocol(data)
    signatures, body = data.get("signatures"), data.get("body")
    if (
        not isinstance(signatures, dict)
        or not 0 < len(signatures) <= MAX_SIGNATURES
        or not isinstance(body, str)
    ):
        raise ProtocolError("envelope", "not an envelope")
    content = body.encode()
    if len(content) > limit:
        raise ProtocolError("size", f"{len(content)} bytes are more than {limit}")
    return Envelope(content, MappingProxyType(signatures))


def verified(keys: Keys, topic: str, payload: bytes, limit: int) -> bytes:
    """Return the body of a message that a host signed for these keys.

    Raises:
        ProtocolError: It is no envelope (`unsigned`), not meant for this controller
            (`not_signed_for_us`), or was not written by the host (`bad_signature`).
    """
    return verified_body(keys, topic, open_envelope(payload, limit))


def verified_body(keys: Keys, topic: str, envelope: Envelope) -> bytes:
    """Return the body of an envelope that was opened, if the host signed it for these keys.

    Raises:
        ProtocolError: As `verified()` does.
    """
    if not envelope.signatures:
        raise ProtocolError("unsigned", "it is not signed, and the host is paired")
    if (signature := envelope.signatures.get(keys.key_id)) is None:
        raise ProtocolError("not_signed_for_us", "it is signed, but not for this controller")
    if not verify(keys.report, topic, envelope.body, signature):
        raise ProtocolError("bad_signature", "its signature is not the host's")
    return envelope.body


# --- What controllers send -------------------------------------------------------------------


def parse_controller_envelope(payload: bytes, limit: int = MAX_COMMAND) -> ControllerEnvelope:
    """Read the envelope of a command or an acknowledgement.

    Args:
        payload: The message.
        limit: Bytes that it may have.

    Raises:
        ProtocolError: It is not an envelope with exactly one signature.
    """
    data = load_object(payload, limit)
    check_protocol(data)
    body, signatures = data.get("body"), data.get("signatures")
    if not isinstance(body, str):
        raise ProtocolError("envelope", "body is not text")
    if not isinstance(signatures, dict) or len(signatures) != 1:
        raise ProtocolError("envelope", "not exactly one signature")
    [(key_id, signature)] = signatures.items()
    if not is_key_id(key_id):
        raise ProtocolError("envelope", "signature stands under no key id")
    if not is_signature(signature):
        raise ProtocolError("envelope", "signature is not 64 hexadecimal digits")
    return ControllerEnvelope(body, key_id, signature)
