"""What people do to install the agent, and how they see what came of it."""

from __future__ import annotations

from pathlib import Path
import re
from typing import TYPE_CHECKING, Any

from stack.linux_host import LIBRARIES, SOURCE
from stack.process import wait_for
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost
    from support.mqtt_client import Message

NEWER = "99.0.0"
DIST = Path("/opt/pilot/dist")
WHEELS = Path("/opt/pilot/wheels")
UV = Path("/opt/pilot/uv")
DEPLOY = "/opt/pilot/source/deploy"
CONFIG = "/etc/pilot-agent/config.yaml"
STATE = "/var/lib/pilot-agent"


class HostListener(RecordingClient):
    """Hears what hosts say to a broker."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(broker.host, broker.port, "pilot/v2/#")
        self.connect()

    def last(self, kind: str) -> Message | None:
        """Return the last message of this kind from any host."""
        heard = [message for message in self.heard() if message.topic.split("/", 3)[3] == kind]
        return heard[-1] if heard else None

    @property
    def availability(self) -> list[str]:
        """Every availability that was said, in order."""
        return [
            message.payload.decode()
            for message in self.heard()
            if message.topic.endswith("/availability")
        ]

    def wait(self, availability: str = "online", timeout: float = 40) -> None:
        wait_for(
            lambda: self.availability[-1:] == [availability],
            f"a host that is {availability}",
            timeout=timeout,
        )

    def announce(self, wanted: Callable[[dict[str, Any]], Any] = bool) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            message = self.last("announce")
            body: dict[str, Any] = message.json if message and message.payload else {}
            return body if body and wanted(body) else None

        return wait_for(found, "such an announce", timeout=40)

    def backlog(self) -> dict[str, Any]:
        """Wait for what the host kept while it was not heard."""
        return dict(wait_for(lambda: self.last("backlog"), "a backlog").json)


PROGRAM = "/usr/local/bin/pilot-agent"
# Root runs nothing of a place that others could change, as a checkout may be.
_LIBRARY = "/usr/local/lib/pilot"
_SCRIPT = f"""\
#!/usr/bin/python3 -I
import sys
sys.path[:0] = ["{_LIBRARY}", "{LIBRARIES}"]
from companion_agent.cli import main
sys.exit(main())
"""


def give_to_root(host: SystemdHost) -> None:
    """Copy the agent to where root alone can change it, as `PROGRAM`."""
    host.run("mkdir", "-p", _LIBRARY)
    # With their times, by which Python knows that what it has compiled of them still holds.
    copy = ("cp", "--recursive", "--no-preserve=mode,ownership", "--preserve=timestamps")
    host.run(*copy, f"{SOURCE}/companion_agent", _LIBRARY)
    host.write(PROGRAM, _SCRIPT, mode=0o755)


def exposure(host: SystemdHost, name: str) -> float:
    """Return what `systemd-analyze security` thinks of a service: from 0, safe, to 10."""
    said = host.run("systemd-analyze", "security", "--no-pager", name).stdout
    found = re.search(r"Overall exposure level[^:]*: (\d+\.\d)", said)
    assert found, said
    return float(found[1])


def address(broker: Mosquitto, host: str = "") -> str:
    return f"{host or broker.host}:{broker.port}"


def install(host: SystemdHost, version: str) -> str:
    machine = host.run("dpkg", "--print-architecture").stdout.strip()
    return host.run("dpkg", "--install", f"{DIST}/pilot-agent_{version}_{machine}.deb").stdout


def add(host: SystemdHost, package: str) -> None:
    """Install one of the packages that hosts have in stock."""
    command = ("apt-get", "-qq", "-y", "--no-install-recommends", "install", package)
    host.run(*command, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=300)


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
