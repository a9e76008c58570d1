"""A plain MQTT client beside Pilot: it hears everything and can say anything."""

from __future__ import annotations

from dataclasses import dataclass
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from stack.broker import Broker
    from stack.process import Process

PREFIX = "pilot/v2"


@dataclass(frozen=True, slots=True)
class Message:
    """What was said on a topic.

    Attributes:
        at: When it was heard, by this machine's monotonic clock.
        topic: Where it was said.
        payload: What was said.
    """

    at: float
    topic: str
    payload: bytes

    @property
    def json(self) -> Any:
        """What was said, decoded."""
        return json.loads(self.payload)


class Bus:
    """Listens to everything below Pilot's prefix, and publishes whatever a test wants.

    Args:
        broker: Whose messages to hear.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._messages: list[Message] = []
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        # Else every acknowledged message waits for a delayed acknowledgement of TCP.
        self._client.on_socket_open = _set_no_delay
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        assert self._listening.wait(10), "the broker does not let a plain client listen"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Say something, and return when the broker has it."""
        assert self._listening.wait(30), "the plain client has lost the broker"
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def heard(self, topic: str, since: float = 0) -> list[Message]:
        """Return what was said on a topic since a moment, oldest first."""
        with self._lock:
            return [m for m in self._messages if m.topic == topic and m.at >= since]

    def wait_for(
        self,
        topic: str,
        condition: Callable[[Message], bool] = lambda _: True,
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
            interval=0.05,
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

        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
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

    def forget(self, host: str) -> None:
        """Make the broker forget a host."""
        for topic in self.retained(host):
            self.publish(topic, b"", retain=True)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(f"{PREFIX}/#", qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self._listening.set()

    def _on_disconnect(self, *_: object) -> None:
        self._listening.clear()

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            self._messages.append(Message(time.monotonic(), message.topic, message.payload))


def _set_no_delay(_: object, __: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
