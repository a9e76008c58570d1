"""The agent's half of protocol 2 (`docs/protocol.md`): topics and payloads, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
import json
import re
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from companion_agent.models import Reading, Value
    from companion_agent.platforms.base import HostInfo

PROTOCOL = 2
DEFAULT_PREFIX = "pilot/v2"
BIRTH_ONLINE = b"online"
BIRTH_OFFLINE = b"offline"

MAX_ANNOUNCE_BYTES = 256 * 1024
MAX_STATE_BYTES = 256 * 1024
MAX_BACKLOG_BYTES = 64 * 1024
MAX_READINGS = 2000
MAX_COLLECTORS = 200
MAX_DEVICES = 500
MAX_TEXT = 255
MAX_OF = 128
MAX_KEY = 128
MAX_INTERVAL = 86_400
MAX_NUMBER = 1e15

HOST_ID = re.compile(r"[a-z0-9-]{8,64}")
SESSION = re.compile(r"[a-z0-9]{8,64}")
SEGMENT = re.compile(r"[a-z0-9_-]+")
KEY = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+")
_STATE_START, _STATE_END = b'{"collectors":{', b"}}"
SIGNED_STATES = ("session",)
"""Collectors whose values are signed: what they say opens doors."""
VALUE_TYPES = frozenset({"number", "text", "boolean", "timestamp", "enum"})


class ProtocolError(ValueError):
    """A payload or a name breaks a rule of the protocol; the text says which."""


class Availability(StrEnum):
    """What a host says about being there."""

    ONLINE = "online"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one host.

    Attributes:
        prefix: What all topics start with.
        host: The host's id.
    """

    prefix: str
    host: str

    @property
    def announce(self) -> str:
        """What this host is and can do."""
        return f"{self.prefix}/{self.host}/announce"

    @property
    def availability(self) -> str:
        """Whether this host is there."""
        return f"{self.prefix}/{self.host}/availability"

    @property
    def state(self) -> str:
        """What all collectors read last."""
        return f"{self.prefix}/{self.host}/state"

    @property
    def backlog(self) -> str:
        """What nobody heard when it was read."""
        return f"{self.prefix}/{self.host}/backlog"

    @property
    def acknowledge(self) -> str:
        """Who has got which chunk of the backlog."""
        return f"{self.prefix}/{self.host}/acknowledge"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another agent that was heard under this host's id."""

    session: str
    name: str


