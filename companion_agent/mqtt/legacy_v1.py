"""The flat topics of Pilot's first version, said beside the host's own while a house migrates.

They have a connection of their own, because a connection has one will, and the host's own says
that the host is lost. Every client of a broker could command the first version: its command topics
are subscribed to only where the configuration says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.mqtt.connection import (
    Message,
    State,
    Transport,
)
from companion_agent.mqtt.unsigned import v1_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from companion_agent.config.settings import Broker, V1Topics
    from companion_agent.models import Value
    from companion_agent.mqtt.unsigned import Obey

ONLINE, OFFLINE = b"online", b"offline"
# What Home Assistant takes for "unknown", and what the first version's language wrote for it.
_NOTHING = "None"
_MIB = 1 << 20
# Its lines stand among those of the host's own connection.
_LOGGER = logging.getLogger("companion_agent.mqtt.connection")


class Flat(NamedTuple):
    """A state of the first version.

    Attributes:
        key: The key of the reading that it is, with `*` for the one that there may be several of.
        name: Its name there.
        convert: Makes its value of the reading's.
    """

    key: str
    name: str
    convert: Callable[[Any], Value] = lambda value: value


# The first version knew one battery, one address and one graphics card: the first that can be read.
TABLE = (
    Flat("cpu.percent", "cpu"),
    Flat("cpu.temperature", "cpu_temp"),
    Flat("cpu.frequency", "cpu_frequency", lambda megahertz: round(megahertz / 1000, 3)),
    Flat("memory.percent", "memory"),
    Flat("network.*.ipv4", "ip"),
    Flat("battery.*.level", "battery_level", round),
    Flat("battery.*.state", "battery_state"),
    Flat("graphics.*.percent", "gpu_utilization"),
    Flat("graphics.*.memory_used", "gpu_memory_used_mb", lambda size: round(size / _MIB)),
    Flat("graphics.*.memory_total", "gpu_memory_total_mb", lambda size: round(size / _MIB)),
    Flat("graphics.*.temperature", "gpu_temp"),
)


def flatten(collector: str, values: Mapping[str, Value]) -> dict[str, str]:
    """Return the first version's states, by name, of what a collector has read.

    Args:
        collector: The collector.
        values: Its values by the reading's name within it; `None` for what cannot be read now.
    """
    states = {}
    for flat in TABLE:
        if flat.key.partition(".")[0] != collector:
            continue
        found = [
            value for key, value in values.items() if fnmatchcase(f"{collector}.{key}", flat.key)
        ]
        if found:
            first = next((value for value in found if value is not None), None)
            states[flat.name] = _NOTHING if first is None else str(flat.convert(first))
    return states


@dataclass(slots=True)
class _Uncounted:
    """The agent's own count is of the connection that Home Assistant hears of."""

    reconnects: int = 0
    dropped_messages: int = 0


class _Labelled(logging.LoggerAdapter[logging.Logger]):
    """Says whose connection a line is about."""

    def process(
        self, msg: str, kwargs: MutableMapping[str, Any]
    ) -> tuple[str, MutableMapping[str, Any]]:
        """Put it in front."""
        return f"Mirror of the v1 topics: {msg}", kwargs


class Mirror:
    """Says what the agent says once more, in the first version's topics.

    Attributes:
        transport: Its connection.

    Args:
        topics: What the topics are called.
        brokers: The brokers, the preferred one first.
        client_id: The MQTT client id.
        clock: Monotonic seconds.
        obey: Checks and carries out the commands of its topics, where the configuration wants that.
    """

    def __init__(
        self,
        topics: V1Topics,
        brokers: Sequence[Broker],
        client_id: str,
        clock: Callable[[], float],
        obey: Obey | None = None,
    ) -> None:
        self._obey = obey if topics.commands else None
        self._topics = topics
        self._base = f"{topics.prefix}/{topics.device}"
        self._present = True
        self._states: dict[str, str] = {}
        self._of: dict[str, set[str]] = {}
        # Two connections with one client id would put each other out.
        own = [
            replace(broker, client_id=f"{broker.client_id}-v1") if broker.client_id else broker
            for broker in brokers
        ]
        self.transport = Transport(
            own,
            client_id,
            _Uncounted(),
            clock,
            log=_Labelled(_LOGGER, {}),
            # Nothing contradicts the old will of a connection that died: a new one has to end it.
            one_client_id=True,
        )
        self.transport.listener = self
        self.transport.receiver = self._received
        will = self._availability(OFFLINE)
        self.transport.will = (lambda: will) if will else None

    # --- What the agent tells ------------------------------------------------------------

    def state(self, collector: str, values: Mapping[str, Value]) -> None:
        """Take a collector's values; none when it has gone."""
        states = flatten(collector, values)
        gone = self._of.get(collector, set()) - states.keys()
        self._of[collector] = set(states)
        self._states.update(states)
        for name in gone:
            del self._states[name]
            self._publish(name, "")  # takes the retained message away
        for name, text in states.items():
            self._publish(name, text)

    async def run(self) -> None:
        """Keep its connection, until cancelled."""
        await self.transport.run()

    def follow(self, *, present: bool, silent: bool) -> None:
        """Be there as the host is.

        Args:
            present: Whether the host is there: not asleep, and not shutting down.
            silent: Whether nothing is to be said: another agent speaks for this host, or this one
                has yet to show that it stays.
        """
        idle = self.transport.state is State.IDLE
        if silent and not idle:
            self.transport.close()
        elif idle and not silent:
            self.transport.start()
        if present != self._present:
            self._present = present
            self._say_whether_present()

    # --- What the transport tells --------------------------------------------------------

    def connected(self) -> None:
        """Say everything."""
        self._say_whether_present()
        for name, text in self._states.items():
            self._publish(name, text)
        if self._obey:
            self.transport.subscribe([f"{self._base}/cmd/+/set"])

    def disconnected(self) -> None:
        """Wait: everything is said again with the next connection."""

    def _received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        if retained or not self._obey:
            return
        what, said = topic.split("/")[-2], payload.decode("utf-8", "replace")
        if command := v1_command(what, said):
            self._obey(*command, "v1")
        else:
            _LOGGER.warning("The command %r of v1 with %.40r is not known", what, said)

    # --- Saying --------------------------------------------------------------------------

    def _publish(self, name: str, text: str) -> None:
        self.transport.publish(Message(f"{self._base}/state/{name}", text.encode()))

    def _say_whether_present(self) -> None:
        if message := self._availability(ONLINE if self._present else OFFLINE):
            self.transport.publish(message)

    def _availability(self, payload: bytes) -> Message | None:
        topic = self._topics.availability_topic
        if topic is None:
            topic = f"{self._base}/availability"
        return Message(topic, payload, qos=1) if topic else None
