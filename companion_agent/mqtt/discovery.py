"""Home Assistant's own MQTT discovery, for a Home Assistant without the Pilot integration.

One retained message describes the whole host as a device with entities, whose values come from
the topics that the integration reads as well. Entities have the unique ids that they have in the
integration, which takes them over when it is added, and empties the topic: then nothing is said
there any more.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple
import unicodedata

from companion_agent.mqtt.appearance import APPEARANCE, ATTRIBUTES
from companion_agent.mqtt.connection import Message
from companion_agent.mqtt.discovery_record import read_record, write_record
from companion_agent.mqtt.unsigned import PRESS
from companion_agent.protocol.catalogue import CATALOGUE, SETTINGS, ReadingType, Several
from companion_agent.protocol.messages import SIGNED_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from companion_agent.protocol.announce import Announce, Command, Reading
    from companion_agent.protocol.topics import Topics

_LOGGER = logging.getLogger(__name__)


_SYSTEM_DISKS = frozenset({"/", "C:"})
_MEDIA = "media."
_OWN = "own_commands."
# A state that was cleared is no JSON.
_COLLECTORS = "{% set collectors = (value_json | default({})).collectors | default({}) %}"
# What holds the value of a collector that signs: the body of its envelope.
_SIGNED = "{% set part = part.body | from_json if part.body is defined else part %}"
_ONLINE = (
    "{% set word = (value_json.body | from_json).availability if value[:1] == '{' else value %}"
)


class Appearance(NamedTuple):
    """How a kind is drawn.

    Attributes:
        platform: As what.
        name: Under which name, with `{of}` for which one it is.
        name_of: Under which name where there may be one, and there are several.
        name_of_system: Under which name where it is about the system's disk.
        device_class: What it measures.
        state_class: How it is summed up.
        category: Whether it is diagnostic, or configuration.
        precision: Digits after the point.
        enabled: Whether it is shown unless the user wants otherwise.
        on: The value that is on.
    """

    platform: str
    name: str = ""
    name_of: str = ""
    name_of_system: str = ""
    device_class: str | None = None
    state_class: str | None = None
    category: str | None = None
    precision: int | None = None
    enabled: bool = True
    on: bool = True


_LOOKS = {kind: Appearance(**look) for kind, look in APPEARANCE.items()}


def discovery_payload(
    announce: Announce, topics: Topics, pressable: Collection[str] | None = None
) -> dict[str, Any]:
    """Describe a host as Home Assistant's device discovery wants it.

    Args:
        announce: What the host announces.
        topics: Its topics.
        pressable: The keys of commands that can be called without an argument, where commands
            need no signature; `None` where they do.
    """
    host = announce.host
    device: dict[str, Any] = {
        "identifiers": [host.id],
        "name": host.name,
        "sw_version": f"pilot-agent {announce.agent.version}",
        "connections": [["mac", mac] for mac in host.macs],
        "manufacturer": host.manufacturer,
        "model": host.model,
    }
    components = dict(_readings(announce, topics))
    if pressable is not None:
        components |= dict(_commands(announce, topics, pressable))
    return {
        "device": {name: value for name, value in device.items() if value},
        "origin": {"name": "pilot-agent", "sw_version": announce.agent.version},
        "availability": [
            {
                "topic": topics.availability,
                "value_template": _ONLINE + "{{ 'online' if word == 'online' else 'offline' }}",
            }
        ],
        "components": components,
    }


def _readings(announce: Announce, topics: Topics) -> Iterator[tuple[str, dict[str, Any]]]:
    for reading in announce.readings.values():
        if reading.kind in SETTINGS or reading.kind in ATTRIBUTES:
            continue
        if reading.kind.startswith(_MEDIA):
            continue
        look = _look_of(reading)
        component = _component(announce, look.platform, reading.key, _name(announce, reading))
        component |= {"state_topic": topics.state, "value_template": _template(reading, look)}
        if look.platform == "sensor":
            component |= {
                "unit_of_measurement": _unit(reading),
                "state_class": look.state_class,
                "options": list(_options(reading)) or None,
                "suggested_display_precision": look.precision,
            }
        yield (
            _object_id(reading.key),
            _given(
                component,
                device_class=look.device_class,
                entity_category=look.category,
                enabled_by_default=None if look.enabled else False,
            ),
        )


def _commands(
    announce: Announce, topics: Topics, pressable: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, command in announce.commands.items():
        look = _LOOKS.get(command.kind)
        topic = topics.unsigned(key)
        reading = announce.readings.get(command.state or "")
        if reading is not None and reading.kind == command.kind and "value" in command.args:
            yield _object_id(key), _setting(announce, topics, command, reading)
        elif key in pressable and ((look and look.platform == "button") or command.show):
            # Of several of a kind, `name` says which.
            name = look.name.format(of=command.name or key) if look else command.name or key
            own_key = key if key.startswith(_OWN) else key.replace(".", "_")
            component = _component(announce, "button", own_key, name)
            component |= {"command_topic": topic, "payload_press": PRESS}
            yield (
                _object_id(key),
                _given(
                    component,
                    device_class=look.device_class if look else None,
                    entity_category="config",
                ),
            )


def _setting(
    announce: Announce, topics: Topics, command: Command, reading: Reading
) -> dict[str, Any]:
    look = _LOOKS.get(reading.kind) or Appearance("number", "")
    limits, options = command.limits.get("value"), command.options.get("value", ())
    more: dict[str, Any]
    if reading.type is ReadingType.BOOLEAN:
        platform = "switch"
        more = {"payload_on": "1", "payload_off": "0", "state_on": "ON", "state_off": "OFF"}
    elif options:
        platform, more = "select", {"options": list(options)}
    else:
        platform = "number"
        more = {"unit_of_measurement": _unit(reading), "mode": "box"}
        if limits:
            more |= {"min": limits.minimum, "max": limits.maximum, "step": limits.step}
    component = _component(announce, platform, reading.key, _name(announce, reading))
    component |= {
        "state_topic": topics.state,
        "value_template": _template(reading, look),
        "command_topic": topics.unsigned(command.key),
    }
    return _given(component, **more, entity_category="config")


def _component(announce: Announce, platform: str, key: str, name: str) -> dict[str, Any]:
    return {
        "platform": platform,
        "unique_id": f"{announce.host.id}_{key}",
        "name": name,
        "default_entity_id": f"{platform}.{_slug(announce.host.name)}_{_slug(name)}",
    }


def _given(component: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {name: value for name, value in (component | more).items() if value is not None}


def _look_of(reading: Reading) -> Appearance:
    """Return how a reading is drawn: what its kind says, else what it says of itself."""
    if look := _LOOKS.get(reading.kind):
        return look
    if reading.type is ReadingType.BOOLEAN:
        return Appearance("binary_sensor", "", device_class=reading.device_class or None)
    if reading.type is ReadingType.NUMBER:
        wanted = reading.state_class or "measurement"
        return Appearance(
            "sensor",
            "",
            device_class=reading.device_class or None,
            state_class=None if wanted == "none" else wanted,
            precision=reading.precision,
        )
    special = {ReadingType.TIMESTAMP: "timestamp", ReadingType.ENUM: "enum"}
    return Appearance("sensor", "", device_class=special.get(reading.type))


def _name(announce: Announce, reading: Reading) -> str:
    kind, look = CATALOGUE.get(reading.kind), _LOOKS.get(reading.kind)
    if kind is None or look is None:
        name = reading.name or reading.value_name.replace(".", " ").replace("_", " ").capitalize()
        name = f"{name} {reading.of}" if reading.of else name
    elif look.name_of_system and reading.of in _SYSTEM_DISKS:
        name = look.name_of_system
    elif kind.several is Several.OPTIONAL and reading.of:
        name = look.name_of.format(of=reading.of)
    else:
        name = look.name.format(of=reading.of or reading.value_name)
    device = announce.devices.get(reading.device or "")
    return f"{device.name or device.model or reading.device} {name}" if device else name


def _unit(reading: Reading) -> str | None:
    kind = CATALOGUE.get(reading.kind)
    return (kind.unit if kind else reading.unit) or None


def _options(reading: Reading) -> tuple[str, ...]:
    kind = CATALOGUE.get(reading.kind)
    return kind.options if kind else reading.options


def _template(reading: Reading, look: Appearance) -> str:
    """Return what makes a state of the message with all values; `None` is unknown there."""
    collector, name = reading.collector, reading.value_name
    text = f"{_COLLECTORS}{{% set part = collectors.get('{collector}', {{}}) %}}"
    if collector in SIGNED_STATES:
        text += _SIGNED
    value = f"part.get('values', {{}}).get('{name}')"
    if reading.type is ReadingType.BOOLEAN:
        on, off = ("ON", "OFF") if look.on else ("OFF", "ON")
        return f"{text}{{{{ {{true: '{on}', false: '{off}'}}.get({value}) }}}}"
    return f"{text}{{{{ {value} }}}}"


def _object_id(key: str) -> str:
    """Return a key as discovery wants it: letters, digits, hyphens and underscores."""
    return key.replace(".", "_")


def _slug(text: str) -> str:
    """Return a text as part of an entity id."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "host"