@dataclass(frozen=True, slots=True)
class Announce:
    """What the agent reads in an announce under its own id: who speaks, and of whom."""

    session: str
    name: str
    conflict: Conflict | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """What the announce says of this host and its agent.

    Attributes:
        id: The host's id.
        name: What it is shown as.
        info: What the operating system says of it.
        version: The agent's version.
        python: The interpreter's version.
    """

    id: str
    name: str
    info: HostInfo
    version: str
    python: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one collector reports: its interval in seconds, and its readings."""

    interval: float
    readings: tuple[Reading, ...] = field(default=())


# --- Writing ---------------------------------------------------------------------------------


def reading_fields(collector: str, reading: Reading) -> dict[str, Any]:
    """Describe a reading as the announce does.

    Raises:
        ProtocolError: Its key, its type or its options cannot be announced.
    """
    key = f"{collector}.{reading.key}"
    _check_key(key)
    if reading.type not in VALUE_TYPES:
        raise ProtocolError(f"{key}: {reading.type!r} is not a type of values")
    fields: dict[str, Any] = {"key": key}
    if reading.kind and reading.kind != key:
        fields["kind"] = clean_text(reading.kind)
    if reading.of:
        fields["of"] = clean_text(reading.of, MAX_OF)
    if reading.device:
        fields["device"] = clean_text(reading.device.id)
    if reading.name:
        fields["name"] = clean_text(reading.name)
    if reading.unit:
        fields["unit"] = clean_text(reading.unit)
    if reading.type != "number":
        fields["type"] = reading.type
    if reading.options:
        fields["options"] = [clean_text(option) for option in reading.options]
    return fields


def announce_payload(
    session: str,
    host: Host,
    reports: Mapping[str, Report],
    conflict: Conflict | None = None,
    more: Mapping[str, Any] | None = None,
) -> bytes:
    """Write the announce.

    Args:
        session: The session of this start of the agent.
        host: What this host is.
        reports: What every collector at work reports, by the collector's name.
        conflict: Another agent heard under this id.
        more: What else it says, field by field: of trust, commands and events.

    Raises:
        ProtocolError: A reading cannot be announced, or there are more than a reader takes.
    """
    readings = [
        reading_fields(name, reading)
        for name, report in reports.items()
        for reading in report.readings
    ]
    if len(readings) > MAX_READINGS:
        raise ProtocolError(f"{len(readings)} readings are more than {MAX_READINGS}")
    announce: dict[str, Any] = {
        "protocol": PROTOCOL,
        "session": session,
        "host": _host_fields(host),
        "agent": {"version": clean_text(host.version), "python": clean_text(host.python)},
        "collectors": {
            name: {"interval": _short(report.interval)} for name, report in reports.items()
        },
        "readings": readings,
    }
    if devices := _devices(reports.values()):
        announce["devices"] = devices
    if conflict:
        announce["conflict"] = {
            "session": conflict.session,
            "name": clean_text(conflict.name) or host.id,
        }
    announce |= more or {}
    payload = _encode(announce)
    if len(payload) > MAX_ANNOUNCE_BYTES:
        raise ProtocolError(
            f"an announce of {len(payload)} bytes is more than {MAX_ANNOUNCE_BYTES}"
        )
    return payload


def collector_state(read_at: float, values: Mapping[str, Value]) -> bytes:
    """Write a collector's part of the state; what no reader takes becomes `null`.

    Args:
        read_at: When they were read, seconds since 1970 UTC.
        values: The values by their keys within the collector.
    """
    return _encode(
        {
            "ts": round(read_at, 3),
            "values": {key: clean_value(value) for key, value in values.items()},
        }
    )


def state_payload(parts: Mapping[str, bytes]) -> tuple[bytes, list[str]]:
    """Put together what the collectors read, as far as a reader takes it.

    Args:
        parts: What `collector_state()` wrote, by collector.

    Returns:
        The payload, and the collectors that there was no room for.
    """
    size = len(_STATE_START) + len(_STATE_END)
    taken, left = [], []
    for collector, part in parts.items():
        entry = b'"%s":%s' % (collector.encode(), part)
        if size + len(entry) + 1 > MAX_STATE_BYTES:
            left.append(collector)
            continue
        size += len(entry) + 1
        taken.append(entry)
    return _STATE_START + b",".join(taken) + _STATE_END, left


def backlog_payload(
    chunk: str,
    session: str,
    now: float,
    values: Mapping[str, Sequence[tuple[float, float | None]]],
    *,
    more: bool,
) -> bytes:
    """Write a chunk of the backlog.

    Args:
        chunk: The chunk's id.
        session: The session of this start of the agent.
        now: Seconds since 1970 UTC by this host's clock.
        values: Points by key, ascending in time: seconds since 1970 UTC, and the value.
        more: Whether others wait behind it.

    Raises:
        ProtocolError: It is more than a reader takes.
    """
    payload = _encode(
        {"chunk": chunk, "session": session, "time": round(now, 3), "more": more, "values": values}
    )
    if len(payload) > MAX_BACKLOG_BYTES:
        raise ProtocolError(f"a chunk of {len(payload)} bytes is more than {MAX_BACKLOG_BYTES}")
    return payload


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Cut a text to what a reader takes: at most `limit` characters, without broken ones."""
    # Names of files and devices that are not UTF-8 reach Python as lone surrogates.
    return text[:limit].encode("utf-8", "replace").decode("utf-8")


