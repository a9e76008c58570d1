"""A broker that can be broken, and both ends of a connection with it."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import replace
import getpass
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.config.settings import Broker, Tls
from companion_agent.models import Counters
from companion_agent.mqtt.connection import Transport
from companion_agent.secret import Secret

from .agent_host import PREFIX
from .event_loop import PATIENCE, ManualEventLoop
from .mqtt_client import Message, RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .clock import PassingClock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(
    address: str,
    port: int,
    process: subprocess.Popen[bytes],
    log: Path,
    patience: float = PATIENCE,
) -> None:
    """Wait until a server that was just started accepts connections."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((address, port)):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
            break
    pytest.fail(f"{process.args} does not start: {log.read_text('utf-8')}")


class Mosquitto:
    """A private Mosquitto on a port of its own."""

    def __init__(self, program: str, folder: Path, settings: str) -> None:
        self.port = free_port()
        self._program = program
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # As root it would become another user, who may not read the test's folder.
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nuser {getpass.getuser()}\n{self._settings}", "utf-8"
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._config)], stdout=log, stderr=log
            )
        self.wait_for(self.port)

    def wait_for(self, port: int) -> None:
        """Wait until it listens on one of its ports."""
        assert self._process
        wait_for_port("127.0.0.1", port, self._process, self._log)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def broker(self, *, password: str = "", **settings: Any) -> Broker:
        return Broker("127.0.0.1", self.port, password=Secret(password), **settings)


def password_file(path: Path, user: str, password: str) -> str:
    """Write Mosquitto's password file; a plain one is enough for what reads it once."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    coded = [base64.b64encode(part).decode() for part in (salt, digest)]
    path.write_text(f"{user}:$7$101${coded[0]}${coded[1]}\n")
    return f"password_file {path}\n"


class Certificates:
    """An authority, and certificates from it and from another one that is not trusted."""

    def __init__(self, folder: Path) -> None:
        import trustme

        def keep(name: str, *blobs: Any) -> Path:
            path = folder / name
            path.write_bytes(b"".join(blob.bytes() for blob in blobs))
            return path

        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = keep("ca.pem", authority.cert_pem)
        self.other_ca = keep("other-ca.pem", stranger.cert_pem)
        for name, issued in {
            "server": authority.issue_cert("127.0.0.1", "localhost"),
            "elsewhere": authority.issue_cert("mqtt.example"),
            "client": authority.issue_cert("client@example"),
            "stranger": stranger.issue_cert("client@example"),
            "renewed": stranger.issue_cert("127.0.0.1"),
        }.items():
            setattr(self, name, keep(f"{name}.pem", *issued.cert_chain_pems))
            setattr(self, f"{name}_key", keep(f"{name}.key", issued.private_key_pem))

    server: Path
    server_key: Path
    elsewhere: Path
    elsewhere_key: Path
    client: Path
    client_key: Path
    stranger: Path
    stranger_key: Path
    renewed: Path
    renewed_key: Path

    def settings(self, server: str = "server", more: str = "") -> str:
        certificate, key = getattr(self, server), getattr(self, f"{server}_key")
        return (
            f"allow_anonymous true\ncafile {self.ca}\ncertfile {certificate}\nkeyfile {key}\n{more}"
        )

    def client_tls(self, name: str = "client") -> Tls:
        return Tls(self.ca, getattr(self, name), getattr(self, f"{name}_key"))


class FakeHomeAssistant(RecordingClient):
    """What Home Assistant's side of the broker hears, and what it says.

    A state is taken apart: what a collector read anew is heard as `state/<collector>`.
    """

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__("127.0.0.1", port, **options)
        self._states: dict[str, bytes] = {}
        self.connect()

    @property
    def published(self) -> list[tuple[str, bytes]]:
        """Topic and payload of everything heard so far, in order."""
        return [(message.topic, message.payload) for message in self.heard()]

    def forget(self) -> None:
        super().forget()
        self._states.clear()

    def wait_for(self, topic: str, has: bytes = b"", count: int = 1) -> bytes:
        """Wait for the nth message on a topic with something in it, and return it."""
        return self.wait_until_heard(
            lambda message: message.topic == f"{PREFIX}/{topic}" and has in message.payload,
            f"{has!r} on {topic}",
            count,
        ).payload

    def _record(self, message: Message) -> list[Message]:
        if not message.topic.endswith("/state"):
            return [message]
        parts = {
            f"{message.topic}/{collector}": json.dumps(part, separators=(",", ":")).encode()
            for collector, part in message.json["collectors"].items()
        }
        new = [(name, part) for name, part in parts.items() if self._states.get(name) != part]
        self._states = parts
        return [replace(message, topic=topic, payload=payload) for topic, payload in new]


class RecordingListener:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.connections = 0
        self.losses = 0
        self.messages: list[tuple[str, bytes, bool]] = []

    def connected(self) -> None:
        self.connections += 1

    def disconnected(self) -> None:
        self.losses += 1

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        self.messages.append((topic, payload, retained))


class TransportDriver:
    """A transport, and an event loop that a test turns until something is so."""

    def __init__(self, clock: PassingClock, *brokers: Broker, backoff: float = 0.0) -> None:
        self.loop = ManualEventLoop(clock)
        self.recorder = RecordingListener()
        self.counts = Counters()
        self.bounds: list[float] = []
        self.transport = Transport(brokers, "pilot-test", self.counts, clock, self._draw)
        self.transport.listener = self.recorder
        self.transport.receiver = self.recorder.received
        self.loop.spawn(self.transport.run())
        self._backoff = backoff

    def _draw(self, bound: float) -> float:
        self.bounds.append(bound)
        return bound * self._backoff

    def until(self, done: Callable[[], object]) -> None:
        """Turn the event loop until something is so."""
        self.loop.until(done)

    def connect(self) -> None:
        self.transport.start()
        self.until(lambda: self.transport.online)

    def fail(self) -> str:
        """Start, and return why there is no connection."""
        self.transport.start()
        self.until(lambda: bool(self.transport.trouble))
        return self.transport.trouble

    def end(self) -> None:
        self.transport.close()
        self.loop.end()
