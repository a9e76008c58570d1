"""The command line, as users and scripts meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent import __version__
from companion_agent.cli import main, run
from companion_agent.cli.parser import parser
from support.agent_host import WITHOUT_PACKAGE_MANAGERS
from support.agent_mqtt import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PILOT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PILOT_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.delenv("PILOT_BROKER", raising=False)
    monkeypatch.setattr("companion_agent.cli.snapshot.GAP", 0.0)
    for name, value in WITHOUT_PACKAGE_MANAGERS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"pilot-agent {__version__}\n"


def test_no_command_shows_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "show all readings" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--fast"], ["completion", "cmd"]])
def test_unknown_input_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["config", "check", "a.yaml"], ["run", "a.yaml"]])
def test_unknown_input_is_shown_with_what_its_command_takes(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)

    printed = capsys.readouterr().err
    assert f"usage: pilot-agent {' '.join(arguments[:-1])} [-h] [--config FILE]" in printed
    assert "unrecognized arguments: a.yaml" in printed


def test_config_check_says_ok(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config("broker: mqtt.local")

    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "ok\n"


def test_config_check_says_everything_that_is_wrong(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = config("broker:\n  hots: mqtt.local\n  port: x\n")

    assert main(["config", "check", "--config", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:1: broker.host: is missing",
        f"{path}:2: broker.hots: is not known here; did you mean host?",
        f'{path}:3: broker.port: expected a whole number from 1 to 65535, not "x"',
    ]


@pytest.mark.parametrize("command", [["run"], ["config", "show"], ["id"]])
def test_every_command_reports_a_wrong_configuration(
    command: list[str], config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config("brokr: x")

    assert main(command) == 2
    assert "did you mean broker?" in capsys.readouterr().err


def test_config_show_hides_secrets_and_can_be_read_again(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config("broker: {host: mqtt.local, username: u, password: s3cret, tls: true}\nname: Büro\n")

    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    config(shown)
    assert main(["config", "check"]) == 0


def test_id_is_the_same_until_a_new_one_is_drawn(
    config: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config("broker: mqtt.local")

    codes = [main(["id"]), main(["id"]), main(["id", "--new"]), main(["id"])]

    first, second, drawn, after = capsys.readouterr().out.split()
    assert codes == [0, 0, 0, 0]
    assert first == second != drawn == after


def test_migrating_elsewhere_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform == "linux":
        monkeypatch.setattr(sys, "platform", "darwin")

    assert main(["migrate", "pilot.env"]) == 1
    assert "`pilot-agent setup` sets this computer up" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "doctor" in capsys.readouterr().out


def test_read_needs_no_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "memory"]) == 0
    assert "memory.percent" in capsys.readouterr().out


def test_read_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["readings"]["memory.percent"]["unit"] == "%"
    assert printed["readings"]["memory.percent"]["value"] > 0


def test_read_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "memroy"]) == 2
    assert "there is no collector memroy; known are cpu, memory" in capsys.readouterr().err


def test_importing_the_command_line_imports_little() -> None:
    program = "import sys, companion_agent.cli; print(*sorted(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    dear = {"paho", "psutil", "yaml", "voluptuous", "rich", "shtab", "pythonjsonlogger", "ssl"}
    assert dear.isdisjoint(loaded)


def test_running_imports_only_what_it_needs(config: Callable[[str], Path]) -> None:
    config("broker: localhost")
    program = """
import sys
from companion_agent import cli, runtime

runtime.run = lambda *_: print(*sorted(sys.modules))
sys.exit(cli.main(["run"]))
"""

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    seldom = {"rich", "shtab", "pythonjsonlogger", "platformdirs", "sqlite3"}
    seldom |= {"argparse", "http.client", "email"}
    if sys.platform == "linux":
        # The configuration is read by a process that has ended.
        seldom |= {"yaml", "voluptuous", "companion_agent.config.loader"}
    assert seldom.isdisjoint(loaded)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "--config", "agent.yaml"],
        ["run", "--config=agent.yaml"],
        ["run", "--conf", "agent.yaml"],
    ],
)
def test_running_takes_what_the_parser_does(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    asked: list[Path | None] = []
    monkeypatch.setattr(run, "report", lambda config: asked.append(config) or 0)

    main(arguments)

    assert asked == [parser().parse_args(arguments).config]


def test_running_without_the_file_that_an_option_needs_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", "--config"])


def test_run_says_that_another_agent_is_there(
    run_command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    from companion_agent import identity

    with identity.only_agent(tmp_path / "state"):
        process = run_command("run", PILOT_BROKER=f"127.0.0.1:{free_port()}", PILOT_CONFIG="")
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "another agent (process" in errors
    assert "Traceback" not in errors
