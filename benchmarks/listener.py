"""Hears everything on a broker, and notes when."""

from __future__ import annotations

from dataclasses import dataclass
import threading
import time
from typing import TYPE_CHECKING, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from stack.broker import Broker


@dataclass(frozen=True, slots=True)
class Heard:
    """A message, and when it came by the monotonic clock."""

    at: float
    topic: str
    payload: bytes


class Listener:
    """A client that subscribes to everything, in a thread of its own."""

    def __init__(self, broker: Broker) -> None:
        self.messages: list[Heard] = []
        self._broker = broker
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.on_connect = lambda client, *_: client.subscribe("#")
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        if not self._ready.wait(10):
            raise TimeoutError("the broker did not accept the listener's subscription")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        heard = Heard(time.monotonic(), message.topic, message.payload)
        with self._changed:
            self.messages.append(heard)
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Heard], bool], timeout: float, since: int = 0) -> Heard | None:
        """Return the first message that is wanted, from the one numbered ``since`` on."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for heard in self.messages[since:]:
                    if wanted(heard):
                        return heard
                since = len(self.messages)
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)

    def last(self) -> dict[str, bytes]:
        """Return the last payload of every topic."""
        return {heard.topic: heard.payload for heard in list(self.messages)}
