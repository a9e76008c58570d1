"""The agent as a service of Windows: a service manager, files and a broker that are real.

Wine's service manager keeps no recovery actions and no service SID, sends no power and session
controls, and has no accounts: what it is asked for is proved in tests/agent/service.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stack import releases as broken
from stack.process import wait_for
from support.agent_host import HOST, PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from stack.linux_host import Done
    from stack.wine import WinePc
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

# Each starts the agent several times, seven with an update.
pytestmark = pytest.mark.timeout(900)
# An agent needs seconds of a processor to start there, and the machine may be busy.
PATIENCE = 120
TRIAL = 60
# Of releases that do not come online in any time.
SHORT_TRIAL = 10


class ServicePc:
    """A PC with a configuration for the service."""

    def __init__(self, pc: WinePc, port: int) -> None:
        self.pc = pc
        self.folder = pc.drive / "ProgramData" / "pilot-agent"
        self.port = port
        # Wine waits ten seconds for a service to say that it is there, Windows thirty.
        patience = ("/v", "ServicesPipeTimeout", "/t", "REG_DWORD", "/d", "120000")
        pc.run("reg", "add", r"HKLM\System\CurrentControlSet\Control", *patience, "/f")

    def configure(self, more: str = "") -> None:
        config = f"broker: 127.0.0.1:{self.port}\ncollectors: {{i2c: {{enabled: false}}}}\n{more}"
        (self.folder / "config.yaml").write_text(config)
        (self.folder / "state" / "host-id").write_text(HOST)

    def agent(self, *arguments: str, check: bool = True) -> Done:
        return self.pc.run("python", "-m", "companion_agent", *arguments, check=check)

    @property
    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            self.agent("service", "status", "--json", check=False).stdout
        )
        return found


@pytest.fixture
def host(pc: WinePc, mosquitto: Mosquitto) -> ServicePc:
    host = ServicePc(pc, mosquitto.port)
    pc.install_agent()
    host.agent("service", "install")
    host.configure()
    return host


def availability(home_assistant: FakeHomeAssistant) -> list[bytes]:
    """Return what the host said of itself; an empty text is setup's try whether it may."""
    return [
        said
        for topic, said in home_assistant.published
        if topic == f"{PREFIX}/availability" and said
    ]


def test_from_its_set_up_to_its_removal(host: ServicePc, home_assistant: FakeHomeAssistant) -> None:
    (host.folder / "config.yaml").unlink()
    broker = f"127.0.0.1:{host.port}"
    said = host.agent("setup", "--yes", "--no-pair", "--broker", broker).stdout
    assert f"Connected to {broker}" in said
    home_assistant.wait_for("availability", b"online")
    # Over an installed one.
    assert "Nothing had to be changed." in host.agent("service", "install", "--start").stdout
    # Without the streams of a console.
    host.pc.run("pythonw", "-m", "companion_agent", "service", "stop")
    home_assistant.wait_for("availability", b"off")
    assert availability(home_assistant) == [b"online", b"off"]
    assert host.status["state"] == "stopped"

    host.agent("service", "remove")
    assert (host.folder / "state" / "host-id").exists()
    assert "not installed" in host.agent("service", "start", check=False).stderr
    host.agent("service", "remove", "--purge")
    assert not host.folder.exists()


def test_a_crash_and_a_boot(host: ServicePc, home_assistant: FakeHomeAssistant) -> None:
    host.agent("service", "start")
    home_assistant.wait_for("availability", b"online")

    # Windows would start it again, which Wine does not.
    host.pc.run("taskkill", "/F", "/PID", str(host.status["pid"]))
    home_assistant.wait_for("availability", b"lost")
    host.pc.power_cut()
    host.pc.boot()

    home_assistant.wait_for("availability", b"online", 2)


def test_a_wrong_configuration_is_no_reason_to_start_again(host: ServicePc) -> None:
    (host.folder / "config.yaml").write_text("broker: {hots: x}\n")

    said = host.agent("service", "start", check=False)

    assert "does not stay up (exit code 0)" in said.stderr
    assert host.status["state"] == "stopped"


def test_an_update_that_stays_and_one_that_is_left(
    host: ServicePc, home_assistant: FakeHomeAssistant, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="the library for signatures is not installed")
    maker = broken.Maker(tmp_path / "new releases äöü")
    share = host.pc.path(maker.folder)
    host.configure(f"update: {{source: '{share}', keys: ['{maker.key}'], trial: {TRIAL}}}\n")
    host.agent("service", "start")
    home_assistant.wait_for("availability", b"online")
    service = host.status["pid"]
    maker.make("99.0.0")

    host.agent("update")

    home_assistant.wait_for("announce", b'"99.0.0"')
    maker.make("99.0.1", broken.CRASHES)
    left = host.agent("update", check=False)
    why = "it ended 2 times before it was online"
    assert f"version 99.0.1 was left again: {why}; 99.0.0 runs" in left.stderr
    assert host.status["pid"] == service

    host.agent("service", "stop")
    wait_for(
        lambda: availability(home_assistant)[-1] == b"off",
        "the host to say good-bye",
        timeout=PATIENCE,
    )
    assert b"lost" not in availability(home_assistant)[:4]


def test_updates_that_hang_or_never_connect_are_left(
    host: ServicePc, home_assistant: FakeHomeAssistant, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="the library for signatures is not installed")
    maker = broken.Maker(tmp_path / "share")
    share = host.pc.path(maker.folder)
    host.configure(f"update: {{source: '{share}', keys: ['{maker.key}'], trial: {SHORT_TRIAL}}}\n")
    host.agent("service", "start")
    home_assistant.wait_for("availability", b"online")
    service = host.status["pid"]

    for times, (version, release) in enumerate(
        {"99.0.0": broken.DEAF, "99.0.1": broken.HANGS}.items()
    ):
        maker.make(version, release)
        left = host.agent("update", check=False)

        why = f"it was not online within {SHORT_TRIAL} s"
        assert f"version {version} was left again: {why}" in left.stderr
        home_assistant.wait_for("availability", b"online", 2 + times)
    assert host.status["pid"] == service
