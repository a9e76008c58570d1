"""A host as it shows in Home Assistant, beside what its agent says of it."""

from __future__ import annotations

import ast
from contextlib import ExitStack
from dataclasses import dataclass, field
import functools
import json
from typing import TYPE_CHECKING, Any, Self

from .console import StackError
from .paths import ROOT
from .process import wait_for

if TYPE_CHECKING:
    from types import TracebackType

    from .homeassistant import HomeAssistant

PREFIX = "pilot/v2"

_NO_VALUE = {"unknown", "unavailable"}


@dataclass
class Host:
    """What is known of a host at one moment.

    Attributes:
        announce: Its agent's announce.
        values: Its agent's readings by key, as they lie on the broker.
        entities: Home Assistant's entity registry entries by key. What is not a
            reading (the status) is here under its own name.
        states: States by entity id.

    """

    announce: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The host's id."""
        return str(self.announce["host"]["id"])

    @property
    def name(self) -> str:
        """The host's name."""
        return str(self.announce["host"]["name"])

    def entity_id(self, key: str) -> str | None:
        """Return the entity of a reading that is there and enabled."""
        entity = self.entities.get(key)
        if entity is None or entity["disabled_by"] or entity["entity_id"] not in self.states:
            return None
        return str(entity["entity_id"])

    def has_value(self, key: str) -> bool:
        """Tell whether a reading has a value in Home Assistant."""
        entity_id = self.entity_id(key)
        return entity_id is not None and self.states[entity_id]["state"] not in _NO_VALUE

    def keys(self, kind: str) -> list[str]:
        """Return the readings of a kind that have an enabled entity, as announced."""
        return [
            reading["key"]
            for reading in self.announce["readings"]
            if reading.get("kind", reading["key"]) == kind and self.entity_id(reading["key"])
        ]

    def announces(self, key: str) -> bool:
        """Tell whether a key is one of the readings."""
        return any(reading["key"] == key for reading in self.announce["readings"])

    def of(self, key: str) -> str:
        """Return which one of its kind a reading is about."""
        for reading in self.announce["readings"]:
            if reading["key"] == key:
                return str(reading.get("of", ""))
        return ""

    def missing(self) -> list[str]:
        """Return what the agent reads and Home Assistant does not have, in words."""
        problems = []
        # What a command sets is shown by the entity that sets it, under the command's key.
        settings = {
            command.get("state")
            for command in self.announce.get("commands", ())
            if "value" in command.get("args", {})
        }
        for reading in self.announce["readings"]:
            key = reading["key"]
            if key in settings:
                continue
            if key not in self.values:
                problems.append(f"{key}: the agent has not sent it yet")
            elif key not in self.entities and reading.get("kind", key) in attributes():
                continue
            elif key not in self.entities:
                problems.append(f"{key}: it has no entity")
            elif self.entities[key]["disabled_by"] or self.values[key] is None:
                continue  # Off unless the user wants it; or not readable at the moment.
            elif not self.has_value(key):
                state = self.states.get(self.entities[key]["entity_id"], {}).get("state")
                problems.append(f"{key}: {self.entities[key]['entity_id']} is {state}")
        return problems


@functools.cache
def attributes() -> frozenset[str]:
    """Return the kinds that are attributes of others' entities, and have none of their own."""
    source = (ROOT / "companion_agent" / "mqtt" / "appearance.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "ATTRIBUTES"
            and isinstance(node.value, ast.Call)
        ):
            return frozenset(ast.literal_eval(node.value.args[0]))
    raise StackError("companion_agent/mqtt/appearance.py does not name the attributes")


class Watch:
    """What agents say, as Home Assistant receives it from its broker.

    >>> with Watch(ha) as watch:  # doctest: +SKIP
    ...     watch.wait_for_announce()
    ...     print(watch.host(host_id).missing())

    Args:
        ha: Whose broker to listen to.
        since: Readings taken before this moment (seconds since 1970) do not count:
            brokers keep those of earlier runs.

    """

    def __init__(self, ha: HomeAssistant, *, since: float = 0) -> None:
        self._ha = ha
        self._since = since
        self._stack = ExitStack()
        self._messages: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._websocket = self._stack.enter_context(self._ha.websocket())
        self._subscription = self._websocket.subscribe("mqtt/subscribe", topic=f"{PREFIX}/#")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def wait_for_announce(self, timeout: float = 30) -> list[str]:
        """Return the ids of the hosts that are announced, once there is one."""

        def heard() -> list[str]:
            self._receive()
            return [
                topic.split("/")[-2]
                for topic, payload in self._messages.items()
                if topic.endswith("/announce") and payload
            ]

        return wait_for(heard, "announce of a host on the broker", timeout=timeout)

    def host(self, host_id: str) -> Host:
        """Return what agent and Home Assistant know of a host now."""
        self._receive()
        host = Host(_content(json.loads(self._messages[f"{PREFIX}/{host_id}/announce"])))
        if payload := self._messages.get(f"{PREFIX}/{host_id}/state"):
            for collector, part in json.loads(payload)["collectors"].items():
                state = _content(part)
                if state["ts"] >= self._since:
                    for key, value in state["values"].items():
                        host.values[f"{collector}.{key}"] = value
        for entity in self._ha.entities():
            # Unique ids are the host's id, one separating character and the key.
            if entity["platform"] == "pilot" and entity["unique_id"].startswith(host_id):
                host.entities[entity["unique_id"].removeprefix(host_id)[1:]] = entity
        host.states = self._ha.states()
        return host

    def _receive(self) -> None:
        """Take in what has come since the last time."""
        for event in self._websocket.events(self._subscription):
            self._messages[event["topic"]] = event["payload"]


def _content(message: dict[str, Any]) -> dict[str, Any]:
    """Return what a paired host signed, or what another one said."""
    signed = message.get("body")
    content: dict[str, Any] = json.loads(signed) if isinstance(signed, str) else message
    return content
