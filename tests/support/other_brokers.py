"""Brokers beside Mosquitto, as Debian has them: RabbitMQ and NATS, each a single one."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.config.settings import Broker

from .agent_mqtt import free_port, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/usr/lib/rabbitmq/bin"


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=_PATH)
    if not found:
        pytest.skip(f"{name} is not installed; `apt-get install {package}` brings it")
    return found


class OtherBroker:
    """A broker in a process of its own.

    Attributes:
        keeps_for_wildcards: Whether it sends retained messages to subscriptions with a wildcard.
        dots: What it does with dots in topics; empty where they are letters like others.
    """

    keeps_for_wildcards: bool
    dots = ""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def broker(self) -> Broker:
        return Broker("127.0.0.1", self.port)

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()

    def _run(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
            )
        self._processes.append(process)


class Nats(OtherBroker):
    """A `nats-server` with MQTT 3.1.1 on JetStream."""

    keeps_for_wildcards = True

    def start(self) -> None:
        program = _program("nats-server", "nats-server")
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        version = told.stdout.rpartition("v")[2].strip()
        if tuple(map(int, version.split(".")[:2])) < (2, 10):
            self.dots = "it ends the connection"
        config = self._folder / "nats.conf"
        config.write_text(
            "server_name: pilot\n"
            f"host: 127.0.0.1\nport: {free_port()}\n"
            f'jetstream {{ store_dir: "{self._folder}" }}\n'
            f"mqtt {{ host: 127.0.0.1, port: {self.port} }}\n",
            "utf-8",
        )
        self._run([program, "-c", str(config)])
        wait_for_port("127.0.0.1", self.port, self._processes[-1], self._log)


class RabbitMq(OtherBroker):
    """A `rabbitmq-server` with its MQTT plug-in."""

    keeps_for_wildcards = False
    dots = "for slashes"
    # Erlang takes its time on a busy machine.
    start_limit = 60.0

    def start(self) -> None:
        program = _program("rabbitmq-server", "rabbitmq-server")
        # What the package has at this place is started as root too, in this folder.
        beside = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        program = beside if os.access(beside, os.X_OK) else program
        plugins, config = self._folder / "plugins", self._folder / "rabbitmq.conf"
        plugins.write_text("[rabbitmq_mqtt].\n", "utf-8")
        config.write_text(
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\nmqtt.allow_anonymous = true\n", "utf-8"
        )
        names = {"ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        # Else Erlang starts one that stays.
        self._run([_program("epmd", "rabbitmq-server")], names)
        self._run(
            [program],
            {
                **names,
                "HOME": str(self._folder),
                "RABBITMQ_NODENAME": "pilot@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": str(free_port()),
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_MNESIA_BASE": str(self._folder / "db"),
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
                "RABBITMQ_CONFIG_FILE": str(config),
                "RABBITMQ_CONF_ENV_FILE": os.devnull,
            },
        )
        wait_for_port(
            "127.0.0.1", self.port, self._processes[-1], self._log, patience=self.start_limit
        )
