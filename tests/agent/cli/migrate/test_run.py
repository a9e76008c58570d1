"""The conversation of `pilot-agent migrate`, and the way back."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if sys.platform != "linux":
    pytest.skip("migrate knows Linux only", allow_module_level=True)

from companion_agent.cli import main
from companion_agent.cli.migrate import run
from companion_agent.cli.setup.prompts import Asker
from companion_agent.config import load
from companion_agent.config.settings import V1Topics
from companion_agent.service.linux import Service
from support.agent_host import FakeCollector, FakePlatform, RunningAgent
from support.clock import PassingClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

V1 = """\
# Pilot
MQTT_HOST=10.0.0.5
MQTT_USERNAME=office
MQTT_PASSWORD='s3cr#t'
DEVICE_NAME=office-pc
CPU_INTERVAL=5
FROBNICATE=3
"""
V2 = """\
# mine
broker: # at home
  host: other.local
  password: hunter2
  username: u
name: Office

# slow disks
collectors:
  disk: {interval: 600}
"""


class Host:
    """A host with v1's file, and the place of the new configuration."""

    def __init__(self, folder: Path) -> None:
        self.v1 = folder / "v1.env"
        self.v1.write_text(V1)
        self.config = folder / "pilot-agent" / "config.yaml"

    def has(self, text: str) -> None:
        self.config.parent.mkdir()
        self.config.write_text(text)

    def migrate(self, *arguments: str) -> int:
        return main(["migrate", str(self.v1), "--output", str(self.config), *arguments])

    def undo(self) -> int:
        return main(["migrate", "--undo", "--output", str(self.config), "--yes"])

    @property
    def files(self) -> dict[str, bytes]:
        folder = self.config.parent
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_writes_a_configuration_that_says_the_same(host: Host) -> None:
    assert host.migrate("--yes") == 0

    config = load(host.config, {})
    (broker,) = config.brokers
    assert (broker.host, broker.username, broker.password) == ("10.0.0.5", "office", "s3cr#t")
    assert config.name == "office-pc"
    assert config.collector("cpu").interval == 5
    assert config.mirror == V1Topics("office-pc")


