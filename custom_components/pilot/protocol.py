"""The reader's half of protocol 2: bytes in, frozen values or `ProtocolError` out.

Nothing of Home Assistant is used here, and nothing here does I/O. What is allowed is
written in docs/protocol.md; the vectors in tests/contract hold both halves to it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
import re
from types import MappingProxyType
from typing import Any, Final

import orjson

PROTOCOL: Final = 2

MAX_ANNOUNCE: Final = 256 * 1024
MAX_ENVELOPE: Final = 512 * 1024
"""An announce of the largest size, written as a text in JSON, and its signatures."""
MAX_STATE: Final = 256 * 1024
MAX_AVAILABILITY: Final = 16
MAX_SAID: Final = 1024
"""An availability as the body of a signed message."""
MAX_READINGS: Final = 2000
MAX_COLLECTORS: Final = 200
MAX_DEVICES: Final = 500
MAX_MACS: Final = 200
MAX_OPTIONS: Final = 200
MAX_COMMANDS: Final = 200
MAX_EVENTS: Final = 200
MAX_ARGUMENTS: Final = 32
MAX_CONTROLLERS: Final = 64
MAX_FIX: Final = 8 * 1024
MAX_NOTES: Final = 4096
MAX_SEQUENCE: Final = 2**53
MAX_KEY: Final = 128
MAX_OF: Final = 128
MAX_TEXT: Final = 255
MAX_NUMBER: Final = 1e15
MAX_INTERVAL: Final = 86_400
MAX_PRECISION: Final = 15

_HOST_ID = re.compile(r"[a-z0-9-]{8,64}")
_SESSION = re.compile(r"[a-z0-9]{8,64}")
_SEGMENT = re.compile(r"[a-z0-9_-]{1,128}")
_KEY = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+")
_KEY_ID = re.compile(r"[0-9a-f]{16}|fleet")

SIGNED_STATES: Final = frozenset({"session"})
"""Collectors whose values a paired host signs: what they say opens doors."""

type Value = float | bool | str | None
"""What a reading may be. Whole numbers are numbers too; null means not readable now."""
type OpenPart = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
type Order = tuple[int, int]
"""The number of the agent's starts, and that of what it says of a sort in this one."""


class ProtocolError(ValueError):
    """A payload that is refused as a whole.

    Attributes:
        kind: A short stable word for what is wrong, by which it is counted and logged.
        detail: What exactly, for the log. Never the payload itself.
        other: The other side's protocol, where that is what is wrong.
    """

    def __init__(self, kind: str, detail: str, other: int | None = None) -> None:
        """Say what is wrong with the payload."""
        super().__init__(f"{detail} ({kind})")
        self.kind = kind
        self.detail = detail
        self.other = other


class Availability(StrEnum):
    """What a host says of itself."""

    ONLINE = "online"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"


