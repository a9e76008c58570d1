"""Services and programs of Windows as the agent sees them, with Wine's own service manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stack.wine import WinePc

pytestmark = pytest.mark.proves("services.*", "processes.*")

# The print spooler is a service of Wine's that starts and stops when it is asked to.
SCRIPT = """\
import json
from companion_agent.errors import CommandError
from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.platforms.windows.services import WindowsServices
from companion_agent.plugins.processes.plugin import ProcessesPlugin
from companion_agent.plugins.processes.settings import WatchedProcess, WatchedProcesses

programs = {"python": WatchedProcess("Python", "-c"), "none": WatchedProcess()}
services = WindowsServices()

def state():
    return [[one.name, one.running] for one in services.states(["spooler"])["spooler"]]

def act(name, verb):
    try:
        services.act(name, verb)
    except CommandError as error:
        return error.detail
    return state()

print(json.dumps({
    "failed": list(services.failed()),
    "missing": [str(one) for one in services.missing({"Spooler": frozenset({"stop"})}).values()],
    "start": act("Spooler", "start"),
    "again": act("Spooler", "start"),
    "restart": act("Spooler", "restart"),
    "stop": act("Spooler", "stop"),
    "none": act("NoSuchService", "start"),
    "patterns": len(services.states(["*"])["*"]),
    "programs": ProcessesPlugin(WindowsPlatform(), None, WatchedProcesses(programs)).collect(),
}))
"""


def test_services_are_started_and_stopped_and_programs_seen(pc: WinePc) -> None:
    said: dict[str, Any] = json.loads(pc.run("python", "-c", SCRIPT).stdout)

    assert said["start"] == said["again"] == said["restart"] == [["Spooler", True]]
    assert said["stop"] == [["Spooler", False]]
    assert "NoSuchService did not start" in said["none"]
    assert said["missing"] == ["None"]
    assert said["failed"] == []
    assert said["patterns"] > 5
    assert said["programs"]["python.count"] == 1
    assert said["programs"]["python.memory"] > 0
    assert said["programs"]["none.running"] is False
