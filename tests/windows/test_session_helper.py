"""The session helper on Windows: a real agent, its pipe, the session's windows and `Run` keys.

Wine has one account, no second session and no session list: whose a session is, and what another
account may do with the pipe, is proved in tests/agent/ipc/test_pipes.py.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from stack.process import wait_for
from support.agent_host import HOST, PREFIX
from support.agent_mqtt import Mosquitto
from support.event_loop import wait_until
from support.mqtt_client import RecordingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.process import Process
    from stack.wine import WinePc

if sys.platform == "win32":
    pytest.skip("a session is not this machine's to end", allow_module_level=True)

pytestmark = pytest.mark.proves("window.program", "session.log_out")

HELPER = ("-m", "companion_agent", "session")
ANOTHER_RUNS = 3
# Of a program, on a machine that does much else.
_START_LIMIT = 120.0
# A foreign program at the agent's pipe, and in its place.
_STRANGER = r"""
import _winapi, json, msvcrt, os
# As the helper opens it, which lets itself be identified: CLIENT_RIGHTS, OPEN_EXISTING and
# SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION.
handle = _winapi.CreateFile(r"\\.\pipe\pilot-agent", 0x12019B, 0, 0, 3, 0x110000, 0)
pipe = msvcrt.open_osfhandle(handle, os.O_BINARY)
os.write(pipe, b'{"hello": {"protocol": 1, "version": "1"}}\n')
print(json.loads(os.read(pipe, 4096))["refused"])
"""
_IMPOSTOR = r"""
import time
from companion_agent.winapi import pipes, security
with security.descriptor("O:BUD:(A;;GA;;;WD)") as rules:
    pipe = pipes.create(r"\\.\pipe\pilot-agent", rules, first=True)
print("listens", flush=True)
time.sleep(600)
"""
_KILL = r"""
import psutil
for process in psutil.process_iter(["cmdline"]):
    if "--once" in (process.info["cmdline"] or []):
        print(process.pid)
        process.kill()
"""

_LOG_OFF = "from companion_agent.winapi import sessions; sessions.log_out()"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if not program:
        pytest.skip("Mosquitto is not installed; `apt-get install mosquitto` brings it")
    mosquitto = Mosquitto(program, tmp_path, "allow_anonymous true\n")
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


class SessionPc:
    """A PC on which an agent runs that reports to a broker."""

    def __init__(self, pc: WinePc, port: int, folder: Path) -> None:
        self.pc = pc
        self._state = folder / "state"
        self._broker = RecordingClient("127.0.0.1", port, patience=_START_LIMIT)
        self._broker.connect()
        self._state.mkdir(mode=0o700)
        (self._state / "host-id").write_text(HOST)
        config = folder / "config.yaml"
        config.write_text(
            f"broker: 127.0.0.1:{port}\n"
            f"state_dir: '{pc.path(self._state)}'\n"
            "collectors: {i2c: {enabled: false}}\n"
            "desktop: {idle_after: 5, window: true}\n"
        )
        self.agent = pc.start("python", "-m", "companion_agent", "run", "--config", pc.path(config))
        self.agent.wait_for_output("starts as", timeout=_START_LIMIT)

    def helper(self) -> Process:
        return self.pc.start("pythonw", *HELPER)

    def seen(self, reading: str, is_so: Callable[[object], bool]) -> None:
        """Wait for a reading to be as it should from now on."""
        collector, _, key = reading.partition(".")
        self._broker.wait_until_heard(
            lambda one: (
                one.topic == f"{PREFIX}/state"
                and is_so(one.json["collectors"].get(collector, {}).get("values", {}).get(key))
            ),
            reading,
        )
        self._broker.forget()

    def close(self) -> None:
        self._broker.close()

    def recorded(self) -> list[dict[str, Any]]:
        path = self._state / "audit.log"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def session(pc: WinePc, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[SessionPc]:
    session = SessionPc(pc, mosquitto.port, tmp_path)
    yield session
    session.close()


def test_a_helper_works_for_the_agent_until_the_user_logs_out(session: SessionPc) -> None:
    helper = session.helper()
    wait_for(lambda: "Connected to" in session.pc.helpers_log, "a helper", timeout=_START_LIMIT)
    session.seen("window.program", lambda value: isinstance(value, str))

    # Killed, it is back.
    killed = session.pc.run("python", "-c", _KILL).stdout.split()
    assert len(killed) == 1
    session.seen("window.program", lambda value: value is None)
    session.seen("window.program", lambda value: isinstance(value, str))

    # A second one is refused, and leaves the session to the first.
    assert session.pc.run("pythonw", *HELPER, "--once", check=False).returncode == ANOTHER_RUNS
    assert session.pc.run("python", "-c", _STRANGER).stdout == "duplicate\n"
    reasons = [one["reason"] for one in session.recorded() if one["event"] == "session_helper"]
    assert reasons == ["duplicate", "duplicate"]

    session.pc.run("python", "-c", _LOG_OFF)
    wait_until(lambda: not helper.running, _START_LIMIT)
    assert helper.returncode == 0


def test_a_helper_leaves_a_pipe_of_another_account_alone(pc: WinePc) -> None:
    impostor = pc.start("python", "-c", _IMPOSTOR)
    impostor.wait_for_output("listens")
    helper = pc.start("python", *HELPER, "--once")

    helper.wait_for_output("not the agent: the pipe belongs to the account S-1-5-32-545")


def test_each_log_in_starts_the_helper(pc: WinePc) -> None:
    change = (
        "import sys\n"
        "from companion_agent.service import session_start\n"
        "line = session_start.command([sys.executable, '-m', 'companion_agent'])\n"
        "print(session_start.{})"
    )
    said = [pc.run("python", "-c", change.format("register(line)")).stdout for _ in range(2)]
    pc.power_cut()
    pc.boot()

    wait_for(lambda: "not there" in pc.helpers_log, "a helper", timeout=_START_LIMIT)

    assert said == ["True\n", "False\n"]
    assert pc.run("python", "-c", change.format("end_running()")).stdout == "2\n"
    assert pc.run("python", "-c", change.format("unregister()")).stdout == "True\n"
