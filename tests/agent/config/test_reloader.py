"""The configuration is read again while the agent runs."""

from __future__ import annotations

from functools import partial
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent import platforms
from companion_agent.config import load
from companion_agent.config.reloader import Reloader
from companion_agent.errors import CommandError
from companion_agent.plugins.agent import RELOAD, RESTART, AgentPlugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    import subprocess

pytestmark = pytest.mark.proves("agent.reload", "agent.restart")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    write(path, "name: before")
    return path


@pytest.fixture
def reloader(path: Path) -> Reloader:
    return Reloader(load(path, {}), partial(load, path, {}))


def write(path: Path, text: str) -> None:
    path.write_text(f"broker: localhost\nstate_dir: {path.parent / 'state'}\n{text}\n", "utf-8")


def test_what_stands_there_now_is_read(reloader: Reloader, path: Path) -> None:
    write(path, "name: after")

    reloader.read()

    assert reloader.config.name == "after"


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("nmae: after", "config.yaml:3: nmae: is not known here; did you mean name?"),
        ("nmae: a\nlgo: b", "(and 1 more: pilot-agent config check)"),
    ],
)
def test_mistakes_change_nothing_and_are_told_and_logged(
    reloader: Reloader,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
    detail: str,
) -> None:
    write(path, text)

    with pytest.raises(CommandError) as caught:
        reloader.read()

    assert detail in caught.value.detail
    assert reloader.config.name == "before"
    assert "The configuration is not read again: " in caplog.text


def test_another_state_folder_needs_a_restart(reloader: Reloader, path: Path) -> None:
    path.write_text(f"broker: localhost\nstate_dir: {path.parent / 'other'}\n", "utf-8")

    with pytest.raises(CommandError, match="another state_dir needs a restart"):
        reloader.read()


def test_while_an_update_is_on_trial_nothing_begins_anew(reloader: Reloader) -> None:
    reloader.occupied = lambda: "this version is on trial"

    with pytest.raises(CommandError, match="on trial"):
        reloader.read()


def test_home_assistant_can_ask_for_it(reloader: Reloader, path: Path) -> None:
    plugin = AgentPlugin(platforms.current(), rereader=reloader)
    write(path, "name: after")

    assert [command.key for command in plugin.commands()] == [RELOAD, RESTART]
    plugin.run(RELOAD, {})

    assert reloader.config.name == "after"


def test_home_assistant_can_have_the_process_started_anew(reloader: Reloader) -> None:
    plugin = AgentPlugin(platforms.current(), rereader=reloader)
    reloader.occupied = lambda: "this version is on trial"

    with pytest.raises(CommandError, match="on trial"):
        plugin.run(RESTART, {})
    assert not reloader.restarting
    reloader.occupied = lambda: ""
    plugin.run(RESTART, {})

    assert reloader.restarting


# --- The whole process -----------------------------------------------------------------------


class Log:
    """What an agent says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._follow, args=(process,), daemon=True).start()

    def wait_for(self, text: str) -> None:
        """Wait for a line with a text, and forget it with those before it."""

        def place() -> int:
            return next((n for n, line in enumerate(self._lines, 1) if text in line), 0)

        with self._changed:
            found = self._changed.wait_for(place, 60)
            assert found, f"no {text!r} in {self._lines}"
            del self._lines[:found]

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_running_agent_goes_on_with_it(
    run_command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"

    def configure(text: str) -> None:
        path.write_text(f"broker: {{host: 127.0.0.1, port: 9}}\n{text}\n", "utf-8")

    configure("name: before")
    agent = run_command("run", "--config", str(path))
    log = Log(agent)
    log.wait_for("Reporting")

    agent.send_signal(signal.SIGHUP)
    log.wait_for("Beginning anew")
    log.wait_for("Reporting")

    configure("nmae: after")
    agent.send_signal(signal.SIGHUP)
    log.wait_for("config.yaml:2: nmae: is not known here; did you mean name?")
    refused = run_command("reload", "--config", str(path))
    said = refused.communicate(timeout=60)[1]
    assert (refused.returncode, "did you mean name?" in said) == (2, True)

    configure("name: after")
    asked = run_command("reload", "--config", str(path))
    assert asked.communicate(timeout=60)[0].startswith("the agent goes on with")
    assert asked.returncode == 0
    log.wait_for("Beginning anew")
    log.wait_for("Reporting")

    agent.terminate()
    assert agent.wait(60) == 0


def test_without_a_running_agent_it_says_so(
    run_command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("broker: localhost\n")

    asked = run_command("reload", "--config", str(path))

    assert "no agent is running" in asked.communicate(timeout=60)[1]
    assert asked.returncode == 1
