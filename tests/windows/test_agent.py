"""The agent on a Windows PC: what Home Assistant hears of it, and what its commands print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.agent_host import HOST

if TYPE_CHECKING:
    from stack.linux_host import Done
    from stack.wine import WinePc
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

AGENT = ("python", "-m", "companion_agent")
NAME = "Büro — Łódź 日本"
STATE = "Zustände des Agenten"
RUN = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run"


@pytest.fixture
def config(pc: WinePc, mosquitto: Mosquitto) -> str:
    """A configuration; its path as the PC names it."""
    write(pc, f"{STATE}/host-id", HOST)
    settings = {
        "broker": f"127.0.0.1:{mosquitto.port}",
        "name": NAME,
        "state_dir": pc.path(pc.drive / STATE),
        "log": {"file": pc.path(pc.drive / "agent.log")},
    }
    return write(pc, "agent.yaml", json.dumps(settings))


def write(pc: WinePc, name: str, text: str) -> str:
    """Write a file on drive C: and return its path there."""
    path = pc.drive / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return pc.path(path)


def read(pc: WinePc, *arguments: str) -> Any:
    """Return what a command says as JSON."""
    return json.loads(pc.run(*AGENT, *arguments).stdout)


@pytest.mark.native
def test_an_agent_is_online_and_then_off(
    pc: WinePc, config: str, home_assistant: FakeHomeAssistant
) -> None:
    agent = pc.start(*AGENT, "run", "--config", config)

    home_assistant.wait_for("availability", b"online")
    home_assistant.wait_for("state/disk", b'"c.used_percent"')
    home_assistant.wait_for("announce", NAME.encode())
    assert agent.stop() == 0
    home_assistant.wait_for("availability", b"off")


@pytest.mark.native
def test_an_agent_whose_process_is_ended_is_lost(
    pc: WinePc, config: str, home_assistant: FakeHomeAssistant
) -> None:
    agent = pc.start(*AGENT, "run", "--config", config)
    home_assistant.wait_for("availability", b"online")

    agent.kill()

    home_assistant.wait_for("availability", b"lost")


def test_an_agent_without_a_window_survives_a_power_cut(
    pc: WinePc, config: str, home_assistant: FakeHomeAssistant
) -> None:
    """As it is started at login: by `pythonw`, which has no standard output and error."""
    pythonw = pc.path_of_python("pythonw")
    command = f'"{pythonw}" -m companion_agent run --config {config}'
    pc.run("reg", "add", RUN, "/v", "Pilot", "/d", command)
    pc.power_cut()

    pc.boot()
    home_assistant.wait_for("availability", b"online")
    pc.power_cut()
    home_assistant.wait_for("availability", b"lost")
    pc.boot()
    home_assistant.wait_for("availability", b"online", count=2)

    assert "Traceback" not in (pc.drive / "agent.log").read_text("utf-8")


@pytest.mark.native
def test_what_is_no_console_gets_utf8(pc: WinePc) -> None:
    """Whatever the code page is: 850 is that of consoles in Europe, 1252 that of programs."""
    state = pc.path(pc.drive / STATE)
    config = write(pc, "agent.yaml", f"broker: 127.0.0.1:1\nname: {NAME}\nstate_dir: {state}\n")

    def said(encoding: str, *arguments: str) -> Done:
        env = {"PYTHONIOENCODING": encoding}
        return pc.run(*AGENT, *arguments, "--config", config, env=env, check=False)

    table = said("cp850", "doctor")
    shown = said("cp1252", "config", "show")

    assert "Zustände des Agenten" in table.stdout
    assert "─" in table.stdout
    assert table.stderr == ""
    assert NAME in shown.stdout


@pytest.mark.native
@pytest.mark.proves(
    "cpu.percent", "cpu.core_percent", "cpu.frequency", "disk.*", "memory.*",
    "system.started", "system.os", "system.kernel", "system.processes",
)  # fmt: skip
def test_readings_are_those_of_windows(pc: WinePc) -> None:
    found = read(pc, "read", "--json", "system", "memory", "disk", "cpu")

    readings = found["readings"]
    assert "Windows" in readings["system.os"]["value"]
    assert readings["system.kernel"]["value"].startswith("10.0.")
    assert readings["memory.total"]["value"] > 2**20
    assert 0 < readings["disk.c.used_percent"]["value"] <= 100
    assert found["missing"] == {}


@pytest.mark.native
def test_pythonw_has_no_streams(pc: WinePc) -> None:
    """What the test of the agent without a window counts on."""
    note = pc.drive / "note"
    code = f"import sys; open({pc.path(note)!r}, 'w').write(repr((sys.stdout, sys.stderr)))"
    # By a program of its own: `wine` would hand on the pipes of this test.
    pc.run("cmd", "/c", "start", "/wait", pc.path_of_python("pythonw"), "-c", code)

    assert note.read_text() == "(None, None)"
