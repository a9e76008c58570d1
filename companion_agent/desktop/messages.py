"""What agent and session helper say to each other: one JSON object a line.

`docs/protocol.md`, "Local", is the document. Pure, and of the standard library only: both ends of
every system's transport use it. Messages are named tuples, which start in a third of the time that
dataclasses take. A thing of a desktop is named by a *name* within its domain and by
*of*, which tells several of it apart (a monitor); *of* is empty where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.protocol.errors import ProtocolError
from companion_agent.protocol.validation import SEGMENT

if TYPE_CHECKING:
    from companion_agent.models import Value

VERSION = 1
"""Of these messages; a side that hears of another one says so and hangs up."""

MAX_MESSAGE = 512 * 1024
"""Bytes of a line: a picture of 256 KiB in base64, and what is said of it."""
MAX_THINGS = 64
"""Readings, or commands, of one domain."""
MAX_TEXT = 255
MAX_OPTIONS = 64
"""Texts that a command can choose from."""
MAX_DATA = 32
MAX_DOMAINS = 32


class Thing(NamedTuple):
    """One reading or command of a domain."""

    name: str
    of: str = ""


class Offer(NamedTuple):
    """What a helper can do in one domain; nothing at all where both tuples are empty.

    Attributes:
        readings: What it reads.
        commands: What it carries out.
        way: By what it does so ("wlr-output-power-management"), for `pilot-agent doctor`.
        why: What it cannot do here and why, by name; by an empty name why it can do nothing.
        options: What a command that chooses can choose now.
    """

    readings: tuple[Thing, ...] = ()
    commands: tuple[Thing, ...] = ()
    way: str = ""
    why: Mapping[str, str] = MappingProxyType({})
    options: Mapping[Thing, tuple[str, ...]] = MappingProxyType({})

    @property
    def empty(self) -> bool:
        """Whether nothing is offered."""
        return not self.readings and not self.commands


class Hello(NamedTuple):
    """The first message of a helper: the version of these messages, and its own."""

    protocol: int
    version: str


class Offered(NamedTuple):
    """A helper can do something else in a domain than it said before."""

    domain: str
    offer: Offer


class Values(NamedTuple):
    """Readings that have changed; `None` says that one cannot be read now."""

    domain: str
    values: Mapping[Thing, Value]


class Happened(NamedTuple):
    """Something happened in a domain."""

    domain: str
    type: str
    data: Mapping[str, Value]


class Outcome(NamedTuple):
    """What became of a call; `reason` and `detail` are empty when it was done."""

    call: int
    reason: str = ""
    detail: str = ""
    data: Mapping[str, Any] = MappingProxyType({})


class Welcome(NamedTuple):
    """The agent has admitted the helper.

    Attributes:
        protocol: The version of these messages.
        version: The agent's own.
        session: Which session it is.
        domains: What the host's configuration says of domains, by their name; `None` for one that
            is not wanted, of which nothing is to be looked at.
    """

    protocol: int
    version: str
    session: str
    domains: Mapping[str, Mapping[str, Any] | None] = MappingProxyType({})


class Refused(NamedTuple):
    """The agent has not admitted the helper, and hangs up."""

    reason: str
    detail: str


class Call(NamedTuple):
    """A command that the helper is to carry out.

    Attributes:
        id: Names it in its outcome.
        domain: Whose it is.
        command: What to do.
        args: Its arguments, checked by the agent.
        within: Seconds after which the agent waits no longer.
    """

    id: int
    domain: str
    command: Thing
    args: Mapping[str, Any]
    within: float


FromHelper = Hello | Offered | Values | Happened | Outcome
FromAgent = Welcome | Refused | Call


def encode_message(message: FromHelper | FromAgent) -> dict[str, Any]:
    """Return what is sent for a message."""
    match message:
        case Hello():
            return {"hello": {"protocol": message.protocol, "version": message.version}}
        case Offered():
            offer = message.offer
            return {
                "offer": message.domain,
                "readings": [list(thing) for thing in offer.readings],
                "commands": [list(thing) for thing in offer.commands],
                "way": offer.way,
                "why": dict(offer.why),
                "options": [[*thing, list(texts)] for thing, texts in offer.options.items()],
            }
        case Values():
            values = [[*thing, value] for thing, value in message.values.items()]
            return {"values": message.domain, "of": values}
        case Happened():
            return {"event": message.domain, "type": message.type, "data": dict(message.data)}
        case Outcome():
            outcome: dict[str, Any] = {"outcome": message.call, "data": dict(message.data)}
            if message.reason:
                outcome["error"] = [message.reason, message.detail]
            return outcome
        case Welcome():
            return {
                "welcome": {
                    "protocol": message.protocol,
                    "version": message.version,
                    "session": message.session,
                    "domains": dict(message.domains),
                }
            }
        case Refused():
            return {"refused": message.reason, "detail": message.detail}
        case Call():
            return {
                "call": message.id,
                "domain": message.domain,
                "command": list(message.command),
                "args": dict(message.args),
                "within": message.within,
            }


def parse_from_helper(message: Mapping[str, Any]) -> FromHelper | None:
    """Read what a helper says; `None` for what this version does not know.

    Raises:
        ProtocolError: It breaks a rule.
    """
    if "hello" in message:
        hello = _mapping(message["hello"])
        return Hello(_whole(hello.get("protocol")), _text(hello.get("version"), 64))
    if "offer" in message:
        return Offered(_domain(message["offer"]), _offer(message))
    if "values" in message:
        return Values(_domain(message["values"]), _values(message.get("of")))
    if "event" in message:
        data = _data(message.get("data"))
        simple = {_segment(name): _value(value) for name, value in data.items()}
        return Happened(_domain(message["event"]), _segment(message.get("type")), simple)
    if "outcome" in message:
        reason, detail = _error(message.get("error"))
        return Outcome(_whole(message["outcome"]), reason, detail, _data(message.get("data")))
    return None


def parse_from_agent(message: Mapping[str, Any]) -> FromAgent | None:
    """Read what the agent says; `None` for what this version does not know.

    Raises:
        ProtocolError: It breaks a rule.
    """
    if "welcome" in message:
        welcome = _mapping(message["welcome"])
        return Welcome(
            _whole(welcome.get("protocol")),
            _text(welcome.get("version"), 64),
            _text(welcome.get("session")),
            _domains(welcome.get("domains")),
        )
    if "refused" in message:
        return Refused(_segment(message["refused"]), _text(message.get("detail"), 4096))
    if "call" in message:
        within = message.get("within")
        if isinstance(within, bool) or not isinstance(within, (int, float)) or not within > 0:
            raise ProtocolError("call", "within is not a time")
        return Call(
            _whole(message["call"]),
            _domain(message.get("domain")),
            _thing(message.get("command")),
            _mapping(message.get("args")),
            float(within),
        )
    return None


def _offer(message: Mapping[str, Any]) -> Offer:
    why = _mapping(message.get("why", {}))
    if len(why) > MAX_THINGS:
        raise ProtocolError("size", "too many reasons")
    return Offer(
        _things(message.get("readings")),
        _things(message.get("commands")),
        _text(message.get("way", "")),
        {_text(name, 48): _text(reason, 1024) for name, reason in why.items()},
        _options(message.get("options", [])),
    )


def _options(found: object) -> dict[Thing, tuple[str, ...]]:
    if not isinstance(found, list) or len(found) > MAX_THINGS:
        raise ProtocolError("options", f"not a list of up to {MAX_THINGS}")
    options = {}
    for one in found:
        if not isinstance(one, list) or len(one) != 3 or not isinstance(one[2], list):
            raise ProtocolError("options", "not a name, what it is of, and a list of texts")
        if len(one[2]) > MAX_OPTIONS:
            raise ProtocolError("options", f"more than {MAX_OPTIONS} of a command")
        options[_thing(one[:2])] = tuple(_text(text) for text in one[2])
    return options


def _things(found: object) -> tuple[Thing, ...]:
    if not isinstance(found, list) or len(found) > MAX_THINGS:
        raise ProtocolError("things", f"not a list of up to {MAX_THINGS}")
    things = tuple(_thing(one) for one in found)
    if len(set(things)) < len(things):
        raise ProtocolError("things", "one is there twice")
    return things


def _thing(found: object) -> Thing:
    if not isinstance(found, list) or len(found) != 2:
        raise ProtocolError("thing", "not a name and what it is of")
    return Thing(_segment(found[0]), _text(found[1], 128))


def _values(found: object) -> dict[Thing, Value]:
    if not isinstance(found, list) or len(found) > MAX_THINGS:
        raise ProtocolError("values", f"not a list of up to {MAX_THINGS}")
    values = {}
    for one in found:
        if not isinstance(one, list) or len(one) != 3:
            raise ProtocolError("values", "not a name, what it is of, and a value")
        values[_thing(one[:2])] = _value(one[2])
    return values


def _value(found: object) -> Value:
    if found is None or isinstance(found, bool):
        return found
    if isinstance(found, (int, float)):
        if not math.isfinite(found) or abs(found) >= 1e15:
            raise ProtocolError("value", "not a number of that size")
        return found
    return _text(found)


def _domains(found: object) -> dict[str, Mapping[str, Any] | None]:
    domains = _mapping({} if found is None else found)
    return {
        _domain(name): None if settings is None else _mapping(settings)
        for name, settings in domains.items()
    }


def _data(found: object) -> Mapping[str, Any]:
    data = _mapping({} if found is None else found)
    if len(data) > MAX_DATA:
        raise ProtocolError("size", "too many fields")
    return data


def _error(found: object) -> tuple[str, str]:
    if found is None:
        return "", ""
    if not isinstance(found, list) or len(found) != 2:
        raise ProtocolError("error", "not a reason and what it means")
    return _segment(found[0]), _text(found[1], 1024)


def _domain(found: object) -> str:
    return _segment(found)


def _segment(found: object) -> str:
    text = _text(found, 48)
    if not SEGMENT.fullmatch(text):
        raise ProtocolError("name", "has other characters than a-z, 0-9, _ and -")
    return text


def _text(found: object, longest: int = MAX_TEXT) -> str:
    if not isinstance(found, str) or len(found) > longest or "\0" in found:
        raise ProtocolError("text", f"not a text of up to {longest} characters")
    return found


def _whole(found: object) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**53:
        raise ProtocolError("number", "not a whole number")
    return found


def _mapping(found: object) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ProtocolError("object", "not a JSON object")
    return found
