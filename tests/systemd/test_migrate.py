"""From v1's service to this version's on a host that runs both, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conftest import AGENT
import pytest

from stack.linux_host import LIBRARIES, SOURCE
from stack.process import wait_for
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

# What v1 did is of no interest here; that it runs is.
V1_UNIT = """\
[Service]
EnvironmentFile=/etc/pilot-v1.env
ExecStart=sleep infinity

[Install]
WantedBy=multi-user.target
"""
V1 = """\
MQTT_HOST={host}
MQTT_PORT={port}
MQTT_USERNAME=office
MQTT_PASSWORD="s3cr#t"
DEVICE_NAME=office-pc
"""
UNIT = f"""\
[Service]
User={AGENT}
StateDirectory=pilot-agent
Environment=PYTHONPATH={SOURCE}:{LIBRARIES} PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m companion_agent run
"""


class V1Dashboard(RecordingClient):
    """What a dashboard of v1 shows."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(broker.host, broker.port, "pilot/office-pc/#")

    @property
    def shown(self) -> dict[str, str]:
        return {
            message.topic.removeprefix("pilot/office-pc/"): message.payload.decode()
            for message in self.heard()
        }


@pytest.fixture
def dashboard(broker: Mosquitto) -> Iterator[V1Dashboard]:
    with V1Dashboard(broker) as dashboard:
        yield dashboard


def state(host: SystemdHost, unit: str) -> list[str]:
    asked = ("systemctl", "show", "--property", "ActiveState,UnitFileState", "--value", unit)
    return host.run(*asked).stdout.split()


def test_from_v1_and_back(
    make_agent_host: Callable[..., SystemdHost], broker: Mosquitto, dashboard: V1Dashboard
) -> None:
    host = make_agent_host()
    host.write("/etc/pilot-v1.env", V1.format(host=broker.host, port=broker.port), mode=0o600)
    host.write("/etc/systemd/system/pilot-v1.service", V1_UNIT)
    host.write("/etc/systemd/system/pilot-agent.service", UNIT)
    host.run("systemctl", "enable", "--now", "pilot-v1")

    def migrate(*arguments: str, check: bool = True) -> str:
        python = ("env", f"PYTHONPATH={SOURCE}:{LIBRARIES}", "python3", "-m", "companion_agent")
        done = host.run(*python, "migrate", *arguments, check=check)
        return str(done.stdout)

    # Both may run at once, and v1 stays until the other runs.
    said = migrate("/etc/pilot-v1.env", "--yes", "--old-service", "pilot-v1", check=False)
    assert "pilot-v1.service stays on until Pilot's own service runs" in said
    assert state(host, "pilot-v1") == ["active", "enabled"]
    host.run("systemctl", "start", "pilot-agent")
    wait_for(lambda: dashboard.shown.get("availability") == "online", "the mirror")
    wait_for(lambda: float(dashboard.shown.get("state/memory", 0)) > 0, "a value")

    # The switch.
    assert "pilot-v1.service switched off" in migrate("--old-service", "pilot-v1")
    assert state(host, "pilot-v1") == ["inactive", "disabled"]

    # A host that is lost without a word is offline to old dashboards too.
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "pilot-agent")
    wait_for(lambda: dashboard.shown.get("availability") == "offline", "the will")

    # The way back.
    migrate("--undo", "--yes")
    assert state(host, "pilot-v1") == ["active", "enabled"]
    assert host.run("ls", "-A", "/etc/pilot-agent").stdout == ""
