"""Brokers beside Mosquitto, as Debian has them: RabbitMQ and NATS, one alone or several as one."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar, Self

from . import system
from .broker import Managed
from .process import Process, answers, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cluster", "Nats", "OtherBroker", "RabbitMq"]

_RABBITMQ = Path("/usr/lib/rabbitmq/bin")
"""Debian's own scripts on the PATH become another user, who cannot read our folder."""


class OtherBroker(Managed):
    """A broker in a process of its own, on loopback, that wants no login.

    Args:
        folder: For its configuration, its database and its log.
        name: What the others of its cluster call it.
        settings: More lines for its configuration.

    Attributes:
        peers: All nodes of its cluster, itself included; empty for one that is alone.
        peer_port: Where those find it.
        websocket_port: Where it carries MQTT in a WebSocket, at :attr:`websocket_path`.
        dots: What it does with dots in topics; empty where they are letters like others.
    """

    program: ClassVar[str]
    """Its name in :data:`system.PROGRAMS`."""
    keeps_for_wildcards: ClassVar[bool]
    """Whether it sends retained messages to subscriptions with a wildcard."""
    websocket_path: ClassVar[str]
    start_limit: ClassVar[float]
    """Seconds that it may take to start on a busy machine."""

    host = "127.0.0.1"
    protocol = "3.1.1"
    username: str | None = None
    password: str | None = None
    dots = ""

    def __init__(self, folder: Path, name: str = "pilot", settings: Sequence[str] = ()) -> None:
        self.folder = folder
        self.settings = tuple(settings)
        self.name = name
        self.port = free_port()
        self.websocket_port = free_port()
        self.peers: list[Self] = []
        self.peer_port = free_port()
        self._process = Process(self.program, (), folder / "log", stop_timeout=20)

    @classmethod
    def why_not(cls) -> str:
        """Return why there is none on this machine; empty where there is."""
        if system.find(cls.program):
            return ""
        return f"{cls.program} is not installed; {system.install_command([cls.program])!r} does it"

    @property
    def process(self) -> Process:
        """Its process."""
        return self._process

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start it without waiting."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command, environment = self._configure()
        self._process = Process(
            self.program, command, self.folder / "log", env=environment, stop_timeout=20
        )
        self._process.start()

    def wait_until_it_answers(self) -> None:
        """Wait until it accepts connections."""
        wait_for(
            lambda: answers(self.host, self.port),
            f"answer of {self.program}",
            timeout=self.start_limit,
            process=self._process,
        )

    def stop(self) -> None:
        """Stop it in order."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once, as a machine that loses its power."""
        self._process.kill()

    def _configure(self) -> tuple[list[str], dict[str, str]]:
        """Write its configuration; return its command and environment."""
        raise NotImplementedError


class Nats(OtherBroker):
    """A ``nats-server`` with MQTT 3.1.1 on JetStream."""

    program = "nats-server"
    keeps_for_wildcards = True
    websocket_path = "/mqtt"
    start_limit = 30

    def _configure(self) -> tuple[list[str], dict[str, str]]:
        program = system.require(self.program)[self.program]
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        version = told.stdout.rpartition("v")[2].strip()
        if tuple(map(int, version.split(".")[:2])) < (2, 10):
            self.dots = "it ends the connection"
        lines = [
            f"server_name: {self.name}",
            f"host: {self.host}",
            f"port: {free_port()}",
            f'jetstream {{ store_dir: "{self.folder}" }}',
            f"mqtt {{ host: {self.host}, port: {self.port} }}",
            f"websocket {{ host: {self.host}, port: {self.websocket_port}, no_tls: true }}",
            *self.settings,
        ]
        if self.peers:
            routes = ", ".join(f"nats://{node.host}:{node.peer_port}" for node in self.peers)
            lines.append(
                f"cluster {{ name: pilot, host: {self.host}, port: {self.peer_port}, "
                f"routes: [{routes}] }}"
            )
        config = self.folder / "nats.conf"
        config.write_text("\n".join(lines) + "\n", "utf-8")
        return [program, "-c", str(config)], {}


class RabbitMq(OtherBroker):
    """A ``rabbitmq-server`` with its plug-ins for MQTT, by TCP and by WebSocket.

    Attributes:
        epmd: The directory of names, which the nodes of a cluster share: the first one's.
        names: Where that listens, as environment variables.
    """

    program = "rabbitmq"
    keeps_for_wildcards = False
    websocket_path = "/ws"
    # Erlang takes its time on a busy machine, and the nodes of a cluster wait for each other.
    start_limit = 180
    dots = "for slashes"

    def __init__(self, folder: Path, name: str = "pilot", settings: Sequence[str] = ()) -> None:
        super().__init__(folder, name, settings)
        # One that Erlang starts by itself would stay.
        self.names = {"ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": self.host}
        search = os.pathsep.join((os.environ.get("PATH", os.defpath), str(_RABBITMQ)))
        epmd = shutil.which("epmd", path=search) or "epmd"
        self.epmd = Process("epmd", [epmd], folder / "epmd.log", env=self.names)

    @property
    def _head(self) -> Self:
        """The node whose directory of names all of a cluster use."""
        return self.peers[0] if self.peers else self

    def launch(self) -> None:
        """Start it without waiting."""
        if not self._head.epmd.running:
            self._head.epmd.start()
        super().launch()

    def stop(self) -> None:
        """Stop it in order."""
        super().stop()
        self.epmd.stop()

    def _configure(self) -> tuple[list[str], dict[str, str]]:
        program = system.require(self.program)[self.program]
        beside = _RABBITMQ / "rabbitmq-server"
        plugins, config = self.folder / "plugins", self.folder / "rabbitmq.conf"
        plugins.write_text("[rabbitmq_mqtt, rabbitmq_web_mqtt].\n", "utf-8")
        lines = [
            f"mqtt.listeners.tcp.1 = {self.host}:{self.port}",
            "mqtt.allow_anonymous = true",
            f"web_mqtt.tcp.ip = {self.host}",
            f"web_mqtt.tcp.port = {self.websocket_port}",
            *self.settings,
        ]
        if self.peers:
            lines.append("cluster_formation.peer_discovery_backend = classic_config")
            lines += [
                f"cluster_formation.classic_config.nodes.{number} = {node.name}@localhost"
                for number, node in enumerate(self.peers, 1)
            ]
        config.write_text("\n".join(lines) + "\n", "utf-8")
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text("PILOT", "ascii")
            cookie.chmod(0o400)
        return [str(beside) if os.access(beside, os.X_OK) else program], {
            **self._head.names,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"{self.name}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_NODE_PORT": str(free_port()),
            "RABBITMQ_DIST_PORT": str(self.peer_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "db"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
        }


class Cluster(Managed):
    """Several brokers that are one to their clients.

    Args:
        kind: Which broker.
        folder: For a folder of each.
        size: How many.

    Attributes:
        nodes: The brokers.
    """

    def __init__(self, kind: type[OtherBroker], folder: Path, size: int = 3) -> None:
        names = [f"pilot-{number}" for number in range(1, size + 1)]
        self.nodes = [kind(folder / name, name) for name in names]
        for node in self.nodes:
            node.peers = list(self.nodes)

    def start(self) -> None:
        """Start all at once, and wait until each answers."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_it_answers()

    def stop(self) -> None:
        """Stop all; the first one last, which knows the others' names."""
        for node in reversed(self.nodes):
            node.stop()
