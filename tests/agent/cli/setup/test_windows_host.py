"""The conversation on Windows, with a real broker and a Windows that the tests play."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if sys.platform == "win32":
    pytest.skip("this plays Windows on Linux", allow_module_level=True)

from companion_agent.cli.setup import run, windows_host
from companion_agent.cli.setup.prompts import Asker
from companion_agent.cli.setup.run import SetupOptions
from companion_agent.cli.setup.windows_host import UserHost, WindowsHost
from companion_agent.config import load
from companion_agent.service import event_log
from companion_agent.service.windows import WindowsService
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import accounts, registry, services
from support.agent_mqtt import free_port
from support.windows_services import ServicePC

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_mqtt import Mosquitto

UNATTENDED = Asker(interactive=False)


class Agent:
    """The agent that runs, as the terminal reaches it."""

    def __init__(self) -> None:
        self.runs = True
        self.asked: list[str] = []

    def ask(self, _config: object, message: dict[str, Any]) -> dict[str, Any] | None:
        self.asked.append(message["ask"])
        return {"online": True} if self.runs else None


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    agent = Agent()
    monkeypatch.setattr(windows_host, "_ask", agent.ask)
    monkeypatch.setattr(run, "_ONLINE_LIMIT", 0.0)
    return agent


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicePC:
    pc = ServicePC(tmp_path).install(monkeypatch)
    monkeypatch.setattr(event_log, "register", lambda _: None)
    monkeypatch.setattr(event_log, "remove", lambda _: True)
    monkeypatch.setattr(windows_host, "this_program", lambda: ("python.exe", "-m", "x"))
    return pc


@pytest.fixture
def options(mosquitto: Mosquitto, tmp_path: Path) -> SetupOptions:
    settings, password = tmp_path / "settings.yaml", tmp_path / "password"
    # Where it is usual on Windows is not known here.
    settings.write_text(f"state_dir: '{tmp_path / 'ProgramData' / 'pilot-agent' / 'state'}'\n")
    password.write_text("s3cret\n")
    return SetupOptions(
        broker=f"127.0.0.1:{mosquitto.port}",
        username="pilot",
        password_file=str(password),
        settings=settings,
    )


# --- A service -------------------------------------------------------------------------------


def test_an_administrator_gets_a_service(
    pc: ServicePC, agent: Agent, options: SetupOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.setup(options, UNATTENDED, WindowsHost(WindowsService())) == 0

    config = pc.data / "pilot-agent" / "config.yaml"
    assert pc.state == services.RUNNING
    assert load(config, {}).brokers[0].password.reveal() == "s3cret"
    for path in (config, config.with_name("broker-password")):
        # No account but the service's and the administrators'.
        assert pc.rules[str(path)] == (
            f"O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;{SERVICE_SID})"
        )
    assert "Connected to 127.0.0.1" in capsys.readouterr().out

    assert run.setup(options, UNATTENDED, WindowsHost(WindowsService())) == 0
    assert "Nothing had to be changed." in capsys.readouterr().out


def test_a_look_installs_nothing(pc: ServicePC, agent: Agent, options: SetupOptions) -> None:
    look = SetupOptions(broker=options.broker, settings=options.settings, check=True)

    assert run.setup(look, UNATTENDED, WindowsHost(WindowsService(check=True))) == 0
    assert pc.config is None
    assert not (pc.data / "pilot-agent").exists()


def test_without_rights_no_service_is_promised(
    pc: ServicePC, options: SetupOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    pc.administrator = False

    assert run.setup(options, UNATTENDED, WindowsHost(WindowsService())) == run.NOT_WELL
    assert run.remove(UNATTENDED, WindowsHost(WindowsService())) == run.NOT_WELL
    assert capsys.readouterr().err.count("Run as administrator") == 2


def test_the_service_reads_one_file(
    pc: ServicePC, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = SetupOptions(config=tmp_path / "x.yaml")

    assert run.setup(other, UNATTENDED, WindowsHost(WindowsService())) == run.NOT_WELL
    assert "no other file" in capsys.readouterr().err


def test_a_service_that_does_not_stay_says_where_its_reason_is(
    pc: ServicePC, agent: Agent, options: SetupOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    pc.ends_with = 3

    assert run.setup(options, UNATTENDED, WindowsHost(WindowsService())) == run.NOT_WELL
    assert "event log" in capsys.readouterr().err


def test_removal_keeps_the_folder_unless_it_is_to_go(
    pc: ServicePC, agent: Agent, options: SetupOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    run.setup(options, UNATTENDED, WindowsHost(WindowsService()))

    assert run.remove(UNATTENDED, WindowsHost(WindowsService())) == 0
    assert f"Kept: {pc.data / 'pilot-agent'}." in capsys.readouterr().out
    assert run.remove(UNATTENDED, WindowsHost(WindowsService()), purge=True) == 0
    assert not (pc.data / "pilot-agent").exists()


# --- One user --------------------------------------------------------------------------------


class Entries:
    """What is started at a log-in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.line = ""
        self.started: list[list[str]] = []
        monkeypatch.setattr(windows_host, "_run_entry", lambda: self.line)
        monkeypatch.setattr(windows_host, "_set_run_entry", self._set)
        monkeypatch.setattr(windows_host, "_start_apart", self.started.append)

    def _set(self, line: str) -> None:
        self.line = line


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entries:
    config = tmp_path / "AppData" / "pilot-agent" / "config.yaml"
    monkeypatch.setattr(windows_host, "search_path", lambda _: [config])
    monkeypatch.setattr(windows_host, "default_state_dir", lambda _: tmp_path / "machine")
    return Entries(monkeypatch)


