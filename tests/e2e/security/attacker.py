"""A client with the login of the broker's administrator: hears all, says anything."""

from __future__ import annotations

from dataclasses import dataclass
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from security.peer import Said

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from stack.broker import Broker


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard.

    Attributes:
        at: When, by this machine's monotonic clock.
        topic: Where.
        payload: What.
    """

    at: float
    topic: str
    payload: bytes

    @property
    def said(self) -> Said:
        """The same, to be said again."""
        return Said(self.topic, self.payload)

    @property
    def body(self) -> dict[str, Any]:
        """What is in it, with or without an envelope, whichever key signed it."""
        content: Any = json.loads(self.payload)
        if isinstance(content, dict) and isinstance(content.get("body"), str):
            content = json.loads(content["body"])
        return dict(content)


class Attacker:
    """A plain MQTT client.

    What it says arrives in the order in which it was said: one connection, one QoS.

    Args:
        broker: Whose administrator's login it has.
        listen: What it subscribes to.
    """

    def __init__(self, broker: Broker, listen: str = "#") -> None:
        self._broker = broker
        self._listen = listen
        self._messages: list[Heard] = []
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_queued_messages_set(0)
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.on_socket_open = _set_no_delay
        self._client.on_connect = lambda client, *_: client.subscribe(listen, qos=1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        assert self._listening.wait(10), "the broker does not let the attacker listen"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, *messages: Said, retain: bool = False, qos: int = 0) -> None:
        """Publish messages, in this order, and return when they are on their way."""
        for topic, payload in messages:
            self._client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def heard(self, topic: str = "", since: float = 0) -> list[Heard]:
        """Return what was said since a moment, on one topic or on all."""
        with self._lock:
            return [m for m in self._messages if m.topic == (topic or m.topic) and m.at >= since]

    def wait_for(
        self,
        topic: str,
        condition: Callable[[Heard], Any] = lambda _: True,
        *,
        since: float = 0,
        timeout: float = 20,
    ) -> Heard:
        """Wait until something was said on a topic, and return it."""
        return wait_for(
            lambda: next((m for m in self.heard(topic, since) if condition(m)), None),
            f"message on {topic}",
            timeout=timeout,
            interval=0.02,
        )

    def _on_message(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            self._messages.append(Heard(time.monotonic(), message.topic, message.payload))


def _set_no_delay(_: object, __: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
