"""Acknowledgements of the backlog: who has really got what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.protocol.backlog import parse_acknowledgement
from companion_agent.protocol.encoding import load_object
from companion_agent.protocol.envelope import parse_controller_envelope
from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.validation import MAX_ACKNOWLEDGEMENT

if TYPE_CHECKING:
    from companion_agent.security.audit import AuditLog
    from companion_agent.security.keyring import KeyRing


class Acknowledgement(NamedTuple):
    """A receiver has a chunk, and keeps it.

    Attributes:
        chunk: The chunk's id.
        key_id: The key that says so; empty while this host is not paired.
    """

    chunk: str
    key_id: str


class _RefusedError(Exception):
    """An acknowledgement that is not proved by a key; the reason, and what is wrong."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Acknowledgements:
    """Believes acknowledgements, or records why not.

    Attributes:
        refused: How many were refused, by reason; the reasons are those of commands.

    Args:
        ring: The keys.
        audit: The record.
    """

    def __init__(self, ring: KeyRing, audit: AuditLog) -> None:
        self.refused: Counter[str] = Counter()
        self._ring = ring
        self._audit = audit

    def read(self, topic: str, payload: bytes, *, retained: bool) -> Acknowledgement | None:
        """Read an acknowledgement; `None` when it is refused.

        Args:
            topic: Where it was published.
            payload: What was published.
            retained: Whether the broker had kept it.
        """
        try:
            return self._read(topic, payload, retained=retained)
        except _RefusedError as refusal:
            self.refused[refusal.reason] += 1
            self._audit.write_stranger("acknowledge", refusal.reason, detail=refusal.detail)
            return None

    def _read(self, topic: str, payload: bytes, *, retained: bool) -> Acknowledgement:
        if retained:
            raise _RefusedError("retained", "acknowledgements must not be retained")
        try:
            content = load_object(payload, MAX_ACKNOWLEDGEMENT)
            if not self._ring.ids and "signatures" not in content:
                return Acknowledgement(parse_acknowledgement(payload), "")
            envelope = parse_controller_envelope(payload)
            chunk = parse_acknowledgement(envelope.body.encode(), envelope.key_id)
        except ProtocolError as error:
            raise _RefusedError("malformed", str(error)) from None
        if reason := self._ring.refusal(topic, envelope):
            raise _RefusedError(reason, f"signed by {envelope.key_id}")
        return Acknowledgement(chunk, envelope.key_id)