class ReadingType(StrEnum):
    """What the values of a reading are."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    ENUM = "enum"


CATALOGUE: Final[Mapping[str, ReadingType]] = MappingProxyType(
    dict.fromkeys(
        (
            "agent.cpu_time",
            "agent.dropped_messages",
            "agent.memory",
            "agent.reconnects",
            "agent.refused_messages",
            "battery.level",
            "battery.power",
            "battery.time_left",
            "carbon_dioxide",
            "cpu.context_switches",
            "cpu.core_percent",
            "cpu.frequency",
            "cpu.load_15m",
            "cpu.load_1m",
            "cpu.load_5m",
            "cpu.percent",
            "cpu.temperature",
            "current",
            "disk.free",
            "disk.total",
            "disk.used",
            "disk.used_percent",
            "disk_io.read_rate",
            "disk_io.write_rate",
            "fan.speed",
            "humidity",
            "i2c.average",
            "i2c.carbon_dioxide_offset",
            "i2c.current_offset",
            "i2c.humidity_offset",
            "i2c.illuminance_offset",
            "i2c.interval",
            "i2c.power_offset",
            "i2c.pressure_offset",
            "i2c.temperature_offset",
            "i2c.voltage_offset",
            "illuminance",
            "memory.available",
            "memory.percent",
            "memory.swap_percent",
            "memory.swap_total",
            "memory.swap_used",
            "memory.total",
            "memory.used",
            "network.download_rate",
            "network.received",
            "network.sent",
            "network.upload_rate",
            "power",
            "pressure",
            "system.processes",
            "system.users",
            "temperature",
            "temperature.sensor",
            "voltage",
            "wifi.signal",
        ),
        ReadingType.NUMBER,
    )
    | {
        "battery.plugged": ReadingType.BOOLEAN,
        "battery.state": ReadingType.ENUM,
        "network.connected": ReadingType.BOOLEAN,
        "network.ipv4": ReadingType.TEXT,
        "network.ipv6": ReadingType.TEXT,
        "rpi.frequency_capped": ReadingType.BOOLEAN,
        "rpi.soft_temperature_limit": ReadingType.BOOLEAN,
        "rpi.throttled": ReadingType.BOOLEAN,
        "rpi.under_voltage": ReadingType.BOOLEAN,
        "session.locked": ReadingType.BOOLEAN,
        "system.kernel": ReadingType.TEXT,
        "system.os": ReadingType.TEXT,
        "system.pending_reboot": ReadingType.BOOLEAN,
        "system.started": ReadingType.TIMESTAMP,
        "wifi.ssid": ReadingType.TEXT,
    }
)
"""The kinds that both sides know, and what their values are, whatever an announce says."""

SETTINGS: Final = frozenset(kind for kind in CATALOGUE if kind.startswith("i2c."))
"""Those that say how something is set, and that a command of the same kind sets."""

CATALOGUE_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"battery.state": ("charging", "discharging", "full", "not_charging", "unknown")}
)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that is announced."""

    id: str
    name: str
    os: str | None = None
    arch: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    macs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """The program that speaks for it."""

    version: str
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device below the host."""

    name: str | None = None
    manufacturer: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another agent that was heard under the same id."""

    session: str
    name: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that the host reports."""

    key: str
    kind: str
    type: ReadingType
    of: str | None = None
    device: str | None = None
    name: str | None = None
    unit: str | None = None
    precision: int | None = None
    options: tuple[str, ...] = ()

    @property
    def collector(self) -> str:
        """The collector that reads it."""
        return self.key.partition(".")[0]

    @property
    def value_name(self) -> str:
        """Its name in the collector's state payload."""
        return self.key.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Missing:
    """A permission that the agent lacks for a command, and what to do about it."""

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What an argument may be, and by how much it is sensibly changed."""

    minimum: float
    maximum: float
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that may be asked of the host; its arguments by name, with their units.

    `state` is the reading that shows what came of it: a command that has one and an argument
    `value` sets it.
    """

    key: str
    kind: str
    args: Mapping[str, str]
    limits: Mapping[str, Limits]
    missing: Missing | None = None
    device: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the host is paired with, by the ids of their keys."""

    controllers: tuple[str, ...]
    pairing: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """How the agent is updated.

    Attributes:
        source: Where new versions come from: `homeassistant`, `folder` or `index`.
        cannot: Why it cannot be updated by itself.
        trouble: Why it does not know what its source has.
        newest: Version and notes of the newest release there.
        failed: The version that it has left again, and why.
        trial: Whether this version may still be left again.
    """

    source: str
    cannot: str | None = None
    trouble: str | None = None
    newest: tuple[str, str] | None = None
    failed: tuple[str, str] | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Announce:
    """What a host is and can do.

    Without `trust` it is an agent that cannot be paired.
    """

    session: str
    host: Host
    agent: Agent
    collectors: Mapping[str, float]
    devices: Mapping[str, Device]
    readings: Mapping[str, Reading]
    conflict: Conflict | None = None
    sequence: Order | None = None
    trust: Trust | None = None
    commands: Mapping[str, Command] = field(default_factory=lambda: MappingProxyType({}))
    events: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    update: Update | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose signatures have not been verified; without any it came bare."""

    body: bytes
    signatures: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class State:
    """What a collector read, and when by the host's clock."""

    ts: float
    values: Mapping[str, Value]


def announce_topic(prefix: str, host: str) -> str:
    """Return where a host announces itself; `+` stands for any host."""
    return f"{prefix}/{host}/announce"


def availability_topic(prefix: str, host: str) -> str:
    """Return where a host says whether it is there."""
    return f"{prefix}/{host}/availability"


def state_topic(prefix: str, host: str) -> str:
    """Return where a host says what its collectors read last."""
    return f"{prefix}/{host}/state"