def clean_value(value: Value) -> Value:
    """Return a value as a reader takes it; a number that it would refuse becomes `None`."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    return value if _in_range(value) else None


def _devices(reports: Iterable[Report]) -> dict[str, dict[str, str]]:
    devices = {}
    for device in (reading.device for report in reports for reading in report.readings):
        if device:
            said = {"manufacturer": device.manufacturer, "model": device.model}
            name = clean_text(device.id)
            devices[name] = {"name": clean_text(device.name) or name} | {
                field: clean_text(text) for field, text in said.items() if text
            }
    if len(devices) > MAX_DEVICES:
        raise ProtocolError(f"{len(devices)} devices are more than {MAX_DEVICES}")
    return devices


def _host_fields(host: Host) -> dict[str, Any]:
    info = host.info
    fields: dict[str, Any] = {"id": host.id, "name": clean_text(host.name) or host.id}
    described = {
        "os": info.os,
        "arch": info.arch,
        "manufacturer": info.manufacturer,
        "model": info.model,
    }
    fields |= {name: clean_text(text) for name, text in described.items() if text}
    if info.macs:
        fields["macs"] = list(info.macs)
    return fields


def _short(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _encode(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


# --- Reading ---------------------------------------------------------------------------------


def parse_announce(payload: bytes, host: str) -> Announce | None:
    """Read an announce that came under a host's id, its own or that of a clone.

    Args:
        payload: What the broker delivered.
        host: The host's id, from the topic.

    Returns:
        Who announced; `None` for the empty payload that removes a host.

    Raises:
        ProtocolError: It breaks a rule of the protocol.
    """
    if not payload:
        return None
    announce = _decode(payload, MAX_ANNOUNCE_BYTES)
    _check_protocol(announce)
    session = _session(announce, "session")
    about = _object(announce, "host")
    if _text(about, "id") != host:
        raise ProtocolError("host.id is not the id in the topic")
    name = _text(about, "name")
    for optional in ("os", "arch", "manufacturer", "model"):
        _optional_text(about, optional)
    for mac in _list(about, "macs", required=False):
        if not isinstance(mac, str) or not MAC.fullmatch(mac):
            raise ProtocolError(f"host.macs: {_show(mac)} is not a hardware address")
    _text(_object(announce, "agent"), "version")
    _check_readings(announce, _check_collectors(announce), _check_devices(announce))
    return Announce(session, name, _conflict(announce))


def _check_protocol(announce: dict[str, Any]) -> None:
    protocol = announce.get("protocol")
    if not _is_number(protocol):
        raise ProtocolError("protocol is missing or not a number")
    if protocol != PROTOCOL:
        older = "this agent" if protocol > PROTOCOL else "the other side"
        raise ProtocolError(f"protocol {_show(protocol)} is not {PROTOCOL}; {older} is older")


def _check_collectors(announce: dict[str, Any]) -> set[str]:
    collectors = _object(announce, "collectors")
    if len(collectors) > MAX_COLLECTORS:
        raise ProtocolError(f"{len(collectors)} collectors are more than {MAX_COLLECTORS}")
    for name in collectors:
        if not SEGMENT.fullmatch(name):
            raise ProtocolError(f"collectors: {_show(name)} is not a collector's name")
        interval = _object(collectors, name).get("interval")
        if not _is_number(interval) or not 0 < interval <= MAX_INTERVAL:
            raise ProtocolError(f"collectors.{name}.interval is not above 0 s and up to a day")
    return set(collectors)


def _check_devices(announce: dict[str, Any]) -> set[str]:
    devices = _object(announce, "devices", required=False)
    if len(devices) > MAX_DEVICES:
        raise ProtocolError(f"{len(devices)} devices are more than {MAX_DEVICES}")
    for name in devices:
        device = _object(devices, name)
        for optional in ("name", "manufacturer", "model"):
            _optional_text(device, optional)
    return set(devices)


def _check_readings(announce: dict[str, Any], collectors: set[str], devices: set[str]) -> None:
    readings = _list(announce, "readings")
    if len(readings) > MAX_READINGS:
        raise ProtocolError(f"{len(readings)} readings are more than {MAX_READINGS}")
    seen: set[str] = set()
    for reading in readings:
        if not isinstance(reading, dict):
            raise ProtocolError(f"readings: {_show(reading)} is not an object")
        key = _text(reading, "key")
        _check_key(key)
        if key in seen:
            raise ProtocolError(f"readings: {key} is there twice")
        seen.add(key)
        if key.partition(".")[0] not in collectors:
            raise ProtocolError(f"readings: the collector of {key} is not in collectors")
        _check_drawing(key, reading)
        if "device" in reading and _text(reading, "device") not in devices:
            raise ProtocolError(f"readings: the device of {key} is not in devices")


def _check_drawing(key: str, reading: dict[str, Any]) -> None:
    for optional in ("kind", "name", "unit"):
        _optional_text(reading, optional)
    if "of" in reading:
        _text(reading, "of", MAX_OF)
    if "type" in reading and _text(reading, "type") not in VALUE_TYPES:
        raise ProtocolError(f"readings: {key} has a type that is none of {', '.join(VALUE_TYPES)}")
    precision = reading.get("precision")
    if precision is not None and (isinstance(precision, bool) or not isinstance(precision, int)):
        raise ProtocolError(f"readings: the precision of {key} is not a whole number")
    for option in _list(reading, "options", required=False):
        if not isinstance(option, str) or not _is_text(option, MAX_TEXT):
            raise ProtocolError(f"readings: {key} has an option that is not a text")


def _conflict(announce: dict[str, Any]) -> Conflict | None:
    if announce.get("conflict") is None:
        return None
    other = _object(announce, "conflict")
    return Conflict(_session(other, "session"), _text(other, "name"))


def _check_key(key: str) -> None:
    if len(key) > MAX_KEY or not KEY.fullmatch(key):
        raise ProtocolError(f"{_show(key)} is not a reading's key")


def _decode(payload: bytes, limit: int) -> dict[str, Any]:
    if len(payload) > limit:
        raise ProtocolError(f"{len(payload)} bytes are more than {limit}")
    try:
        decoded = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON in UTF-8: {type(error).__name__}") from None
    if not isinstance(decoded, dict):
        raise ProtocolError("not a JSON object")
    return decoded


def _refuse_constant(name: str) -> float:
    raise ProtocolError(f"{name} is not JSON")


def _object(parent: dict[str, Any], name: str, *, required: bool = True) -> dict[str, Any]:
    value = parent.get(name)
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError(f"{_show(name)} is missing or not an object")
    return value


def _list(parent: dict[str, Any], name: str, *, required: bool = True) -> list[Any]:
    value = parent.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise ProtocolError(f"{_show(name)} is missing or not a list")
    return value


def _text(parent: dict[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    value = parent.get(name)
    if not isinstance(value, str) or not value or not _is_text(value, limit):
        raise ProtocolError(f"{_show(name)} is missing or not a text of 1 to {limit} characters")
    return value


def _optional_text(parent: dict[str, Any], name: str) -> None:
    value = parent.get(name)
    if value is not None and not (isinstance(value, str) and _is_text(value, MAX_TEXT)):
        raise ProtocolError(f"{_show(name)} is not a text of up to {MAX_TEXT} characters")


def _is_text(value: str, limit: int) -> bool:
    # JSON's escapes can spell half a surrogate pair, which no output could print.
    return len(value) <= limit and not any("\ud800" <= character <= "\udfff" for character in value)


def _session(parent: dict[str, Any], name: str) -> str:
    session = _text(parent, name)
    if not SESSION.fullmatch(session):
        raise ProtocolError(f"{name} is not 8 to 64 characters of a-z and 0-9")
    return session


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _in_range(value)


def _in_range(number: float) -> bool:
    # Compared, not converted: a whole number may be too big for a float. NaN compares false.
    return -MAX_NUMBER < number < MAX_NUMBER


def _show(value: object) -> str:
    return ascii(value)[:80]
