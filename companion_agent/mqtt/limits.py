"""What a broker takes, as it says in CONNACK. Source: MQTT 5.0, 3.2.2.3; 3.1.1 cannot say it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# A PUBLISH without topic and payload: type, length, length of the topic, id, no properties.
_PUBLISH_OVERHEAD = 1 + 4 + 2 + 2 + 1


class Limits(NamedTuple):
    """What a broker takes; everything where it does not say.

    Attributes:
        packet: Bytes of a packet (Maximum Packet Size).
        retain: Whether it keeps retained messages (Retain Available).
        qos: The highest quality of service (Maximum QoS).
        inflight: Messages that may wait for their acknowledgement (Receive Maximum).
        wildcards: Whether it takes subscriptions with wildcards.
        keepalive: Seconds of silence, if it wants others than were asked for (Server Keep Alive).
    """

    packet: float = math.inf
    retain: bool = True
    qos: int = 2
    inflight: int = 65_535
    wildcards: bool = True
    keepalive: int | None = None

    @classmethod
    def of(cls, properties: object) -> Limits:
        """Read the properties of a CONNACK; `None` when there are none.

        MQTT has no limits of zero packets or bytes; a broker that says so means none.
        """
        return cls(
            packet=getattr(properties, "MaximumPacketSize", 0) or math.inf,
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            qos=getattr(properties, "MaximumQoS", 2),
            inflight=getattr(properties, "ReceiveMaximum", 0) or 65_535,
            wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
            keepalive=getattr(properties, "ServerKeepAlive", None),
        )

    def room(self, topic: str) -> float:
        """Return how many bytes a message on a topic may have."""
        return self.packet - len(topic.encode()) - _PUBLISH_OVERHEAD

    @property
    def words(self) -> list[str]:
        """What differs from a broker that takes everything, with the names that MQTT has for it."""
        return [
            text
            for limited, text in (
                (self.packet < math.inf, f"packets of at most {self.packet:,} bytes"),
                (not self.retain, "no retained messages"),
                (self.qos < 2, f"QoS {self.qos} at most"),
                (not self.wildcards, "no subscriptions with wildcards"),
                (self.keepalive is not None, f"keep-alive {self.keepalive} s"),
            )
            if limited
        ]

    def hearable(self, topics: Iterable[str]) -> tuple[list[str], list[str]]:
        """Part subscriptions into those that the broker takes, and the others."""
        taken: list[str] = []
        others: list[str] = []
        for topic in topics:
            wild = "+" in topic or "#" in topic
            (others if wild and not self.wildcards else taken).append(topic)
        return taken, others
