"""The whole agent, updated and gone back, as processes that a supervisor starts again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent import __version__
from companion_agent.updates.launcher import VARIABLE, Launched, launch
from stack import releases as broken
from support.agent_host import PREFIX
from support.agent_mqtt import FakeHomeAssistant, Mosquitto, free_port
from support.event_loop import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from companion_agent.updates.store import Releases
    from stack.releases import Maker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="updates work on Linux only so far")

# Its half, in which a release has to stay, is longer than the three seconds of one that does not.
TRIAL = 20


class Keeper:
    """Starts the agent again when it fails, as a service manager does."""

    def __init__(self, folder: Path, config: str) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PILOT_")},
            "PILOT_CONFIG": str(self.config),
        }
        self._ends = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep)
        self.failures: list[int] = []
        self._thread.start()

    def _keep(self) -> None:
        while not self._ends.is_set():
            self._process = self._start("run")
            code = self._process.wait()
            # As RestartPreventExitStatus= and Restart=on-failure say.
            if code in (0, 2):
                return
            self.failures.append(code)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "companion_agent", *arguments]
        return subprocess.Popen(command, env=self._environment, stderr=subprocess.PIPE)

    def update(self, *arguments: str) -> tuple[int, str]:
        process = self._start("update", *arguments)
        said = process.communicate(timeout=5 * PATIENCE)[1].decode()
        return process.returncode, said

    def start_again(self) -> None:
        self.stop()
        self._ends.clear()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        if self._process:
            self._process.terminate()
        self._thread.join(PATIENCE)


@pytest.fixture
def keeper(mosquitto: Mosquitto, maker: Maker, tmp_path: Path) -> Iterator[Keeper]:
    text = (
        f"broker: 127.0.0.1:{mosquitto.port}\n"
        f"state_dir: {tmp_path / 'state'}\n"
        f"update: {{source: share, keys: ['{maker.key}'], trial: {TRIAL}}}\n"
        "collectors: {i2c: {enabled: false}, updates: {enabled: false}}\n"
    )
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "host-id").write_text("9c3f6f0e3a5b4d21")
    keeper = Keeper(tmp_path, text)
    yield keeper
    keeper.stop()


def test_there_and_back(
    keeper: Keeper, home_assistant: FakeHomeAssistant, maker: Maker, releases: Releases
) -> None:
    home_assistant.wait_for("availability", b"online")
    maker.make("99.0.0")
    assert keeper.update() == (0, "")
    announce = json.loads(home_assistant.wait_for("announce", b'"99.0.0"'))
    assert announce["agent"]["version"] == "99.0.0"
    # One process all the time, as far as its parent can tell.
    assert keeper.failures == []

    assert keeper.update("--back") == (0, "")
    assert keeper.update("--to", "99.0.0") == (0, "")
    assert releases.state().current == "99.0.0"


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        pytest.param(broken.CRASHES, "it ended 2 times before it was online", id="crashes"),
        # What ends as if all were well.
        pytest.param(broken.ENDS, "it ended 2 times before it was online", id="ends"),
        pytest.param(broken.DEAF, f"it was not online within {TRIAL} s", id="deaf"),
        pytest.param(broken.DIES, "it ended soon after it was online", id="dies"),
    ],
)
def test_what_does_not_work_is_left_in_silence(
    modules: Mapping[str, str],
    why: str,
    keeper: Keeper,
    home_assistant: FakeHomeAssistant,
    maker: Maker,
) -> None:
    home_assistant.wait_for("availability", b"online")
    maker.make("99.0.0", modules)

    code, said = keeper.update()

    assert (code, said.strip()) == (
        1,
        f"pilot-agent: version 99.0.0 was left again: {why}; {__version__} runs",
    )
    announce = json.loads(home_assistant.wait_for("announce", b'"failed":{'))
    assert announce["update"]["failed"] == {"version": "99.0.0", "reason": why}
    # Neither who starts the agent nor who listens has seen anything of it.
    assert keeper.failures == []
    availability = [
        said for topic, said in home_assistant.published if topic == f"{PREFIX}/availability"
    ]
    assert availability == [b"online", b"off", b"online"]


def test_what_passed_its_trial_and_does_not_start_again_is_left(
    keeper: Keeper, home_assistant: FakeHomeAssistant, maker: Maker
) -> None:
    home_assistant.wait_for("availability", b"online")
    maker.make("99.0.0", broken.STARTS_ONCE)
    assert keeper.update() == (0, "")
    home_assistant.wait_for("announce", b'"99.0.0"')
    home_assistant.forget()

    keeper.start_again()

    why = "it ended 4 times soon after its start"
    announce = json.loads(home_assistant.wait_for("announce", b'"failed":{'))
    assert announce["update"]["failed"] == {"version": "99.0.0", "reason": why}
    assert announce["agent"]["version"] == __version__
    # The unit allows six starts in ten minutes.
    assert len(keeper.failures) == 4


def test_one_that_ends_as_asked_is_started_again(
    keeper: Keeper, home_assistant: FakeHomeAssistant, maker: Maker, releases: Releases
) -> None:
    home_assistant.wait_for("availability", b"online")
    maker.make("99.0.0")
    keeper.update()
    home_assistant.wait_for("announce", b'"99.0.0"')
    keeper.stop()
    process = keeper._start("run")
    home_assistant.forget()
    home_assistant.wait_for("announce", b'"99.0.0"')
    assert releases.state().starts == 1

    process.terminate()
    process.communicate(timeout=PATIENCE)

    assert releases.state().starts == 0


def test_a_configuration_for_the_release_does_not_stop_the_base(
    keeper: Keeper, home_assistant: FakeHomeAssistant, maker: Maker
) -> None:
    home_assistant.wait_for("availability", b"online")
    maker.make("99.0.0")
    keeper.update()
    home_assistant.wait_for("announce", b'"99.0.0"')
    keeper.stop()
    # Nothing of it means anything to either of them; the base must let the release say so.
    keeper.config.write_text(keeper.config.read_text() + "of_tomorrow: 1\n")

    process = keeper._start("run")
    said = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == 2
    assert "of_tomorrow: is not known here" in said


def test_what_cannot_be_decided_means_the_base(tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    folder.mkdir()
    (folder / "state.json").mkdir()
    environment = {"PILOT_STATE_DIR": str(tmp_path), "PILOT_CONFIG": str(tmp_path / "none.yaml")}

    assert launch(None, environment).release == ""


def test_what_belongs_to_another_user_is_not_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    folder = tmp_path / "releases"
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    os.chown(folder, 65534, 65534)
    environment = {"PILOT_STATE_DIR": str(tmp_path), "PILOT_CONFIG": str(tmp_path / "none.yaml")}

    assert launch(None, environment).release == ""
    assert "belongs to another user" in caplog.text


def test_a_release_knows_how_it_was_started() -> None:
    told = {"release": "99.0.0", "base": "0.1.0", "command": ["python", "run"]}
    environment = {VARIABLE: json.dumps(told)}

    assert launch(None, environment) == Launched("99.0.0", "0.1.0", ("python", "run"))
    assert environment == {}


def test_without_a_service_the_terminal_says_so(
    tmp_path: Path, run_command: Callable[..., subprocess.Popen[str]]
) -> None:
    process = run_command("update", PILOT_BROKER=f"127.0.0.1:{free_port()}")

    assert process.wait(PATIENCE) == 1
    assert process.stderr
    assert "no agent is running" in process.stderr.read()
