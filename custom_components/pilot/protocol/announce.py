"""The announce: what a host is, reports and can do."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .catalogue import CATALOGUE, ReadingType
from .encoding import dump, load_object
from .envelope import open_envelope
from .errors import ProtocolError
from .topics import Separator
from .validation import (
    HOST_ID,
    MAX_ANNOUNCE,
    MAX_ARGUMENTS,
    MAX_COLLECTORS,
    MAX_COMMANDS,
    MAX_DEVICES,
    MAX_EVENTS,
    MAX_FIX,
    MAX_INTERVAL,
    MAX_KEY,
    MAX_MACS,
    MAX_NOTES,
    MAX_OF,
    MAX_OPTIONS,
    MAX_PRECISION,
    MAX_READINGS,
    MAX_SIGNATURES,
    MAX_TEXT,
    MAX_TIME_LIMIT,
    PROTOCOL,
    SEGMENT,
    Order,
    as_object,
    check_protocol,
    clean_text,
    get_object,
    get_optional_text,
    get_options,
    get_sequence,
    get_session,
    get_text,
    is_key,
    is_key_id,
    is_mac,
    is_number,
    is_whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


PAIR_COMMAND: Final = re.compile(
    r"(?:sudo )?"
    r"(?:(?:(?:/[A-Za-z0-9._+@-]+)+/)?pilot-agent"
    r"|(?:/[A-Za-z0-9._+@-]+)+/python[0-9.]* -m companion_agent)"
    r" pair(?: --config (?:/[A-Za-z0-9._+@-]+)+)?"
)
"""What an announce may say is to be typed: every client that may write to the broker can write
announces, and people type what a dialog tells them."""


class Host(NamedTuple):
    """The machine that is announced."""

    id: str
    name: str
    os: str | None = None
    arch: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    macs: tuple[str, ...] = ()


class Agent(NamedTuple):
    """The agent.

    Attributes:
        version: Its version.
        python: That of its Python.
        pair: What to type on the host to pair it.
    """

    version: str
    python: str | None = None
    pair: str | None = None


class Device(NamedTuple):
    """A device below the host."""

    name: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None


class Conflict(NamedTuple):
    """Another agent that was heard under the same id."""

    session: str
    name: str


class Reading(NamedTuple):
    """One thing that the host reports.

    Attributes:
        key: Its name, which begins with that of its collector.
        kind: What it is; the key itself unless said otherwise.
        type: What its values are; for kinds of the catalogue, what stands there.
        of: Which one, where there are several of a kind.
        device: The key of the device below the host that it belongs to.
        name: What to call it, for kinds that are not in the catalogue.
        unit: Its unit, for kinds that are not in the catalogue.
        precision: Digits after the point, for kinds that are not in the catalogue.
        options: The values of an enum; for kinds of the catalogue, what stands there.
        device_class: What Home Assistant calls what it measures, for kinds that are not in the
            catalogue.
        state_class: How Home Assistant sums it up, for kinds that are not in the catalogue:
            `none` for not at all.
    """

    key: str
    kind: str
    type: ReadingType = ReadingType.NUMBER
    of: str | None = None
    device: str | None = None
    name: str | None = None
    unit: str | None = None
    precision: int | None = None
    options: tuple[str, ...] = ()
    device_class: str | None = None
    state_class: str | None = None

    @property
    def collector(self) -> str:
        """The collector that reads it."""
        return self.key.partition(".")[0]

    @property
    def value_name(self) -> str:
        """Its name in the collector's part of the state."""
        return self.key.partition(".")[2]


class Missing(NamedTuple):
    """A permission that the agent lacks for a command, and what to do about it."""

    reason: str
    fix: str


class Limits(NamedTuple):
    """What an argument may be, and by how much it is sensibly changed."""

    minimum: float
    maximum: float
    step: float | None = None


class Command(NamedTuple):
    """One thing that may be asked of the host.

    Attributes:
        key: Its name.
        kind: What it is; the key itself unless said otherwise.
        args: Its arguments by name, with what they count.
        limits: What arguments may be, by name.
        missing: Why the operating system would refuse it, when it would.
        device: The key of the device below the host that it is about.
        state: The reading that shows what came of it: a command that has one, and an argument
            `value`, sets it.
        options: What arguments that are a choice may be, by name.
        name: What to call it, for kinds that no description is known of; what it is about, for
            kinds of which there may be several.
        show: What it is drawn as then: `button`, `switch`, `select` or `number`.
        confirm: Whether the user is to confirm it.
        harmless: Whether it ends no work, whatever is called.
        time_limit: Seconds that it may take, where that is more than usual.
    """

    key: str
    kind: str
    args: Mapping[str, str] = MappingProxyType({})
    limits: Mapping[str, Limits] = MappingProxyType({})
    missing: Missing | None = None
    device: str | None = None
    state: str | None = None
    options: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    name: str | None = None
    show: str | None = None
    confirm: bool = False
    harmless: bool = False
    time_limit: float | None = None


