"""What a host and a controller send: availability, state, events, requests and results."""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_right
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .encoding import decode_json, dump, load_object
from .errors import ProtocolError
from .validation import (
    FLEET,
    MAX_ARGUMENTS,
    MAX_AVAILABILITY,
    MAX_AVAILABILITY_BODY,
    MAX_COMMAND,
    MAX_EVENT,
    MAX_EVENT_DATA,
    MAX_FIELD_ERRORS,
    MAX_KEY,
    MAX_NUMBER,
    MAX_OUTPUT,
    MAX_PICTURE,
    MAX_REFUSED_COUNTS,
    MAX_RESULT,
    MAX_STATE,
    MAX_TEXT,
    MAX_WHOLE,
    Order,
    Value,
    as_object,
    clean_text,
    clean_value,
    get_number,
    get_object,
    get_optional_text,
    get_sequence,
    get_session,
    get_text,
    is_argument_name,
    is_controller,
    is_number,
    is_token,
    is_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .envelope import ControllerEnvelope

BIRTH_ONLINE: Final = b"online"
"""Home Assistant's birth message, unless configured otherwise there."""
BIRTH_OFFLINE: Final = b"offline"

SIGNED_STATES: Final = frozenset({"session"})
"""Collectors whose values a paired host signs: they decide over the door of a house."""

STATUSES: Final = ("done", "failed", "rejected")

REASONS: Final = (
    "retained",
    "malformed",
    "not_paired",
    "bad_signature",
    "wrong_session",
    "replayed",
    "too_old",
    "unknown_command",
    "not_allowed",
    "bad_arguments",
    "cooling_down",
    "not_permitted",
    "stale",
)
"""Why a request is rejected, in the order in which a host checks it; the last one is said by the
command itself."""

FIELD_REASONS: Final = ("invalid", "fixed", "not_settable")
"""Why a field was refused: its value is none that it can have; the host's own file or environment
sets it; controllers may not set it."""

SEARCH_SPREAD: Final = 10.0
"""Seconds over which hosts spread their answers to a search that does not say."""
MAX_SEARCH_SPREAD: Final = 60.0

_STATE_START, _STATE_END = b'{"collectors":{', b"}}"


class Availability(StrEnum):
    """Whether a host is online, as it says itself; `lost` is its will."""

    ONLINE = "online"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"


class State(NamedTuple):
    """What a collector read, and when: seconds since 1970 UTC by the host's clock."""

    ts: float
    values: Mapping[str, Value]


class HostEvent(NamedTuple):
    """Something that happened on a host.

    Attributes:
        ts: When, in seconds since 1970 UTC by the host's clock.
        session: The start of the agent.
        sequence: Its place among the host's events.
        type: What happened.
        data: Details: texts, numbers, booleans.
    """

    ts: float
    session: str
    sequence: Order
    type: str
    data: Mapping[str, Any]

    def body(self) -> str:
        """Write the body of the message."""
        return dump(
            {
                "ts": round(self.ts, 3),
                "session": self.session,
                "sequence": list(self.sequence),
                "type": self.type,
                "data": dict(self.data),
            }
        )


class Request(NamedTuple):
    """A controller's request for a command.

    Attributes:
        id: The request's own id.
        controller: Which controller asks.
        session: The start of the agent that it is meant for.
        counter: Its place in the order of that controller's requests.
        time: When it was signed, in seconds since 1970 UTC by the controller's clock.
        args: The command's arguments, unchecked.
    """

    id: str
    controller: str
    session: str
    counter: int
    time: float
    args: Mapping[str, Any]

    def body(self) -> str:
        """Write the body of the message."""
        return dump(
            {
                "id": self.id,
                "controller": self.controller,
                "session": self.session,
                "counter": self.counter,
                "time": round(self.time, 3),
                "args": dict(self.args),
            }
        )


class FieldError(NamedTuple):
    """What is wrong with one field of a form.

    Attributes:
        reason: One of `FIELD_REASONS`.
        detail: The same in words of the host.
    """

    reason: str
    detail: str = ""


class Result(NamedTuple):
    """What became of a request.

    Attributes:
        id: The request's id.
        session: The host's session.
        controller: Which controller asked.
        status: `done`, `failed` or `rejected`.
        reason: Why not: one of `REASONS`, or `failed`.
        detail: The same in words of the host.
        time: The host's clock, in seconds since 1970 UTC.
        dry_run: Whether the host only rehearsed it.
        counter: After `replayed`: the last counter that the host accepted.
        refused: After `trust.verify`: how many messages it has refused, by what and why.
        output: What the command has printed; `None` when that says nothing.
        truncated: Whether that is only its beginning.
        data: A picture that the command was asked for.
        errors: After `bad_arguments`: what is wrong with single fields, by their keys.
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
    output: str | None = None
    truncated: bool = False
    data: bytes = b""
    errors: Mapping[str, FieldError] = MappingProxyType({})

    def body(self) -> str:
        """Write the body of the message."""
        content: dict[str, Any] = {
            "id": self.id,
            "session": self.session,
            "controller": self.controller,
            "status": self.status,
            "reason": self.reason,
            "detail": clean_text(self.detail),
            "time": round(self.time, 3),
            "dry_run": self.dry_run,
        }
        if self.counter is not None:
            content["counter"] = self.counter
        if self.refused is not None:
            content["refused"] = dict(self.refused)
        if self.output is not None:
            content["output"] = _fitting(self.output)
            content["truncated"] = self.truncated or content["output"] != self.output
        if self.errors:
            content["errors"] = {
                key: {"reason": error.reason, "detail": clean_text(error.detail)}
                for key, error in list(self.errors.items())[:MAX_FIELD_ERRORS]
            }
        if self.data:
            content["data"] = b64encode(self.data).decode("ascii")
        return dump(content)


# --- Availability ----------------------------------------------------------------------------


def availability_body(availability: str, ts: float, session: str, sequence: Order) -> str:
    """Write the body of a signed availability.

    Args:
        availability: One of the four words.
        ts: Seconds since 1970 UTC by the host's clock.
        session: The start of the agent.
        sequence: Its place among everything that the host says about it.
    """
    return dump(
        {
            "ts": round(ts, 3),
            "session": session,
            "sequence": list(sequence),
            "availability": availability,
        }
    )


def parse_availability(payload: bytes) -> tuple[Availability, Order | None]:
    """Read an availability: bare, or the body of a signed one, which has a place in an order.

    Raises:
        ProtocolError: It is something else.
    """
    if payload[:1] != b"{":
        return parse_availability_word(payload), None
    data = load_object(payload, MAX_AVAILABILITY_BODY)
    word = get_text(data, "availability")
    return parse_availability_word(word.encode()), get_sequence(data)


def parse_availability_word(payload: bytes) -> Availability:
    """Read one of the four words.

    Raises:
        ProtocolError: It is something else.
    """
    if len(payload) > MAX_AVAILABILITY:
        raise ProtocolError("size", f"{len(payload)} bytes are more than {MAX_AVAILABILITY}")
    try:
        return Availability(payload.decode("ascii"))
    except ValueError:
        raise ProtocolError("availability", "not an availability") from None


# --- State -----------------------------------------------------------------------------------


def collector_state(read_at: float, values: Mapping[str, Value]) -> bytes:
    """Write a collector's part of the state; what no reader takes becomes `null`.

    Args:
        read_at: When they were read, seconds since 1970 UTC.
        values: The values by their keys within the collector.
    """
    cleaned = {key: clean_value(value) for key, value in values.items()}
    return dump({"ts": round(read_at, 3), "values": cleaned}).encode()


def search_payload(within: float) -> str:
    """Write a search: every host answers within so many seconds, each at its own moment."""
    return dump({"within": within})


def parse_search(payload: bytes) -> float:
    """Return the seconds over which answers to a search are spread, whatever was written."""
    try:
        within = get_number(load_object(payload, MAX_COMMAND), "within")
    except ProtocolError:
        return SEARCH_SPREAD
    return min(max(within, 0.0), MAX_SEARCH_SPREAD)


def state_payload(parts: Mapping[str, bytes], limit: float = MAX_STATE) -> tuple[bytes, list[str]]:
    """Put together the parts of the state, as far as a reader takes it.

    Args:
        parts: What `collector_state()` wrote, by collector.
        limit: How many bytes the payload may have, if that is less than a reader takes.

    Returns:
        The payload, and the collectors that there was no room for.
    """
    limit = min(limit, MAX_STATE)
    size = len(_STATE_START) + len(_STATE_END)
    taken, left = [], []
    for collector, part in parts.items():
        entry = b'"%s":%s' % (collector.encode(), part)
        if size + len(entry) + 1 > limit:
            left.append(collector)
            continue
        size += len(entry) + 1
        taken.append(entry)
    return _STATE_START + b",".join(taken) + _STATE_END, left


def _unopened(_: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
    return part


def parse_state(
    payload: bytes,
    open_part: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None] = _unopened,
    decode: Callable[[bytes], object] = decode_json,
) -> dict[str, State]:
    """Read what collectors read, by collector; none says that the topic was cleared.

    Args:
        payload: The message.
        open_part: Takes the envelope off the part of a collector that signs; `None` leaves it
            out.
        decode: Reads JSON, as strictly as `decode_json()`: a faster one, where there is one.

    Raises:
        ProtocolError: It is something else.
    """
    if not payload:
        return {}
    states: dict[str, State] = {}
    for name, item in get_object(load_object(payload, MAX_STATE, decode), "collectors").items():
        part = as_object(item, "collectors")
        opened = open_part(name, part) if name in SIGNED_STATES else part
        if opened is not None:
            states[name] = _state(opened)
    return states


def _state(data: Mapping[str, Any]) -> State:
    ts, values = data.get("ts"), data.get("values")
    if not is_number(ts):
        raise ProtocolError("ts", "ts is not a number")
    if not isinstance(values, dict):
        raise ProtocolError("values", "values is not an object")
    # This loop sees every value of every message, so it asks for the frequent first.
    for value in values.values():
        kind = type(value)
        if kind is float or kind is int:
            if not -MAX_NUMBER < value < MAX_NUMBER:
                raise ProtocolError("number", "a number is too large")
        elif kind is str:
            if len(value) > MAX_TEXT or "\0" in value:
                raise ProtocolError("text", "a text is too long or has a NUL in it")
        elif value is not None and kind is not bool:
            raise ProtocolError("value", "a value is neither number, boolean, text nor null")
    return State(ts, values)


# --- Events ----------------------------------------------------------------------------------


def parse_event(body: bytes) -> HostEvent:
    """Read the body of an event.

    Raises:
        ProtocolError: It is something else.
    """
    data = load_object(body, MAX_EVENT)
    details = data.get("data", {})
    if not isinstance(details, dict) or len(details) > MAX_EVENT_DATA:
        raise ProtocolError("data", f"data is not an object of at most {MAX_EVENT_DATA}")
    for value in details.values():
        if isinstance(value, str):
            if len(value) > MAX_TEXT:
                raise ProtocolError("data", "a text in data is too long")
        elif value is not None and not isinstance(value, (bool, int, float)):
            raise ProtocolError("data", "something in data is not a simple value")
    return HostEvent(
        ts=get_number(data, "ts"),
        session=get_optional_text(data, "session") or "",
        sequence=get_sequence(data),
        type=get_optional_text(data, "type") or "",
        data=details,
    )


# --- Requests and results --------------------------------------------------------------------


def parse_request(envelope: ControllerEnvelope) -> Request:
    """Read the body of a command's envelope, whose size was checked with the envelope's.

    Raises:
        ProtocolError: The body breaks a rule.
    """
    body = envelope.body.encode()
    data = load_object(body, len(body))
    request_id, controller = data.get("id"), data.get("controller")
    counter, moment, args = data.get("counter"), data.get("time"), data.get("args", {})
    if not is_token(request_id):
        raise ProtocolError("id", "id is not 8 to 64 letters and digits")
    if not is_controller(controller):
        raise ProtocolError("controller", "controller is not 16 hexadecimal digits")
    if envelope.key_id not in (controller, FLEET):
        raise ProtocolError("controller", "controller is not the one that signs")
    if not is_whole(counter) or not 0 < counter < MAX_WHOLE:
        raise ProtocolError("counter", "counter is out of range")
    if not is_number(moment):
        raise ProtocolError("time", "time is not a number")
    if not isinstance(args, dict) or len(args) > MAX_ARGUMENTS:
        raise ProtocolError("args", f"args is not an object of at most {MAX_ARGUMENTS}")
    if not all(is_argument_name(name) for name in args):
        raise ProtocolError("args", "an argument has no proper name")
    return Request(request_id, controller, get_session(data), counter, float(moment), args)


def parse_result(body: bytes) -> Result:
    """Read the body of a result.

    Raises:
        ProtocolError: It is something else.
    """
    data = load_object(body, MAX_RESULT)
    status, counter, refused = data.get("status"), data.get("counter"), data.get("refused")
    if status not in STATUSES:
        raise ProtocolError("status", "status is not done, failed or rejected")
    if counter is not None and not _is_count(counter):
        raise ProtocolError("counter", "counter is not a whole number")
    if refused is not None:
        _check_counts(refused)
    # What was not understood has neither an id nor a controller.
    texts = {
        name: get_optional_text(data, name) or ""
        for name in ("id", "session", "controller", "reason", "detail")
    }
    return Result(
        status=status,
        time=get_number(data, "time"),
        dry_run=data.get("dry_run") is True,
        counter=counter,
        refused=refused,
        output=(get_optional_text(data, "output", MAX_OUTPUT) or "") if "output" in data else None,
        truncated=data.get("truncated") is True,
        data=_picture(data["data"]) if "data" in data else b"",
        errors=_field_errors(data["errors"]) if "errors" in data else {},
        **texts,
    )


def _field_errors(errors: object) -> dict[str, FieldError]:
    if not isinstance(errors, dict) or len(errors) > MAX_FIELD_ERRORS:
        raise ProtocolError("errors", f"errors is not an object of at most {MAX_FIELD_ERRORS}")
    found = {}
    for key, error in errors.items():
        fields = as_object(error, "errors")
        if len(key) > MAX_KEY:
            raise ProtocolError("errors", "a key in errors is too long")
        found[key] = FieldError(
            get_text(fields, "reason"), get_optional_text(fields, "detail") or ""
        )
    return found


def _picture(encoded: object) -> bytes:
    if not isinstance(encoded, str):
        raise ProtocolError("data", "data is not a text")
    try:
        picture = b64decode(encoded, validate=True)
    except ValueError:
        raise ProtocolError("data", "data is not base64") from None
    if len(picture) > MAX_PICTURE:
        raise ProtocolError("data", f"data has more than {MAX_PICTURE} bytes")
    return picture


def _fitting(output: str) -> str:
    """Return as much of an output as a result has room for."""
    output = clean_text(output, MAX_OUTPUT)
    lengths = range(len(output) + 1)
    fits = bisect_right(lengths, MAX_OUTPUT, key=lambda n: len(dump(output[:n]).encode()))
    return output[: fits - 1]


def _check_counts(counts: object) -> None:
    if not isinstance(counts, dict) or len(counts) > MAX_REFUSED_COUNTS:
        raise ProtocolError("refused", f"refused is not an object of at most {MAX_REFUSED_COUNTS}")
    if not all(len(name) <= MAX_TEXT and _is_count(count) for name, count in counts.items()):
        raise ProtocolError("refused", "refused holds something else than numbers")


def _is_count(value: object) -> bool:
    return is_whole(value) and 0 <= value < MAX_WHOLE
