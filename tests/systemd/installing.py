"""What people do to install the agent, and how they see what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from stack.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

NEWER = "99.0.0"
DIST = Path("/opt/pilot/dist")
WHEELS = Path("/opt/pilot/wheels")
UV = Path("/opt/pilot/uv")
DEPLOY = "/opt/pilot/source/deploy"
CONFIG = "/etc/pilot-agent/config.yaml"
STATE = "/var/lib/pilot-agent"


class Ear:
    """Hears what hosts say to a broker."""

    def __init__(self, broker: Mosquitto) -> None:
        self._heard: dict[str, bytes] = {}
        self.availability: list[str] = []
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("pilot/v2/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_message(self, _client: object, _data: object, message: Any) -> None:
        kind = message.topic.split("/", 3)[3]
        self._heard[kind] = message.payload
        if kind == "availability":
            self.availability.append(message.payload.decode())

    def forget(self) -> None:
        self._heard.clear()
        self.availability.clear()

    def wait(self, availability: str = "online", timeout: float = 40) -> None:
        wait_for(
            lambda: self._heard.get("availability") == availability.encode(),
            f"a host that is {availability}",
            timeout=timeout,
        )

    def announce(self, wanted: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            payload = self._heard.get("announce")
            body: dict[str, Any] = json.loads(payload) if payload else {}
            return body if body and wanted(body) else None

        return wait_for(found, "such an announce", timeout=40)

    def backlog(self) -> dict[str, Any]:
        """Wait for what the host kept while it was not heard."""
        return dict(json.loads(wait_for(lambda: self._heard.get("backlog"), "a backlog")))

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def address(broker: Mosquitto, host: str = "") -> str:
    return f"{host or broker.host}:{broker.port}"


def install(host: SystemdHost, version: str) -> str:
    machine = host.run("dpkg", "--print-architecture").stdout.strip()
    return host.run("dpkg", "--install", f"{DIST}/pilot-agent_{version}_{machine}.deb").stdout


def add(host: SystemdHost, package: str) -> None:
    """Install one of the packages that hosts have in stock."""
    command = ("apt-get", "-qq", "-y", "--no-install-recommends", "install", package)
    host.run(*command, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=120)


def show(host: SystemdHost, name: str) -> str:
    return host.run(
        "systemctl", "show", "--property", name, "--value", "pilot-agent"
    ).stdout.strip()


def drop_in(host: SystemdHost, text: str) -> None:
    folder = "/etc/systemd/system/pilot-agent.service.d"
    host.run("mkdir", "-p", folder)
    host.write(f"{folder}/test.conf", text)
    host.run("systemctl", "daemon-reload")


def left_behind(host: SystemdHost) -> list[str]:
    """Find files that are named after the agent; logs may go on telling of it."""
    found = host.run(
        *("find", "/", "-xdev", "(", "-path", "/opt/pilot", "-o", "-path", "/proc", ")", "-prune"),
        *("-o", "-name", "*pilot-agent*", "-print"),
    ).stdout.split()
    return [path for path in found if not path.startswith(("/var/log/", "/var/lib/systemd/"))]
