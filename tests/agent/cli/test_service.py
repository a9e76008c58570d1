"""`pilot-agent service`, on a Windows that the tests play."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("tests/windows has the real ones", allow_module_level=True)

from companion_agent.cli import main, service
from companion_agent.cli.parser import parser
from companion_agent.service import event_log, windows
from companion_agent.winapi import services
from support.windows_services import ServicePC

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicePC:
    pc = ServicePC(tmp_path).install(monkeypatch)
    monkeypatch.setattr(event_log, "register", lambda _: None)
    monkeypatch.setattr(event_log, "remove", lambda _: True)
    monkeypatch.setattr(windows, "this_program", lambda: ("python.exe", "-m", "companion_agent"))
    return pc


def act(*arguments: str) -> int:
    parsed = parser().parse_args(["service", *arguments])
    return service._ACTIONS[parsed.action](parsed)


def test_elsewhere_the_system_s_own_way_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install"]) == 1
    assert "systemctl status pilot-agent" in capsys.readouterr().err


def test_install_start_and_look(pc: ServicePC, capsys: pytest.CaptureFixture[str]) -> None:
    assert act("status") == 1
    assert act("install", "--start") == 0
    said = capsys.readouterr().out
    assert "service pilot-agent" in said
    assert "service started" in said
    assert "Next: `pilot-agent setup` writes" in said

    assert act("status", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "running"
    assert shown["account"] == r"NT AUTHORITY\LocalService"
    assert act("status") == 0
    assert "process 4321" in capsys.readouterr().out


def test_the_state_is_where_the_configuration_says(
    pc: ServicePC, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, state = tmp_path / "pilot.yaml", tmp_path / "a state"
    config.write_text(f"broker: b\nstate_dir: '{state}'\n")

    assert act("install", "--config", str(config)) == 0

    assert pc.config
    assert f'--config {config} --state-dir "{state}"' in pc.config.path
    assert "Next:" not in capsys.readouterr().out


def test_a_state_that_only_the_command_line_names_is_noted(
    pc: ServicePC, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert act("install", "--state-dir", str(tmp_path / "other")) == 0

    assert "state_dir:" in capsys.readouterr().out


def test_a_failed_service_tells_its_exit_code(
    pc: ServicePC, capsys: pytest.CaptureFixture[str]
) -> None:
    act("install")
    pc.state, pc.exit_code = services.STOPPED, 3
    capsys.readouterr()

    assert act("status") == 1
    assert "exit code 3" in capsys.readouterr().out


def test_start_stop_remove(pc: ServicePC, capsys: pytest.CaptureFixture[str]) -> None:
    act("install")
    assert act("start") == 0
    assert act("stop") == 0
    assert act("remove") == 0
    folder = windows.usual_places().config.parent
    assert f"Kept: {folder}" in capsys.readouterr().out
    assert folder.exists()

    assert act("remove", "--purge") == 0
    assert not folder.exists()