def test_a_user_gets_an_agent_from_the_log_in_on(
    user: Entries,
    agent: Agent,
    mosquitto: Mosquitto,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent.runs = False
    options = SetupOptions(broker=f"127.0.0.1:{mosquitto.port}", untested=True)

    assert run.setup(options, UNATTENDED, UserHost()) == 0

    said = capsys.readouterr().out
    assert "runs while you\nare logged in" in said
    config = tmp_path / "AppData" / "pilot-agent" / "config.yaml"
    written = yaml.safe_load(config.read_text())
    assert written["state_dir"] == str(config.with_name("state"))
    assert user.line.endswith(f"-m companion_agent run --config {config}")
    assert len(user.started) == 1

    agent.runs = True
    assert run.setup(SetupOptions(), UNATTENDED, UserHost()) == 0
    assert "Nothing had to be changed." in capsys.readouterr().out
    assert len(user.started) == 1
    assert "reload" not in agent.asked
    assert run.setup(SetupOptions(name="Desk"), UNATTENDED, UserHost()) == 0
    assert "reload" in agent.asked


def test_a_user_removes_what_is_theirs(
    user: Entries, pc: ServicePC, agent: Agent, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    others = rf"{accounts.LOCAL_SERVICE}\{registry.AGENT}"
    pc.keys |= {registry.AGENT, registry.REGISTERED, others}
    run.setup(SetupOptions(broker=f"127.0.0.1:{mosquitto.port}"), UNATTENDED, UserHost())
    folder = tmp_path / "AppData" / "pilot-agent"

    assert run.remove(UNATTENDED, UserHost()) == 0
    assert (user.line, folder.exists()) == ("", True)
    assert run.remove(UNATTENDED, UserHost(), purge=True) == 0
    assert not folder.exists()
    assert pc.keys == {others}


def test_looking_at_a_user_s_set_up_changes_nothing(
    user: Entries, agent: Agent, tmp_path: Path
) -> None:
    options = SetupOptions(broker=f"127.0.0.1:{free_port()}", check=True)

    assert run.setup(options, UNATTENDED, UserHost(check=True)) == 0
    assert (user.line, user.started) == ("", [])
    assert not (tmp_path / "AppData").exists()
