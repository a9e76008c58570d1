"""A plain MQTT client beside Pilot: it hears everything and can say anything."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from stack.process import wait_for
from support.mqtt_client import Message, RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Broker
    from stack.process import Process

PREFIX = "pilot/v2"


class Bus(RecordingClient):
    """Listens to everything below Pilot's prefix, and publishes whatever a test wants.

    Args:
        broker: Whose messages to hear.
        listen: What to subscribe to.
    """

    def __init__(self, broker: Broker, listen: str = f"{PREFIX}/#") -> None:
        self._broker = broker
        self._protocol = (
            MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        )
        super().__init__(
            broker.host,
            broker.port,
            listen,
            username=broker.username,
            password=broker.password,
            protocol=self._protocol,
        )

    def wait_for(
        self,
        topic: str,
        condition: Callable[[Message], object] = lambda _: True,
        *,
        since: float = 0,
        timeout: float = 30,
        process: Process | None = None,
    ) -> Message:
        """Wait until something was said on a topic, and return it.

        Args:
            topic: Where.
            condition: What it must be.
            since: Not earlier than this, by this machine's monotonic clock.
            timeout: In seconds.
            process: Who is to say it; its end is the end of the wait.
        """
        return wait_for(
            lambda: next((m for m in self.heard(topic, since) if condition(m)), None),
            f"message on {topic}",
            timeout=timeout,
            interval=0.02,
            process=process,
        )

    def retained(self, host: str = "+") -> dict[str, bytes]:
        """Return what the broker keeps of a host, by topic."""
        found: dict[str, bytes] = {}
        complete = threading.Event()
        marker = f"pilot-test/{time.monotonic_ns()}"

        def on_connect(client: paho.Client, *_: object) -> None:
            client.subscribe([(f"{PREFIX}/{host}/#", 1), (marker, 1)])

        def on_subscribe(client: paho.Client, *_: object) -> None:
            # The broker sends what it keeps before it sends this back.
            client.publish(marker, b"", qos=1)

        def on_message(_: object, __: object, message: paho.MQTTMessage) -> None:
            if message.topic == marker:
                complete.set()
            elif message.retain:
                found[message.topic] = message.payload

        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=self._protocol)
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.connect(self._broker.host, self._broker.port)
        client.loop_start()
        try:
            assert complete.wait(10), "the broker does not tell what it keeps"
        finally:
            client.disconnect()
            client.loop_stop()
        return found

    def forget_host(self, host: str) -> None:
        """Make the broker forget a host."""
        for topic in self.retained(host):
            self.publish(topic, b"", retain=True)
