"""Tells the service manager how the service is: ready, alive, how it stands, stopping.

The words are systemd's (sd_notify(3)). Where another manager listens, a `Channel` takes them there.
"""

from __future__ import annotations

from contextlib import suppress
import math
import os
import socket
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Windows' Python has no such family.
_AF_UNIX: int = getattr(socket, "AF_UNIX", -1)

# A sign of life is sent when the event loop is awake anyway and this part of the time limit is
# over; only when nothing else happens is it woken for it.
_SOON = 1 / 3
_LATEST = 1 / 2


class Channel(Protocol):
    """A way to a service manager other than systemd."""

    @property
    def limit(self) -> float:
        """Seconds after which silence counts as death; infinity for never."""

    def send(self, message: str) -> None:
        """Take a message there.

        Raises:
            OSError: The manager does not listen.
        """


class Notifier:
    """Speaks to the service manager that started this process; silent where there is none.

    Args:
        environment: Says where systemd listens, and how often it wants to hear.
        clock: Monotonic seconds.
        channel: Another manager, instead of systemd.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        channel: Channel | None = None,
    ) -> None:
        self._clock = clock
        self._channel = channel
        self._socket = None if channel else _connect(environment.get("NOTIFY_SOCKET", ""))
        if channel:
            self._limit = channel.limit
        else:
            self._limit = _watchdog(environment) if self._socket else math.inf
        self._alive_at = clock()
        self._status = ""

    @property
    def listening(self) -> bool:
        """Whether a manager hears what is said."""
        return self._socket is not None or self._channel is not None

    @property
    def limit(self) -> float:
        """Seconds after which silence counts as death; infinity for never."""
        return self._limit

    def ready(self) -> None:
        """Say that the service is up, and give a sign of life.

        A process that became another one (an update) is up already to systemd, which counts its
        silence from the last sign of the one before.
        """
        self._alive_at = self._clock()
        self._send("READY=1")
        if self._socket and self._limit < math.inf:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say how the service stands, for `systemctl status`; once for each change."""
        text = " ".join(text.split())
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Give a sign of life, unless the last one is still fresh."""
        now = self._clock()
        if now - self._alive_at >= self._limit * _SOON:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def deadline(self) -> float:
        """Return when the next sign of life is due at the latest; infinity for never."""
        return self._alive_at + self._limit * _LATEST

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket:
            self._socket.close()
        self._socket = self._channel = None

    def _send(self, message: str) -> None:
        # A manager that does not listen now is no reason to stop reporting.
        with suppress(OSError):
            if self._channel:
                self._channel.send(message)
            elif self._socket:
                self._socket.send(message.encode("utf-8", "replace"))


def _connect(address: str) -> socket.socket | None:
    if not address.startswith(("/", "@")) or _AF_UNIX < 0:
        return None
    made = socket.socket(_AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        # "@" stands for the zero that begins a name in the abstract namespace.
        made.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
    except OSError:
        made.close()
        return None
    return made


def _watchdog(environment: Mapping[str, str]) -> float:
    """Return the seconds after which silence counts as death."""
    # Inherited from a parent that is watched, it does not mean us.
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return math.inf
    try:
        seconds = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return math.inf
    return seconds if seconds > 0 else math.inf