def test_secrets_are_apart_private_and_not_shown(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.has(V2)

    host.migrate("--yes")

    shown = capsys.readouterr().out
    assert "s3cr#t" not in shown
    assert "hunter2" not in shown
    assert "s3cr#t" not in host.config.read_text()
    private = [host.config.with_name("broker-password"), *host.config.parent.glob("before*/*")]
    assert len(private) == 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_every_key_is_accounted_for_and_the_difference_shown(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.migrate("--dry-run")

    shown = capsys.readouterr().out.splitlines()
    assert "     2  MQTT_HOST      → broker.host" in shown
    assert next(line for line in shown if "FROBNICATE" in line) == (
        "     7  FROBNICATE     ✗ not taken (is not known; what it meant has to be set by hand)"
    )
    assert "+  host: 10.0.0.5" in shown
    assert "Nothing was written." in shown
    assert not host.config.exists()


def test_what_is_there_stays_but_for_what_v1_says(host: Host) -> None:
    host.has(V2)

    assert host.migrate("--yes") == 0

    text = host.config.read_text()
    assert text.startswith("# mine\nbroker:\n  host: 10.0.0.5\n")
    assert (
        "\n# slow disks\ncollectors:\n  disk:\n    interval: '600'\n  cpu:\n    interval: 5" in text
    )
    assert load(host.config, {}).collector("disk").interval == 600


@pytest.mark.parametrize("text", ["MQTT_HOST=other.local\n", "MQTT_KEEPALIVE=60\n"])
def test_what_v1_does_not_say_of_the_same_broker_stays(host: Host, text: str) -> None:
    host.has(V2)
    host.v1.write_text(text)

    assert host.migrate("--yes", "--device", "office-pc") == 0

    (broker,) = load(host.config, {}).brokers
    assert (broker.host, broker.username, broker.password) == ("other.local", "u", "hunter2")
    assert broker.keepalive == (60 if "60" in text else 30)


def test_the_device_is_asked_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.v1.write_text("MQTT_HOST=mqtt.local\nNAME=Office\n")
    answers = iter(["office-pc", "y"])
    monkeypatch.setattr("companion_agent.cli.setup.prompts.is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))

    assert host.migrate() == 0

    assert load(host.config, {}).mirror == V1Topics("office-pc")
    assert load(host.config, {}).name == "Office"


def test_a_file_that_is_not_text(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.v1.write_bytes(b"MQTT_HOST=a\nNAME=B\xfcro\n")

    assert host.migrate("--yes") == 2

    assert "v1.env:2: is not UTF-8" in capsys.readouterr().err


def test_a_damaged_record_says_where_the_copies_are(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.migrate("--yes")
    was = host.config.read_text()
    folder = host.config.parent / "before-migration"
    (folder / "record.json").write_text("{")

    assert host.undo() == 1

    assert f"copies of what was there are in {folder}" in capsys.readouterr().err
    assert host.config.read_text() == was


@pytest.mark.parametrize("before", ["", V2])
def test_going_back_leaves_everything_as_it_was(host: Host, before: str) -> None:
    if before:
        host.has(before)
    was = host.files
    host.migrate("--yes")

    assert host.undo() == 0

    assert host.files == was
    assert host.v1.read_text() == V1


def test_going_back_keeps_what_was_changed_since(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.migrate("--yes")
    changed = host.config.read_text() + "log: {level: debug}\n"
    host.config.write_text(changed)

    assert host.undo() == 0

    aside = host.config.with_name("config.yaml.undone")
    assert aside.read_text() == changed
    assert str(aside) in capsys.readouterr().out
    assert not host.config.exists()


def test_a_second_time_changes_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.migrate("--yes")
    was = host.files
    capsys.readouterr()

    assert host.migrate("--yes") == 0

    assert "Nothing had to be changed." in capsys.readouterr().out
    assert host.files == was


def test_copies_of_an_earlier_migration_are_not_written_over(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.migrate("--yes")
    was = host.files
    host.v1.write_text(V1.replace("10.0.0.5", "10.0.0.6"))

    assert host.migrate("--yes") == 1

    assert "--undo" in capsys.readouterr().err
    assert host.files == was


def test_asks_before_it_writes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("companion_agent.cli.setup.prompts.is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")

    assert host.migrate() == 1

    assert not host.config.exists()


def test_without_a_terminal_to_ask(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.migrate() == 2
    assert "--yes" in capsys.readouterr().err
    assert not host.config.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MQTT_PORT=1883\n", "names no broker; add a line such as MQTT_HOST=mqtt.local"),
        ("broker: mqtt.local\n", "is a configuration of this version already"),
        ("MQTT_HOST='a\n", "v1.env:1: MQTT_HOST: has no closing '"),
    ],
)
def test_what_cannot_be_migrated(
    host: Host, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text.startswith("broker"):
        host.v1 = host.v1.with_suffix(".yaml")
    host.v1.write_text(text)

    assert host.migrate("--yes") == 2

    assert said in capsys.readouterr().err
    assert not host.config.exists()


def test_files_that_are_not_there(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.v1.unlink()

    assert host.migrate("--yes") == 2
    assert host.undo() == 1
    assert main(["migrate"]) == 2

    assert [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "there is no such file",
        f"nothing was migrated: there is no {host.config.parent}/before-migration/record.json",
        "name v1's file, --old-service or --undo; see --help",
    ]


def test_half_a_migration_is_none(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.has("# mine\n{broker: other.local}\n")
    was = host.files

    assert host.migrate("--yes") == 1

    assert host.files == was


def test_certificates_and_the_password_of_a_key(host: Host) -> None:
    for name in ("ca", "cert", "key"):
        host.v1.with_name(name).write_text(name)
    host.v1.write_text(f"{V1}CA_CERT=ca\nCLIENT_CERT=cert\nCLIENT_KEY=key\nKEY_PASSWORD=pw\n")

    assert host.migrate("--yes") == 0

    tls = load(host.config, {}).brokers[0].tls
    assert tls
    assert tls.key_password == "pw"
    assert tls.client_key == host.config.with_name("client.key")
    assert host.migrate("--yes") == 0


def test_old_dashboards_go_on(
    host: Host, mosquitto: Mosquitto, home_assistant: FakeHomeAssistant, tmp_path: Path
) -> None:
    """From v1's file to v1's topics on a broker."""
    host.v1.write_text(f"MQTT_HOST=127.0.0.1\nMQTT_PORT={mosquitto.port}\nDEVICE=office-pc\n")
    host.migrate("--yes")
    config = load(host.config, {"PILOT_STATE_DIR": str(tmp_path / "state")})
    cpu = FakeCollector("cpu", percent=12.5)

    agent = RunningAgent(config, FakePlatform(), [cpu], PassingClock(), "5e551017aaaaaaaa", 10)

    try:
        wanted = ("pilot/office-pc/state/cpu", b"12.5")
        home_assistant.wait_until_heard(
            lambda message: (message.topic, message.payload) == wanted, str(wanted)
        )
    finally:
        agent.stop()


# --- The old service ---------------------------------------------------------------------------


class Systemd:
    """What systemctl says and does, for one old service and ours."""

    def __init__(self) -> None:
        self.ours = "inactive"
        self.active, self.enabled = True, True

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command, said, code = list(command), "", 0
        if command[1] == "show" and command[-1] == "pilot-v1.service":
            state = "active" if self.active else "inactive"
            said = f"LoadState=loaded\nActiveState={state}\n"
            said += f"UnitFileState={'enabled' if self.enabled else 'disabled'}\n"
        elif command[1] == "show":
            said = self.ours if "--value" in command else "LoadState=not-found\n"
        elif command[1:3] == ["disable", "--now"]:
            self.active = self.enabled = False
        elif command[1] == "enable":
            self.enabled = True
        elif command[1] == "start":
            self.active = True
        else:
            code = 1
        return subprocess.CompletedProcess(command, code, said, "")


@pytest.fixture
def systemd() -> Systemd:
    return Systemd()


def ask(host: Host, systemd: Systemd, act: Callable[..., int] = run.migrate, **more: Any) -> int:
    options = run.SetupOptions(output=host.config, yes=True, **more)
    return act(options, Asker(interactive=False), Service(run=systemd))


def test_the_old_service_stays_until_the_new_one_runs(
    host: Host, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(host, systemd, old=host.v1, old_service="pilot-v1") == 1
    assert systemd.active
    assert "stays on until Pilot's own service runs" in capsys.readouterr().out

    systemd.ours = "active"
    assert ask(host, systemd, old_service="pilot-v1", dry_run=True) == 0
    assert systemd.active
    assert ask(host, systemd, old_service="pilot-v1") == 0
    assert not systemd.active
    assert not systemd.enabled


def test_going_back_switches_it_on_again(host: Host, systemd: Systemd) -> None:
    systemd.ours = "active"
    ask(host, systemd, old=host.v1, old_service="pilot-v1.service")
    # Once more finds it off, and must not forget how it was.
    ask(host, systemd, old_service="pilot-v1")
    assert not systemd.active

    assert ask(host, systemd, run.undo) == 0

    assert systemd.active
    assert systemd.enabled
    assert not host.config.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("nonsense", "no service nonsense.service"), ("pilot-agent", "not the old")]
)
def test_other_services_are_not_touched(
    host: Host, systemd: Systemd, name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(host, systemd, old=host.v1, old_service=name) == 1
    assert said in capsys.readouterr().err
    assert not host.config.exists()
