"""A client with the login of the broker's administrator: hears all, says anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.bus import Bus
from security.controller import Said

if TYPE_CHECKING:
    from stack.broker import Broker
    from support.mqtt_client import Message


class Attacker(Bus):
    """A plain MQTT client.

    What it says arrives in the order in which it was said: one connection, one QoS.

    Args:
        broker: Whose administrator's login it has.
        listen: What it subscribes to.
    """

    def __init__(self, broker: Broker, listen: str = "#") -> None:
        super().__init__(broker, listen)

    def say(self, *messages: Said, retain: bool = False, qos: int = 0) -> None:
        """Publish messages, in this order, and return when they are on their way."""
        for topic, payload in messages:
            self._client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def newest(self, topic: str) -> Message:
        """Return what was published last on a topic; wait where it is still on its way."""
        self.wait_until_heard(lambda message: message.topic == topic, f"message on {topic}")
        return self.heard(topic)[-1]


def again(message: Message) -> Said:
    """Return what was heard, to be said again."""
    return Said(message.topic, message.payload)
