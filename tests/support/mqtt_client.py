"""A plain MQTT client that records what it hears."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from .event_loop import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Message:
    """What was published.

    Attributes:
        at: When it was heard, by this machine's monotonic clock.
        topic: Where it was published.
        payload: What was published.
        retained: Whether the broker had kept it.
    """

    at: float
    topic: str
    payload: bytes
    retained: bool = False

    @property
    def json(self) -> Any:
        """The payload, decoded."""
        return json.loads(self.payload)

    @property
    def body(self) -> dict[str, Any]:
        """What is in it, with or without an envelope, whichever key signed it."""
        content: Any = self.json
        if isinstance(content, dict) and isinstance(content.get("body"), str):
            content = json.loads(content["body"])
        return dict(content)


class RecordingClient:
    """Records what is published below some topics, and publishes what a test wants.

    Args:
        host: The broker's address.
        port: The broker's port.
        listen: What to subscribe to.
        username: The login, where the broker wants one.
        password: The password of the login.
        protocol: The version of MQTT that it speaks.
        patience: Seconds that something may take until it is heard.
    """

    def __init__(
        self,
        host: str,
        port: int,
        listen: str = "#",
        *,
        username: str | None = None,
        password: str | None = None,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        self._address = (host, port)
        # In the order of their times, all and by topic: tests ask again and again.
        self._messages: list[Message] = []
        self._by_topic: defaultdict[str, list[Message]] = defaultdict(list)
        self._changed = threading.Condition()
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        if username:
            self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_queued_messages_set(0)
        # Else every acknowledged message waits for a delayed acknowledgement of TCP.
        self._client.on_socket_open = _set_no_delay
        self._client.on_connect = lambda client, *_: client.subscribe(listen, qos=1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_disconnect = lambda *_: self._listening.clear()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect, and wait until everything that is published will be heard."""
        self._client.connect(*self._address)
        self._client.loop_start()
        assert self._listening.wait(PATIENCE), "the broker does not let a plain client listen"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self, topic: str, payload: bytes | str, *, retain: bool = False, qos: int = 1
    ) -> None:
        """Publish, and return when the broker has it; without a QoS, when it is on its way."""
        assert self._listening.wait(PATIENCE), "the plain client has lost the broker"
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def heard(self, topic: str = "", since: float = 0) -> list[Message]:
        """Return what was published since a moment, oldest first, on one topic or on all."""
        with self._changed:
            messages = self._by_topic.get(topic, []) if topic else self._messages
            return messages[bisect_left(messages, since, key=lambda message: message.at) :]

    def wait_until_heard(
        self, wanted: Callable[[Message], object], name: str, count: int = 1
    ) -> Message:
        """Wait for the nth message that is wanted, and return it.

        Args:
            wanted: Tells whether a message is.
            name: What a failed test calls it.
            count: The n.
        """
        found: list[Message] = []
        seen = 0

        def is_enough() -> bool:
            nonlocal seen
            found.extend(message for message in self._messages[seen:] if wanted(message))
            seen = len(self._messages)
            return len(found) >= count

        with self._changed:
            assert self._changed.wait_for(is_enough, self._patience), (
                f"{name} was not heard; heard was {self._messages}"
            )
        return found[count - 1]

    def forget(self) -> None:
        """Forget what was heard until now."""
        with self._changed:
            self._messages.clear()
            self._by_topic.clear()

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            heard = Message(time.monotonic(), message.topic, message.payload, message.retain)
            for recorded in self._record(heard):
                self._messages.append(recorded)
                self._by_topic[recorded.topic].append(recorded)
            self._changed.notify_all()

    def _record(self, message: Message) -> list[Message]:
        """Return what is recorded of a message."""
        return [message]


def _set_no_delay(_: object, __: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