def command_topic(prefix: str, host: str, key: str) -> str:
    """Return where a host is asked for something."""
    return f"{prefix}/{host}/command/{key}"


def result_topic(prefix: str, host: str, key: str) -> str:
    """Return where a host says what became of it; `+` stands for any command."""
    return f"{prefix}/{host}/result/{key}"


def event_topic(prefix: str, host: str, key: str) -> str:
    """Return where a host says that something happened; `+` stands for any event."""
    return f"{prefix}/{host}/event/{key}"


def backlog_topic(prefix: str, host: str) -> str:
    """Return where a host delivers what it measured while nobody heard it."""
    return f"{prefix}/{host}/backlog"


def acknowledge_topic(prefix: str, host: str) -> str:
    """Return where a host is told that what it delivered is kept."""
    return f"{prefix}/{host}/acknowledge"


def pairing_topic(prefix: str, host: str, controller: str, kind: str) -> str:
    """Return where a host and a controller pair; `+` stands for any kind of message."""
    return f"{prefix}/{host}/pair/{controller}/{kind}"


def is_key(text: str) -> bool:
    """Say whether something can be the key of a reading or a command."""
    return len(text) <= MAX_KEY and _KEY.fullmatch(text) is not None


def is_session(value: object) -> bool:
    """Say whether something can be a host's session."""
    return isinstance(value, str) and _SESSION.fullmatch(value) is not None


def split_announce_topic(topic: str) -> tuple[str, str]:
    """Return the prefix and the host's id that an announce topic is made of."""
    parts = topic.rsplit("/", 2)
    if len(parts) != 3 or not parts[0] or parts[2] != "announce":
        raise ProtocolError("topic", "not an announce topic")
    if not _HOST_ID.fullmatch(parts[1]):
        raise ProtocolError("topic", "not a host's id in the topic")
    return parts[0], parts[1]


def open_envelope(payload: bytes, limit: int) -> Envelope:
    """Take the envelope off a message, if it has one; nothing is verified."""
    if len(payload) > MAX_ENVELOPE:
        raise ProtocolError("size", f"larger than {MAX_ENVELOPE} bytes")
    # No bare body has a field of this name, and looking for it costs less than reading twice.
    if b'"signatures"' not in payload:
        return Envelope(payload, MappingProxyType({}))
    data = load_object(payload, MAX_ENVELOPE)
    if "signatures" not in data:
        return Envelope(payload, MappingProxyType({}))
    return read_envelope(data, limit)


def read_envelope(data: Mapping[str, Any], limit: int) -> Envelope:
    """Read an envelope; nothing is verified."""
    _check_protocol(data.get("protocol"))
    signatures = _object(data, "signatures")
    body = data.get("body")
    if type(body) is not str or not signatures or len(signatures) > MAX_CONTROLLERS:
        raise ProtocolError("envelope", "not an envelope")
    content = body.encode()
    if len(content) > limit:
        raise ProtocolError("size", f"larger than {limit} bytes")
    return Envelope(content, MappingProxyType(signatures))


def parse_announce(payload: bytes, host_id: str) -> Announce | None:
    """Read an announce, verified or not; None says that the host was removed for good."""
    if not payload:
        return None
    data = load_object(open_envelope(payload, MAX_ANNOUNCE).body, MAX_ANNOUNCE)
    _check_protocol(data.get("protocol"))
    host = _host(_object(data, "host"))
    if host.id != host_id:
        raise ProtocolError("host_id", "the host's id is not the one in the topic")
    collectors = _collectors(_object(data, "collectors"))
    devices = _devices(_object(data, "devices") if "devices" in data else {})
    return Announce(
        session=_session(data),
        host=host,
        agent=_agent(_object(data, "agent")),
        collectors=MappingProxyType(collectors),
        devices=MappingProxyType(devices),
        readings=MappingProxyType(_readings(data.get("readings"), collectors, devices)),
        conflict=_conflict(data),
        sequence=parse_sequence(data) if "sequence" in data else None,
        trust=_trust(_object(data, "trust")) if "trust" in data else None,
        commands=MappingProxyType(_commands(data.get("commands", []))),
        events=MappingProxyType(_events(data.get("events", []))),
        update=_update(_object(data, "update")) if "update" in data else None,
    )