class Trust(NamedTuple):
    """The ids of the keys that the host trusts, and whether it shows a code to pair."""

    controllers: tuple[str, ...]
    pairing: bool = False


class Update(NamedTuple):
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


class Announce(NamedTuple):
    """What a host is and can do.

    Attributes:
        session: The start of the agent.
        host: The machine.
        agent: The program.
        collectors: The intervals of the collectors at work, in seconds.
        devices: Devices below the host.
        readings: What is reported.
        conflict: Another agent that was heard under this id.
        sequence: Its place among the host's announces.
        trust: Which keys the host trusts; absent for an agent that cannot be paired.
        commands: What may be asked of it.
        events: The types of the events that it can tell.
        update: How the agent is updated; absent for one that does not say so.
        separator: What joins the segments of keys in the topics of commands that it hears; a dot
            it always hears.
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
    commands: Mapping[str, Command] = MappingProxyType({})
    events: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    update: Update | None = None
    separator: Separator = Separator.DOT


# --- Writing ---------------------------------------------------------------------------------


def write_announce(announce: Announce) -> bytes:
    """Write an announce; texts are cut to what a reader takes.

    Raises:
        ProtocolError: A reading cannot be announced, or there is more than a reader takes.
    """
    _check_count("readings", announce.readings, MAX_READINGS)
    _check_count("devices", announce.devices, MAX_DEVICES)
    content: dict[str, Any] = {
        "protocol": PROTOCOL,
        "session": announce.session,
        "host": _write_host(announce.host),
        "agent": _write_agent(announce.agent),
        "collectors": {
            name: {"interval": _short(interval)} for name, interval in announce.collectors.items()
        },
        "readings": [_write_reading(reading) for reading in announce.readings.values()],
    }
    if announce.devices:
        content["devices"] = {
            clean_text(key): _texts(
                name=device.name,
                manufacturer=device.manufacturer,
                model=device.model,
                serial=device.serial,
            )
            for key, device in announce.devices.items()
        }
    if announce.conflict:
        name = clean_text(announce.conflict.name) or announce.host.id
        content["conflict"] = {"session": announce.conflict.session, "name": name}
    if announce.sequence:
        content["sequence"] = list(announce.sequence)
    if announce.trust:
        content["trust"] = {
            "controllers": list(announce.trust.controllers),
            "pairing": announce.trust.pairing,
        }
        content["commands"] = [command_fields(command) for command in announce.commands.values()]
    if announce.events:
        content["events"] = [
            {"key": key, "types": list(types)} for key, types in announce.events.items()
        ]
    if announce.update:
        content["update"] = update_fields(announce.update)
    if announce.separator is not Separator.DOT:
        content["separator"] = announce.separator.value
    payload = dump(content).encode()
    if len(payload) > MAX_ANNOUNCE:
        text = f"an announce of {len(payload)} bytes is more than {MAX_ANNOUNCE}"
        raise ProtocolError("size", text)
    return payload


def check_reading(reading: Reading) -> None:
    """Check that a reading can be announced.

    Raises:
        ProtocolError: It cannot.
    """
    if not is_key(reading.key):
        raise ProtocolError("key", f"{ascii(reading.key)[:80]} is not a reading's key")
    enum = reading.type is ReadingType.ENUM and reading.kind not in CATALOGUE
    if enum and not any(clean_text(option) for option in reading.options):
        raise ProtocolError("options", f"{reading.key} is an enum and has no options")


def _write_agent(agent: Agent) -> dict[str, str]:
    return _texts(version=agent.version, python=agent.python, pair=agent.pair)


def _write_host(host: Host) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": host.id, "name": clean_text(host.name) or host.id}
    fields |= _texts(os=host.os, arch=host.arch, manufacturer=host.manufacturer, model=host.model)
    if host.macs:
        fields["macs"] = list(host.macs[:MAX_MACS])
    return fields


def _write_reading(reading: Reading) -> dict[str, Any]:
    check_reading(reading)
    fields: dict[str, Any] = {"key": reading.key}
    if reading.kind != reading.key:
        fields |= _texts(kind=reading.kind)
    if reading.of:
        fields["of"] = clean_text(reading.of, MAX_OF)
    fields |= _texts(device=reading.device, name=reading.name, unit=reading.unit)
    if reading.type is not ReadingType.NUMBER:
        fields["type"] = reading.type.value
    if reading.precision is not None:
        fields["precision"] = reading.precision
    if options := [text for option in reading.options if (text := clean_text(option))]:
        fields["options"] = options[:MAX_OPTIONS]
    fields |= _texts(device_class=reading.device_class, state_class=reading.state_class)
    return fields


def command_fields(command: Command) -> dict[str, Any]:
    """Describe a command, as an announce does."""
    fields: dict[str, Any] = {"key": command.key}
    if command.kind != command.key:
        fields |= _texts(kind=command.kind)
    fields |= _texts(
        device=command.device, state=command.state, name=command.name, show=command.show
    )
    if command.args:
        fields["args"] = {name: clean_text(unit) for name, unit in command.args.items()}
    if command.limits:
        fields["limits"] = {name: _write_limits(one) for name, one in command.limits.items()}
    if command.options:
        fields["options"] = {name: list(texts) for name, texts in command.options.items()}
    fields |= {
        name: True
        for name, said in (("confirm", command.confirm), ("harmless", command.harmless))
        if said
    }
    if command.time_limit is not None:
        fields["time_limit"] = _short(command.time_limit)
    if command.missing:
        fields["missing"] = {
            "reason": clean_text(command.missing.reason),
            "fix": clean_text(command.missing.fix, MAX_FIX),
        }
    return fields


def _write_limits(limits: Limits) -> dict[str, float]:
    fields = {"minimum": limits.minimum, "maximum": limits.maximum}
    return fields if limits.step is None else fields | {"step": limits.step}


def update_fields(update: Update) -> dict[str, Any]:
    """Describe how the agent is updated, as an announce does."""
    fields: dict[str, Any] = _texts(
        source=update.source, cannot=update.cannot, trouble=update.trouble
    )
    if update.newest:
        version, notes = update.newest
        fields["newest"] = {"version": clean_text(version), "notes": clean_text(notes, MAX_NOTES)}
    if update.failed:
        version, reason = update.failed
        fields["failed"] = {"version": clean_text(version), "reason": clean_text(reason)}
    if update.trial:
        fields["trial"] = True
    return fields


def _texts(**fields: str | None) -> dict[str, str]:
    return {name: clean_text(text) for name, text in fields.items() if text}


def _short(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _check_count(name: str, values: Mapping[str, object], most: int) -> None:
    if len(values) > most:
        raise ProtocolError(name, f"{len(values)} {name} are more than {most}")


# --- Reading ---------------------------------------------------------------------------------


def parse_announce(payload: bytes, host_id: str) -> Announce | None:
    """Read an announce, in its envelope or out of it; nothing is verified.

    Args:
        payload: The message.
        host_id: The host's id, from the topic.

    Returns:
        The announce; `None` for the empty payload that removes a host.

    Raises:
        ProtocolError: It breaks a rule.
    """
    if not payload:
        return None
    data = load_object(open_envelope(payload, MAX_ANNOUNCE).body, MAX_ANNOUNCE)
    check_protocol(data)
    host = _host(get_object(data, "host"))
    if host.id != host_id:
        raise ProtocolError("host_id", "the host's id is not the one in the topic")
    collectors = _collectors(get_object(data, "collectors"))
    devices = _devices(get_object(data, "devices") if "devices" in data else {})
    return Announce(
        session=get_session(data),
        host=host,
        agent=_agent(get_object(data, "agent")),
        collectors=MappingProxyType(collectors),
        devices=MappingProxyType(devices),
        readings=MappingProxyType(_readings(data.get("readings"), collectors, devices)),
        conflict=_conflict(get_object(data, "conflict")) if "conflict" in data else None,
        sequence=get_sequence(data) if "sequence" in data else None,
        trust=_trust(get_object(data, "trust")) if "trust" in data else None,
        commands=MappingProxyType(_commands(data.get("commands", []))),
        events=MappingProxyType(_events(data.get("events", []))),
        update=_update(get_object(data, "update")) if "update" in data else None,
        separator=_separator(data.get("separator")),
    )


def _separator(value: object) -> Separator:
    # One of a later version is no reason to refuse a host: it hears dots as well.
    return Separator.COLON if value == Separator.COLON else Separator.DOT


def _host(data: Mapping[str, Any]) -> Host:
    host_id = get_text(data, "id")
    if not HOST_ID.fullmatch(host_id):
        raise ProtocolError("host_id", "the host's id is malformed")
    macs = data.get("macs", [])
    if not isinstance(macs, list) or len(macs) > MAX_MACS:
        raise ProtocolError("macs", f"macs is not a list of at most {MAX_MACS}")
    if not all(is_mac(mac) for mac in macs):
        raise ProtocolError("macs", "not a hardware address in macs")
    return Host(
        id=host_id,
        name=get_text(data, "name"),
        os=get_optional_text(data, "os"),
        arch=get_optional_text(data, "arch"),
        manufacturer=get_optional_text(data, "manufacturer"),
        model=get_optional_text(data, "model"),
        macs=tuple(macs),
    )


def _agent(data: Mapping[str, Any]) -> Agent:
    pair = get_optional_text(data, "pair")
    return Agent(
        get_text(data, "version"),
        get_optional_text(data, "python"),
        pair if pair and PAIR_COMMAND.fullmatch(pair) else None,
    )


def _conflict(data: Mapping[str, Any]) -> Conflict:
    return Conflict(session=get_session(data), name=get_text(data, "name"))


def _collectors(data: Mapping[str, Any]) -> dict[str, float]:
    if len(data) > MAX_COLLECTORS:
        raise ProtocolError("collectors", f"more than {MAX_COLLECTORS} collectors")
    collectors: dict[str, float] = {}
    for name, item in data.items():
        if not SEGMENT.fullmatch(name):
            raise ProtocolError("collectors", "a collector's name is malformed")
        interval = as_object(item, "collectors").get("interval")
        if not is_number(interval) or not 0 < interval <= MAX_INTERVAL:
            raise ProtocolError("interval", "an interval is not more than 0 and at most a day")
        collectors[name] = interval
    return collectors


def _devices(data: Mapping[str, Any]) -> dict[str, Device]:
    if len(data) > MAX_DEVICES:
        raise ProtocolError("devices", f"more than {MAX_DEVICES} devices")
    devices: dict[str, Device] = {}
    for key, item in data.items():
        if not 0 < len(key) <= MAX_TEXT or "\0" in key:
            raise ProtocolError("devices", "a device's key is malformed")
        fields = as_object(item, "devices")
        devices[key] = Device(
            name=get_optional_text(fields, "name"),
            manufacturer=get_optional_text(fields, "manufacturer"),
            model=get_optional_text(fields, "model"),
            serial=get_optional_text(fields, "serial"),
        )
    return devices


def _readings(
    data: object, collectors: Mapping[str, float], devices: Mapping[str, Device]
) -> dict[str, Reading]:
    if not isinstance(data, list) or len(data) > MAX_READINGS:
        raise ProtocolError("readings", f"readings is not a list of at most {MAX_READINGS}")
    readings: dict[str, Reading] = {}
    for item in data:
        reading = _reading(as_object(item, "readings"))
        if reading.key in readings:
            raise ProtocolError("key", "a key is announced twice")
        if reading.collector not in collectors:
            raise ProtocolError("key", "a key's collector is not announced")
        if reading.device is not None and reading.device not in devices:
            raise ProtocolError("device", "a reading's device is not announced")
        readings[reading.key] = reading
    return readings


def _reading(data: Mapping[str, Any]) -> Reading:
    key = get_text(data, "key", MAX_KEY)
    if not is_key(key):
        raise ProtocolError("key", "a key is malformed")
    kind = get_text(data, "kind") if "kind" in data else key
    precision = data.get("precision", 0)
    if not is_whole(precision) or not 0 <= precision <= MAX_PRECISION:
        raise ProtocolError("precision", f"precision is not a whole number to {MAX_PRECISION}")
    try:
        reading_type = ReadingType(data.get("type", ReadingType.NUMBER))
    except ValueError:
        raise ProtocolError("type", "a reading's type is not one of the five") from None
    options = get_options(data.get("options", []))
    if known := CATALOGUE.get(kind):
        reading_type, options = known.type, known.options
    elif reading_type is ReadingType.ENUM and not options:
        raise ProtocolError("options", "an enum has no options")
    return Reading(
        key=key,
        kind=kind,
        type=reading_type,
        of=get_text(data, "of", MAX_OF) if "of" in data else None,
        device=get_text(data, "device") if "device" in data else None,
        name=get_optional_text(data, "name"),
        unit=get_optional_text(data, "unit"),
        precision=precision if "precision" in data else None,
        options=options,
        device_class=get_optional_text(data, "device_class"),
        state_class=get_optional_text(data, "state_class"),
    )


def _trust(data: Mapping[str, Any]) -> Trust:
    controllers = data.get("controllers")
    if not isinstance(controllers, list) or len(controllers) > MAX_SIGNATURES:
        raise ProtocolError("trust", f"controllers is not a list of at most {MAX_SIGNATURES}")
    if not all(is_key_id(key_id) for key_id in controllers):
        raise ProtocolError("trust", "not the id of a key in controllers")
    return Trust(tuple(controllers), data.get("pairing") is True)


def _commands(data: object) -> dict[str, Command]:
    if not isinstance(data, list) or len(data) > MAX_COMMANDS:
        raise ProtocolError("commands", f"commands is not a list of at most {MAX_COMMANDS}")
    commands: dict[str, Command] = {}
    for item in data:
        command = _command(as_object(item, "commands"))
        if command.key in commands:
            raise ProtocolError("key", "a key is announced twice")
        commands[command.key] = command
    return commands


def _command(data: Mapping[str, Any]) -> Command:
    key = get_text(data, "key", MAX_KEY)
    if not is_key(key):
        raise ProtocolError("key", "a key is malformed")
    args = get_object(data, "args") if "args" in data else {}
    if len(args) > MAX_ARGUMENTS:
        raise ProtocolError("args", f"more than {MAX_ARGUMENTS} arguments")
    limits = get_object(data, "limits") if "limits" in data else {}
    options = get_object(data, "options") if "options" in data else {}
    return Command(
        key=key,
        kind=get_optional_text(data, "kind") or key,
        args=MappingProxyType({name: get_optional_text(args, name) or "" for name in args}),
        limits=MappingProxyType(
            {name: _limits(as_object(limits[name], "limits")) for name in limits if name in args}
        ),
        missing=_missing(get_object(data, "missing")) if "missing" in data else None,
        device=get_optional_text(data, "device"),
        state=get_optional_text(data, "state"),
        options=MappingProxyType(
            {name: get_options(options[name]) for name in options if name in args}
        ),
        name=get_optional_text(data, "name"),
        show=get_optional_text(data, "show"),
        confirm=data.get("confirm") is True,
        harmless=data.get("harmless") is True,
        time_limit=_time_limit(data),
    )


def _time_limit(data: Mapping[str, Any]) -> float | None:
    if "time_limit" not in data:
        return None
    limit = data["time_limit"]
    if not is_number(limit) or not 0 < limit <= MAX_TIME_LIMIT:
        raise ProtocolError("time_limit", f"time_limit is not more than 0, to {MAX_TIME_LIMIT}")
    return limit


def _limits(data: Mapping[str, Any]) -> Limits:
    minimum, maximum, step = (data.get(name) for name in ("minimum", "maximum", "step"))
    if not is_number(minimum) or not is_number(maximum) or minimum > maximum:
        raise ProtocolError("limits", "minimum and maximum are not two numbers in this order")
    if "step" not in data:
        return Limits(minimum, maximum)
    if not is_number(step) or step <= 0:
        raise ProtocolError("limits", "step is not a number above 0")
    return Limits(minimum, maximum, step)


def _missing(data: Mapping[str, Any]) -> Missing:
    return Missing(get_text(data, "reason"), get_text(data, "fix", MAX_FIX))


def _events(data: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(data, list) or len(data) > MAX_EVENTS:
        raise ProtocolError("events", f"events is not a list of at most {MAX_EVENTS}")
    events: dict[str, tuple[str, ...]] = {}
    for item in data:
        fields = as_object(item, "events")
        key = get_text(fields, "key", MAX_KEY)
        # Events are named by one segment or more, commands by two or more.
        if not (is_key(key) or SEGMENT.fullmatch(key)):
            raise ProtocolError("key", "a key is malformed")
        if key in events:
            raise ProtocolError("key", "a key is announced twice")
        events[key] = get_options(fields.get("types", []))
    return events


def _update(data: Mapping[str, Any]) -> Update:
    newest = get_object(data, "newest") if "newest" in data else None
    failed = get_object(data, "failed") if "failed" in data else None
    return Update(
        source=get_text(data, "source"),
        cannot=get_optional_text(data, "cannot"),
        trouble=get_optional_text(data, "trouble"),
        newest=None
        if newest is None
        else (get_text(newest, "version"), get_optional_text(newest, "notes", MAX_NOTES) or ""),
        failed=None
        if failed is None
        else (get_text(failed, "version"), get_text(failed, "reason")),
        trial=data.get("trial") is True,
    )