class MqttDiscovery:
    """Says the host in the topic of discovery while that is wanted, and takes it back after it.

    Args:
        folder: The state folder, where it is noted what the broker keeps.
        topics: The host's topics.
        prefix: What the topics of discovery begin with.
        wanted: Whether the configuration wants it.

    Attributes:
        topic: Where the host is described.
        taken_over: Whether another client has emptied that topic.
    """

    def __init__(self, folder: Path, topics: Topics, prefix: str, *, wanted: bool) -> None:
        self._folder = folder
        self._topics = topics
        self.wanted = wanted
        self.topic = f"{prefix}/device/{topics.host}/config"
        self._said, self.taken_over = read_record(folder)

    def messages(self, announce: Announce, pressable: Collection[str] | None) -> Iterator[Message]:
        """Return what is to be said beside an announce.

        Args:
            announce: What the host announces.
            pressable: The keys of commands without an argument; `None` where none is obeyed.
        """
        if self._said and (not self.wanted or self._said != self.topic):
            yield Message(self._said, b"", qos=1)
            self._note("", taken_over=False)
        if self.wanted and not self.taken_over:
            if not self._said:
                self._note(self.topic, taken_over=False)
            payload = discovery_payload(announce, self._topics, pressable)
            yield Message(self.topic, json.dumps(payload, ensure_ascii=False).encode(), qos=1)

    def received(self, _: str, payload: bytes, *, retained: bool) -> None:
        """Take what another client says in the topic of discovery."""
        if payload or retained or not self.wanted or self.taken_over:
            return
        _LOGGER.info(
            "Home Assistant has emptied the topic of MQTT discovery: the Pilot integration has "
            "taken the entities over, or the device was deleted there. Nothing is said there any "
            "more until `discovery` has been switched off and on again"
        )
        self._note(self._said, taken_over=True)

    def _note(self, said: str, *, taken_over: bool) -> None:
        self._said, self.taken_over = said, taken_over
        try:
            write_record(self._folder, said, taken_over=taken_over)
        except OSError as error:
            _LOGGER.warning("What MQTT discovery says cannot be noted: %s", error)
