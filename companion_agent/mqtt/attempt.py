"""The part of connecting that blocks: the name, TCP and TLS, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, SocketLike

    from companion_agent.config.settings import Broker


class Attempt:
    """One attempt to connect, up to the sent CONNECT.

    Attributes:
        client: Connects, and is the loop's when the attempt is done.
        broker: What it connects to.
        done: Whether it has ended, in one way or the other.
        error: Why it failed; `None` when it did not.
        given_up: Whether nobody waits for it any more.
    """

    def __init__(self, client: Client, broker: Broker, wake: Callable[[], None]) -> None:
        self.client = client
        self.broker = broker
        self.error: Exception | None = None
        self.done = False
        self.given_up = False
        self._wake = wake
        client.on_socket_open = self._opened
        self._thread = threading.Thread(target=self._run, name="connect", daemon=True)

    def start(self) -> None:
        """Begin; `wake` is called at the end."""
        self._thread.start()

    def give_up(self) -> None:
        """Let it end in its own time; a connection that still comes is closed."""
        self.given_up = True
        self._close_late()

    @property
    def alive(self) -> bool:
        """Whether its thread still waits for something."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.client.connect(self.broker.host, self.broker.port, self.broker.keepalive)
        except Exception as error:  # noqa: BLE001  (whatever it is, the loop explains it)
            self.error = error
        self.done = True
        self._close_late()
        self._wake()

    def _close_late(self) -> None:
        if self.given_up and self.done and (sock := self.client.socket()):
            sock.close()

    def _opened(self, _client: Client, _data: object, sock: SocketLike) -> None:
        if self.given_up:
            raise ConnectionAbortedError("too late")
        # Small messages wait for nobody's acknowledgement.
        cast("socket.socket", sock).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
