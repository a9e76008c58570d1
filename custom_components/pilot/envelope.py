"""Signed messages: opening those of hosts, sealing those for them."""

from dataclasses import dataclass
import json
from typing import TYPE_CHECKING, Any, Final

import orjson

from .keys import Keys, sign, verify
from .protocol import (
    MAX_NUMBER,
    MAX_TEXT,
    PROTOCOL,
    Envelope,
    Order,
    ProtocolError,
    load_object,
    open_envelope,
    parse_sequence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RESULT: Final = 16 * 1024
MAX_EVENT: Final = 16 * 1024
_MAX_EVENT_DATA = 32
_MAX_COUNTS = 100
_MAX_NUMBER = 2**53

STATUSES: Final = ("done", "failed", "rejected")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command.

    Attributes:
        id: The request's id.
        session: The host's session.
        controller: Who asked.
        status: `done`, `failed` or `rejected`.
        reason: Why not, in one word.
        detail: The same in words of the host.
        time: The host's clock.
        dry_run: Whether the host only rehearsed it.
        counter: After `replayed`: the last counter that it accepted.
        refused: After `trust.verify`: how many messages it has refused, by what and why.
    """

    id: str
    session: str
    controller: str
    status: str
    reason: str
    detail: str
    time: float
    dry_run: bool = False
    counter: int | None = None
    refused: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class HostEvent:
    """Something that happened on a host."""

    ts: float
    session: str
    sequence: Order
    type: str
    data: Mapping[str, Any]


def verified(keys: Keys, topic: str, payload: bytes, limit: int) -> bytes:
    """Return the body of a message that a host signed for these keys.

    Raises:
        ProtocolError: It is no envelope (`unsigned`), not meant for this Home Assistant
            (`not_signed_for_us`), or was not written by the host (`bad_signature`).
    """
    envelope = open_envelope(payload, limit)
    if not envelope.signatures:
        raise ProtocolError("unsigned", "it is not signed, and the host is paired")
    return verified_body(keys, topic, envelope)


def verified_body(keys: Keys, topic: str, envelope: Envelope) -> bytes:
    """Return the body of an envelope that was opened, if the host signed it for these keys."""
    if (signature := envelope.signatures.get(keys.key_id)) is None:
        raise ProtocolError("not_signed_for_us", "it is signed, but not for this Home Assistant")
    if not verify(keys.report, topic, envelope.body, signature):
        raise ProtocolError("bad_signature", "its signature is not the host's")
    return envelope.body


def seal(keys: Keys, topic: str, body: Mapping[str, Any]) -> bytes:
    """Sign what is to be asked of a host."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return orjson.dumps(
        {
            "protocol": PROTOCOL,
            "body": text,
            "signatures": {keys.key_id: sign(keys.command, topic, text.encode())},
        }
    )


def parse_result(body: bytes) -> Result:
    """Read the body of a result."""
    data = load_object(body, MAX_RESULT)
    status, counter = data.get("status"), data.get("counter")
    if status not in STATUSES:
        raise ProtocolError("status", "status is not done, failed or rejected")
    if counter is not None and (type(counter) is not int or not 0 <= counter < _MAX_NUMBER):
        raise ProtocolError("counter", "counter is not a whole number")
    refused = data.get("refused")
    if refused is not None:
        _check_counts(refused)
    return Result(
        id=_text(data, "id"),
        session=_text(data, "session"),
        controller=_text(data, "controller"),
        status=status,
        reason=_text(data, "reason"),
        detail=_text(data, "detail"),
        time=_number(data, "time"),
        dry_run=data.get("dry_run") is True,
        counter=counter,
        refused=refused,
    )


def parse_event(body: bytes) -> HostEvent:
    """Read the body of an event."""
    data = load_object(body, MAX_EVENT)
    details = data.get("data", {})
    if type(details) is not dict or len(details) > _MAX_EVENT_DATA:
        raise ProtocolError("data", f"data is not an object of at most {_MAX_EVENT_DATA}")
    for value in details.values():
        if type(value) is str:
            if len(value) > MAX_TEXT:
                raise ProtocolError("data", "a text in data is too long")
        elif value is not None and type(value) not in (bool, int, float):
            raise ProtocolError("data", "something in data is not a simple value")
    return HostEvent(
        ts=_number(data, "ts"),
        session=_text(data, "session"),
        sequence=parse_sequence(data),
        type=_text(data, "type"),
        data=details,
    )


def _check_counts(counts: object) -> None:
    if type(counts) is not dict or len(counts) > _MAX_COUNTS:
        raise ProtocolError("refused", f"refused is not an object of at most {_MAX_COUNTS}")
    for name, count in counts.items():
        if len(name) > MAX_TEXT or type(count) is not int or not 0 <= count < _MAX_NUMBER:
            raise ProtocolError("refused", "refused holds something else than numbers")


def _text(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field, "")
    if type(value) is not str or len(value) > MAX_TEXT or "\0" in value:
        raise ProtocolError(field, f"{field} is not a text of at most {MAX_TEXT} characters")
    return value


def _number(data: Mapping[str, Any], field: str) -> float:
    value: Any = data.get(field)
    if type(value) not in (int, float) or not -MAX_NUMBER < value < MAX_NUMBER:
        raise ProtocolError(field, f"{field} is not a number")
    return float(value)
