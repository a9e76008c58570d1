"""What signed messages look like: writing those of a host, reading those of a controller."""

from __future__ import annotations

from dataclasses import dataclass
import json
import math
import re
from typing import TYPE_CHECKING, Any

from companion_agent.security.keys import (
    FLEET,
    is_controller,
    is_key_id,
    is_signature,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL = 2
MAX_COMMAND = 16 * 1024
MAX_PAIRING = 4 * 1024

_TOKEN = re.compile(r"[a-z0-9]{8,64}")
_ARGUMENT = re.compile(r"[a-z0-9_]{1,64}")
# Whole numbers that every reader of JSON keeps exact (RFC 8259, section 6).
_MAX_COUNTER = 2**53 - 1
_MAX_TIME = 1e15
_MAX_ARGUMENTS = 32


class MalformedError(ValueError):
    """A message breaks a rule of the protocol; the text says which."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed message that has been read, but not verified.

    Attributes:
        body: The text that is signed.
        key_id: The key that it says it is signed with.
        signature: The signature.
    """

    body: str
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a controller asks for.

    Attributes:
        id: The request's own id.
        controller: Who asks.
        session: The start of the agent that it is meant for.
        counter: Its place in the order of that controller's requests.
        time: When it was signed, in seconds since 1970 by the controller's clock.
        args: The command's arguments, unchecked.
    """

    id: str
    controller: str
    session: str
    counter: int
    time: float
    args: Mapping[str, Any]


def dump(value: object) -> str:
    """Write JSON the short way, as everything on the wire is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def seal(topic: str, body: str, keys: Mapping[str, bytes]) -> str:
    """Put a body into an envelope that every key has signed; without keys it stays bare."""
    if not keys:
        return body
    signatures = {key_id: sign(key, topic, body) for key_id, key in keys.items()}
    return dump({"protocol": PROTOCOL, "body": body, "signatures": signatures})


def parse_envelope(payload: bytes) -> Envelope:
    """Read the envelope of a command.

    Raises:
        MalformedError: It is not an envelope with one signature.
    """
    content = parse_object(payload, MAX_COMMAND)
    protocol: Any = content.get("protocol")
    body: Any = content.get("body")
    signatures: Any = content.get("signatures")
    _require(_is_int(protocol) and protocol == PROTOCOL, "protocol is not 2")
    _require(isinstance(body, str), "body is not text")
    _require(isinstance(signatures, dict) and len(signatures) == 1, "not exactly one signature")
    [(key_id, signature)] = signatures.items()
    _require(is_key_id(key_id), "signature stands under no key id")
    _require(is_signature(signature), "signature is not 64 hexadecimal digits")
    _require(_is_utf8(body), "body is not valid text")
    return Envelope(body, key_id, signature)


def parse_request(envelope: Envelope) -> Request:
    """Read the body of a command's envelope.

    Raises:
        MalformedError: The body breaks a rule.
    """
    content = parse_object(envelope.body.encode(), MAX_COMMAND)
    controller: Any = content.get("controller")
    counter: Any = content.get("counter")
    moment: Any = content.get("time")
    args: Any = content.get("args", {})
    _require(_is_token(content.get("id")), "id is not 8 to 64 letters and digits")
    _require(is_controller(controller), "controller is not 16 hexadecimal digits")
    _require(envelope.key_id in (controller, FLEET), "controller is not the one that signs")
    _require(_is_token(content.get("session")), "session is not 8 to 64 letters and digits")
    _require(_is_int(counter) and 0 < counter <= _MAX_COUNTER, "counter is out of range")
    _require(_is_number(moment) and abs(moment) < _MAX_TIME, "time is not a number")
    _require(isinstance(args, dict) and len(args) <= _MAX_ARGUMENTS, "args is not a short object")
    _require(all(_ARGUMENT.fullmatch(name) for name in args), "an argument has no proper name")
    return Request(content["id"], controller, content["session"], counter, float(moment), args)


def parse_object(payload: bytes, limit: int) -> dict[str, Any]:
    """Read a JSON object of limited size.

    Raises:
        MalformedError: It is something else.
    """
    _require(len(payload) <= limit, "too long")
    try:
        content = json.loads(payload.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    _require(isinstance(content, dict), "not an object")
    return content  # type: ignore[no-any-return]


def _require(rule: object, broken: str) -> None:
    if not rule:
        raise MalformedError(broken)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _is_utf8(text: str) -> bool:
    """Tell whether a text can be signed: JSON may escape half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
