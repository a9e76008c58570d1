"""What the agent's tests are made of: a host to invent, a broker to break."""

from __future__ import annotations

import contextlib
import getpass
import json
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
import pytest

from companion_agent.agent import Agent
from companion_agent.config.settings import Broker, Config, Tls
from companion_agent.models import Counters, Reading, Value
from companion_agent.mqtt.connection import Transport
from companion_agent.platforms.base import HostInfo
from companion_agent.plugins.base import Collector
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.secret import Secret
from support.event_loop import PATIENCE, ManualEventLoop, PassingClock, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

HOST = "9c3f6f0e3a5b4d21"
PREFIX = f"pilot/v2/{HOST}"

# --- A host that does not exist --------------------------------------------------------------


class FakePlatform:
    """An operating system that answers what a test wants."""

    def __init__(self, installation: str | None = "installation") -> None:
        self.info = HostInfo("office-pc", "Test OS 1", "x86_64", macs=("00:00:5e:00:53:01",))
        self.installation = installation
        self.suspended: float | None = 0.0

    def host_info(self) -> HostInfo:
        return self.info

    def installation_id(self) -> str | None:
        return self.installation

    def suspended_time(self) -> float | None:
        return self.suspended

    def boot_id(self) -> str | None:
        return None

    def clock_confirmed(self) -> bool:
        return False


class FakeCollector(Collector):
    """A source of readings whose values, failures and slowness a test decides."""

    name = "fake"
    interval = 10

    def __init__(self, name: str = "fake", **values: Value) -> None:
        super().__init__(FakePlatform())  # type: ignore[arg-type]
        self.name = name  # type: ignore[misc]
        self.values: dict[str, Value] = values or {"percent": 12.5}
        self.failure: Exception | None = None
        self.missing: Exception | None = None
        self.gate: threading.Event | None = None
        self.entered = threading.Event()
        self.probes = 0
        self.reads = 0
        self.offered: Sequence[Reading] | None = None

    def probe(self) -> None:
        self.probes += 1
        if self.missing:
            raise self.missing

    def readings(self) -> Sequence[Reading]:
        if self.offered is not None:
            return self.offered
        return [Reading(key) for key in self.values]

    def collect(self) -> Mapping[str, Value]:
        self.entered.set()
        if self.gate:
            self.gate.wait(PATIENCE)
        if self.missing:
            raise self.missing
        if self.failure:
            raise self.failure
        read = dict(self.values)
        self.reads += 1
        return read


# --- A broker that can be broken -------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            if self._process.poll() is not None:
                break
            self._process.poll()
        pytest.fail(f"mosquitto does not start: {self._log.read_text('utf-8')}")

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

    def settings(self, server: str = "server", more: str = "") -> str:
        certificate, key = getattr(self, server), getattr(self, f"{server}_key")
        return (
            f"allow_anonymous true\ncafile {self.ca}\ncertfile {certificate}\nkeyfile {key}\n{more}"
        )

    def client_tls(self, name: str = "client") -> Tls:
        return Tls(self.ca, getattr(self, name), getattr(self, f"{name}_key"))


# --- The other side --------------------------------------------------------------------------


class House:
    """What Home Assistant's side of the broker hears, and what it says.

    A state is taken apart: what a collector read anew is heard as `state/<collector>`.
    """

    def __init__(self, port: int) -> None:
        self._heard: list[tuple[str, bytes, bool]] = []
        self._states: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._listening = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._listening.wait(PATIENCE)

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        with self._changed:
            for topic, payload in self._apart(message.topic, message.payload):
                self._heard.append((topic, payload, message.retain))
            self._changed.notify_all()

    def _apart(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if not topic.endswith("/state"):
            return [(topic, payload)]
        parts = {
            f"{topic}/{collector}": json.dumps(part, separators=(",", ":")).encode()
            for collector, part in json.loads(payload)["collectors"].items()
        }
        new = [(name, part) for name, part in parts.items() if self._states.get(name) != part]
        self._states = parts
        return new

    @property
    def heard(self) -> list[tuple[str, bytes]]:
        """Everything heard so far, in order."""
        with self._changed:
            return [(topic, payload) for topic, payload, _ in self._heard]

    def forget(self) -> None:
        with self._changed:
            self._heard.clear()
            self._states.clear()

    def wait_for(self, topic: str, has: bytes = b"", count: int = 1) -> bytes:
        """Wait for the nth message on a topic with something in it, and return it."""

        def found() -> list[bytes]:
            return [p for t, p, _ in self._heard if t == f"{PREFIX}/{topic}" and has in p]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, PATIENCE), (
                f"{has!r} was not heard on {topic}; heard was {self._heard}"
            )
            return found()[count - 1]

    def say(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


# --- A transport, driven by hand -------------------------------------------------------------


class Recorder:
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


class Driver:
    """A transport, and an event loop that a test turns until something is so."""

    def __init__(self, clock: PassingClock, *brokers: Broker, backoff: float = 0.0) -> None:
        self.loop = ManualEventLoop(clock)
        self.recorder = Recorder()
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


# --- A whole agent ---------------------------------------------------------------------------


class AgentThread:
    """A thread in which an agent runs, by a clock that a test may advance."""

    def __init__(self, agent: Agent, clock: Callable[[], float]) -> None:
        self.loop = ManualEventLoop(clock)
        self.error: Exception | None = None
        self._agent = agent
        self._clock = clock
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def advance(self, seconds: float) -> None:
        assert isinstance(self._clock, PassingClock)
        self._clock.advance(seconds)
        self.loop.call_soon_threadsafe(lambda: None)

    def stop(self) -> None:
        self._agent.stop()
        self.wait_for_end()
        if self.error:
            raise self.error

    def wait_for_end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with contextlib.closing(self.loop):
            try:
                self.loop.run_until_complete(self._agent.run())
            except Exception as error:  # noqa: BLE001  (the test's thread raises it)
                self.error = error


class RunningAgent:
    """An agent in a thread of its own."""

    def __init__(
        self,
        config: Config,
        platform: FakePlatform,
        collectors: Sequence[FakeCollector],
        clock: PassingClock,
        session: str,
        interval: float,
    ) -> None:
        self.counts = Counters()
        self.clock = clock
        self.agent = Agent(
            config,
            platform,  # type: ignore[arg-type]
            [CollectorRunner(collector, interval) for collector in collectors],
            HOST,
            session,
            self.counts,
            clock,
        )
        self.thread = AgentThread(self.agent, clock)

    def wake(self) -> None:
        """Let it look at the clocks."""
        self.thread.loop.call_soon_threadsafe(self.agent._scheduler.notice_suspend)

    def advance(self, seconds: float) -> None:
        self.thread.advance(seconds)

    def wait_until_it_gave_way(self) -> None:
        """Wait for what the house cannot hear, because it happens without a word."""
        wait_until(lambda: self.agent._publisher.gave_way)

    def read_again(self, key: str) -> None:
        """Have what was set read, and wait until the loop has seen to it."""
        collector = key.partition(".")[0]
        scheduler = self.agent._scheduler
        self.thread.loop.call_soon_threadsafe(scheduler.read_soon, collector)
        wait_until(lambda: scheduler._sources[collector].again)

    def stop(self) -> None:
        self.thread.stop()