def parse_said(payload: bytes) -> tuple[Availability, Order | None]:
    """Read what a host says of itself, bare or as the body of a signed message."""
    if payload[:1] != b"{":
        return parse_availability(payload), None
    data = load_object(payload, MAX_SAID)
    word = _required_text(data, "availability")
    return parse_availability(word.encode()), parse_sequence(data)


def parse_availability(payload: bytes) -> Availability:
    """Read one of the four words."""
    if len(payload) > MAX_AVAILABILITY:
        raise ProtocolError("size", "an availability is at most 16 bytes")
    try:
        return Availability(payload.decode("ascii"))
    except ValueError:
        raise ProtocolError("availability", "not an availability") from None


def parse_state(payload: bytes, open_part: OpenPart = lambda _, part: part) -> dict[str, State]:
    """Read what collectors read, by collector; none says that the topic was cleared.

    Args:
        payload: The message.
        open_part: Takes the envelope off the part of a collector that signs; None leaves it out.
    """
    if not payload:
        return {}
    states: dict[str, State] = {}
    for name, item in _object(load_object(payload, MAX_STATE), "collectors").items():
        part = _as_object(item, "collectors")
        opened = open_part(name, part) if name in SIGNED_STATES else part
        if opened is not None:
            states[name] = _state(opened)
    return states


def _state(data: Mapping[str, Any]) -> State:
    ts: Any = data.get("ts")
    if not _is_number(ts):
        raise ProtocolError("ts", "ts is not a number")
    values = data.get("values")
    if type(values) is not dict:
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


def parse_sequence(data: Mapping[str, Any]) -> Order:
    """Read what orders a host's messages across all its starts."""
    sequence = data.get("sequence")
    if (
        type(sequence) is not list
        or len(sequence) != 2
        or not all(type(number) is int and 0 <= number < MAX_SEQUENCE for number in sequence)
    ):
        raise ProtocolError("sequence", "sequence is not two whole numbers")
    return sequence[0], sequence[1]


def load_object(payload: bytes, limit: int) -> dict[str, Any]:
    """Read a JSON object of limited size."""
    if len(payload) > limit:
        raise ProtocolError("size", f"larger than {limit} bytes")
    try:
        data = orjson.loads(payload)
    except orjson.JSONDecodeError, RecursionError:
        raise ProtocolError("json", "not JSON in UTF-8") from None
    if type(data) is not dict:
        raise ProtocolError("json", "not a JSON object")
    return data


def _check_protocol(number: object) -> None:
    if type(number) is not int:
        raise ProtocolError("protocol", "protocol is not a whole number")
    if number > PROTOCOL:
        raise ProtocolError("protocol_newer", f"the agent speaks protocol {number}", number)
    if number < PROTOCOL:
        raise ProtocolError("protocol_older", f"the agent speaks protocol {number}", number)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -MAX_NUMBER < value < MAX_NUMBER  # type: ignore[operator]


def _object(data: Mapping[str, Any], field: str) -> dict[str, Any]:
    return _as_object(data.get(field), field)


def _as_object(value: object, what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise ProtocolError(what, f"{what}: not an object")
    return value


def _required_text(data: Mapping[str, Any], field: str, limit: int = MAX_TEXT) -> str:
    value = data.get(field)
    if type(value) is not str or not 0 < len(value) <= limit or "\0" in value:
        raise ProtocolError(field, f"{field} is not a text of 1 to {limit} characters")
    return value


def _text(data: Mapping[str, Any], field: str) -> str | None:
    if field not in data:
        return None
    value = data[field]
    if type(value) is not str or len(value) > MAX_TEXT or "\0" in value:
        raise ProtocolError(field, f"{field} is not a text of at most {MAX_TEXT} characters")
    # An empty text tells as little as none.
    return value or None


def _session(data: Mapping[str, Any]) -> str:
    session = _required_text(data, "session")
    if not _SESSION.fullmatch(session):
        raise ProtocolError("session", "session is not 8 to 64 characters of a-z and 0-9")
    return session


def _host(data: Mapping[str, Any]) -> Host:
    host_id = _required_text(data, "id")
    if not _HOST_ID.fullmatch(host_id):
        raise ProtocolError("host_id", "the host's id is malformed")
    macs = data.get("macs", [])
    if type(macs) is not list or len(macs) > MAX_MACS:
        raise ProtocolError("macs", f"macs is not a list of at most {MAX_MACS}")
    for mac in macs:
        if type(mac) is not str or len(mac) > MAX_TEXT or not _MAC.fullmatch(mac):
            raise ProtocolError("macs", "not a hardware address in macs")
    return Host(
        id=host_id,
        name=_required_text(data, "name"),
        os=_text(data, "os"),
        arch=_text(data, "arch"),
        manufacturer=_text(data, "manufacturer"),
        model=_text(data, "model"),
        macs=tuple(macs),
    )


def _agent(data: Mapping[str, Any]) -> Agent:
    return Agent(version=_required_text(data, "version"), python=_text(data, "python"))


def _conflict(data: Mapping[str, Any]) -> Conflict | None:
    if "conflict" not in data:
        return None
    conflict = _object(data, "conflict")
    return Conflict(session=_session(conflict), name=_required_text(conflict, "name"))


def _trust(data: Mapping[str, Any]) -> Trust:
    controllers = data.get("controllers")
    if type(controllers) is not list or len(controllers) > MAX_CONTROLLERS:
        raise ProtocolError("trust", f"controllers is not a list of at most {MAX_CONTROLLERS}")
    for key_id in controllers:
        if type(key_id) is not str or not _KEY_ID.fullmatch(key_id):
            raise ProtocolError("trust", "not the id of a key in controllers")
    return Trust(tuple(controllers), data.get("pairing") is True)


def _commands(data: object) -> dict[str, Command]:
    if type(data) is not list or len(data) > MAX_COMMANDS:
        raise ProtocolError("commands", f"commands is not a list of at most {MAX_COMMANDS}")
    commands: dict[str, Command] = {}
    for item in data:
        fields = _as_object(item, "commands")
        key = _announced_key(fields, commands, dotted=True)
        args = _object(fields, "args") if "args" in fields else {}
        if len(args) > MAX_ARGUMENTS:
            raise ProtocolError("args", f"more than {MAX_ARGUMENTS} arguments")
        limits = _object(fields, "limits") if "limits" in fields else {}
        commands[key] = Command(
            key=key,
            kind=_text(fields, "kind") or key,
            args=MappingProxyType({name: _text(args, name) or "" for name in args}),
            limits=MappingProxyType(
                {
                    name: _limits(_as_object(limits[name], "limits"))
                    for name in limits
                    if name in args
                }
            ),
            missing=_missing(_object(fields, "missing")) if "missing" in fields else None,
            device=_text(fields, "device"),
            state=_text(fields, "state"),
        )
    return commands


def _limits(data: Mapping[str, Any]) -> Limits:
    minimum, maximum, step = (data.get(name) for name in ("minimum", "maximum", "step"))
    if not _is_number(minimum) or not _is_number(maximum) or minimum > maximum:  # type: ignore[operator]
        raise ProtocolError("limits", "minimum and maximum are not two numbers in this order")
    if "step" in data and (not _is_number(step) or step <= 0):  # type: ignore[operator]
        raise ProtocolError("limits", "step is not a number above 0")
    return Limits(minimum, maximum, step)  # type: ignore[arg-type]


def _missing(data: Mapping[str, Any]) -> Missing:
    return Missing(reason=_required_text(data, "reason"), fix=_required_text(data, "fix", MAX_FIX))


def _events(data: object) -> dict[str, tuple[str, ...]]:
    if type(data) is not list or len(data) > MAX_EVENTS:
        raise ProtocolError("events", f"events is not a list of at most {MAX_EVENTS}")
    events: dict[str, tuple[str, ...]] = {}
    for item in data:
        fields = _as_object(item, "events")
        key = _announced_key(fields, events, dotted=False)
        events[key] = tuple(_options(fields.get("types", [])))
    return events


def _update(data: Mapping[str, Any]) -> Update:
    newest = _object(data, "newest") if "newest" in data else None
    failed = _object(data, "failed") if "failed" in data else None
    return Update(
        source=_required_text(data, "source"),
        cannot=_text(data, "cannot"),
        trouble=_text(data, "trouble"),
        newest=None
        if newest is None
        else (
            _required_text(newest, "version"),
            _required_text(newest, "notes", MAX_NOTES) if newest.get("notes") else "",
        ),
        failed=None
        if failed is None
        else (_required_text(failed, "version"), _required_text(failed, "reason")),
        trial=data.get("trial") is True,
    )


def _announced_key(data: Mapping[str, Any], known: Mapping[str, object], *, dotted: bool) -> str:
    key = _required_text(data, "key", MAX_KEY)
    # Events are named by one segment or more, commands by two or more.
    if not (_KEY.fullmatch(key) or (not dotted and _SEGMENT.fullmatch(key))):
        raise ProtocolError("key", "a key is malformed")
    if key in known:
        raise ProtocolError("key", "a key is announced twice")
    return key


def _collectors(data: Mapping[str, Any]) -> dict[str, float]:
    if len(data) > MAX_COLLECTORS:
        raise ProtocolError("collectors", f"more than {MAX_COLLECTORS} collectors")
    collectors: dict[str, float] = {}
    for name, item in data.items():
        if not _SEGMENT.fullmatch(name):
            raise ProtocolError("collectors", "a collector's name is malformed")
        interval = _as_object(item, "collectors").get("interval")
        if not _is_number(interval) or not 0 < interval <= MAX_INTERVAL:  # type: ignore[operator]
            raise ProtocolError("interval", "an interval is not more than 0 and at most a day")
        collectors[name] = interval  # type: ignore[assignment]
    return collectors


def _devices(data: Mapping[str, Any]) -> dict[str, Device]:
    if len(data) > MAX_DEVICES:
        raise ProtocolError("devices", f"more than {MAX_DEVICES} devices")
    devices: dict[str, Device] = {}
    for key, item in data.items():
        if not 0 < len(key) <= MAX_TEXT or "\0" in key:
            raise ProtocolError("devices", "a device's key is malformed")
        fields = _as_object(item, "devices")
        devices[key] = Device(
            name=_text(fields, "name"),
            manufacturer=_text(fields, "manufacturer"),
            model=_text(fields, "model"),
        )
    return devices


def _readings(
    data: object, collectors: Mapping[str, float], devices: Mapping[str, Device]
) -> dict[str, Reading]:
    if type(data) is not list or len(data) > MAX_READINGS:
        raise ProtocolError("readings", f"readings is not a list of at most {MAX_READINGS}")
    readings: dict[str, Reading] = {}
    for item in data:
        reading = _reading(_as_object(item, "readings"))
        if reading.key in readings:
            raise ProtocolError("key", "a key is announced twice")
        if reading.collector not in collectors:
            raise ProtocolError("key", "a key's collector is not announced")
        if reading.device is not None and reading.device not in devices:
            raise ProtocolError("device", "a reading's device is not announced")
        readings[reading.key] = reading
    return readings


def _reading(data: Mapping[str, Any]) -> Reading:
    key = _required_text(data, "key", MAX_KEY)
    if not _KEY.fullmatch(key):
        raise ProtocolError("key", "a key is malformed")
    kind = _required_text(data, "kind") if "kind" in data else key
    of = _required_text(data, "of", MAX_OF) if "of" in data else None
    device = _required_text(data, "device") if "device" in data else None
    precision = data.get("precision", 0)
    if type(precision) is not int or not 0 <= precision <= MAX_PRECISION:
        raise ProtocolError("precision", f"precision is not a whole number to {MAX_PRECISION}")
    try:
        announced_type = ReadingType(data.get("type", ReadingType.NUMBER))
    except ValueError:
        raise ProtocolError("type", "a reading's type is not one of the five") from None
    options = tuple(_options(data.get("options", [])))
    if kind in CATALOGUE:
        reading_type, options = CATALOGUE[kind], CATALOGUE_OPTIONS.get(kind, ())
    elif (reading_type := announced_type) is ReadingType.ENUM and not options:
        raise ProtocolError("options", "an enum has no options")
    return Reading(
        key=key,
        kind=kind,
        type=reading_type,
        of=of,
        device=device,
        name=_text(data, "name"),
        unit=_text(data, "unit"),
        precision=precision if "precision" in data else None,
        options=options,
    )


def _options(data: object) -> Iterator[str]:
    if type(data) is not list or len(data) > MAX_OPTIONS:
        raise ProtocolError("options", f"options is not a list of at most {MAX_OPTIONS}")
    for option in dict.fromkeys(item if type(item) is str else None for item in data):
        if option is None or not 0 < len(option) <= MAX_TEXT or "\0" in option:
            raise ProtocolError("options", "an option is not a text")
        yield option
