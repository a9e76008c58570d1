"""`pilot-agent doctor`: what works, why the rest does not, and what to do."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import config as configuration
from companion_agent.buffer.record import Point
from companion_agent.buffer.store import Store
from companion_agent.buffer.task import Task
from companion_agent.cli import doctor, main
from companion_agent.clock import Moment
from companion_agent.config import Broker, Config
from companion_agent.config.buffer import BacklogConfig
from companion_agent.ipc.server import LocalServer
from companion_agent.protocol.topics import Topics
from support.agent_host import HOST
from support.agent_mqtt import FakeHomeAssistant, Mosquitto, free_port
from support.event_loop import ManualEventLoop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from companion_agent.cli.doctor import Check
    from companion_agent.ipc.server import Connection

TOPICS = Topics("pilot/v2", HOST)
BIRTH = "homeassistant/status"


def examine(mosquitto: Mosquitto, **settings: Any) -> dict[str, Check]:
    broker = mosquitto.broker(**settings)
    checks = doctor.check_broker(broker, TOPICS, BIRTH)
    return {check.name.removeprefix(f"broker {broker}").strip(", "): check for check in checks}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_works(mosquitto: Mosquitto, protocol: str) -> None:
    checks = examine(mosquitto, protocol=protocol)

    assert {name: check.verdict for name, check in checks.items()} == {
        "": "ok",
        "listening": "ok",
        "publishing": "ok",
    }


def test_leaves_nothing_behind(
    mosquitto: Mosquitto, home_assistant_at: Callable[..., FakeHomeAssistant]
) -> None:
    examine(mosquitto)

    home_assistant = home_assistant_at(mosquitto)
    home_assistant.publish(f"pilot/v2/{HOST}/end", "")
    home_assistant.wait_for("end")
    assert [topic for topic, _ in home_assistant.published] == [f"pilot/v2/{HOST}/end"]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_topic_that_may_not_be_written(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, protocol: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite other/#\n")
    mosquitto = make_mosquitto(f"allow_anonymous true\nacl_file {acl}\n")

    checks = examine(mosquitto, protocol=protocol)

    assert checks["publishing"].verdict == "bad"
    assert "access list" in checks["publishing"].hint


def test_does_not_push_out_the_running_agent(mosquitto: Mosquitto) -> None:
    assert examine(mosquitto, client_id="upstairs")[""].verdict == "ok"


def test_a_clock_that_was_never_set() -> None:
    assert doctor._check_clock(0).verdict == "bad"


# --- What waits to be delivered --------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config((Broker("localhost"),), tmp_path / "state")


def keep(config: Config, count: int) -> None:
    config.state_dir.mkdir()
    points = [
        Point("cpu.percent", Moment(1793952000.0 + step, step, sure=True), step)
        for step in range(count)
    ]
    moment = Moment(1793952000.0 + count, count)
    store = Store(config.state_dir, config.backlog, "run")
    store.work(Task(moment, "boot", ("reader",), points, recording=True))
    store.close()


def test_a_backlog_that_is_empty(config: Config) -> None:
    [check] = doctor.check_backlog(config)

    assert (check.verdict, check.detail) == ("ok", "nothing waits to be delivered")
    assert not config.state_dir.exists()


def test_how_much_waits_and_since_when(config: Config) -> None:
    keep(config, 3)

    [check] = doctor.check_backlog(config)

    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1793952000))
    assert check.verdict == "ok"
    assert check.detail.startswith(f"3 readings since {since}")
    assert check.detail.endswith("of 32 MiB")


def test_a_backlog_that_is_only_kept_open(config: Config) -> None:
    keep(config, 0)

    [check] = doctor.check_backlog(config)

    assert check.detail.startswith("nothing waits to be delivered")


def test_a_backlog_that_is_switched_off(tmp_path: Path) -> None:
    config = Config((Broker("localhost"),), tmp_path, backlog=BacklogConfig(enabled=False))

    [check] = doctor.check_backlog(config)

    assert check.verdict == "absent"


def test_backlogs_that_broke(config: Config) -> None:
    keep(config, 3)
    (config.state_dir / "backlog.db").write_bytes(b"\xff" * 8192)
    (config.state_dir / "backlog.db.damaged").write_bytes(b"\xff" * 8192)

    aside, now = doctor.check_backlog(config)

    assert (aside.verdict, now.verdict) == ("bad", "bad")
    assert str(config.state_dir / "backlog.db.damaged") in aside.detail
    assert "backlog.db: file is not a database" in now.detail


def test_a_disk_without_room(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(config, 3)
    monkeypatch.setattr(doctor, "SPACE_NEEDED", 1e18)

    full, _ = doctor.check_backlog(config)

    assert full.verdict == "bad"
    assert str(config.state_dir) in full.detail


def test_the_whole_host(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "config.yaml").write_text(
        f"broker: [127.0.0.1:{mosquitto.port}, 127.0.0.1:{free_port()}]\n"
        "collectors: {wifi: {enabled: no}}\n"
    )
    monkeypatch.setattr("companion_agent.cli.snapshot.GAP", 0.0)

    code = main(["doctor", "--json", "--config", str(tmp_path / "config.yaml")])

    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert code == 1  # the second broker is not there
    assert checks["collector memory"]["verdict"] == "ok"
    assert checks["collector wifi"]["detail"] == "switched off in the configuration"
    assert checks[f"broker 127.0.0.1:{mosquitto.port}"]["verdict"] == "ok"
    assert [name for name, check in checks.items() if check["verdict"] == "bad"] == [
        name for name in checks if name.startswith("broker") and str(mosquitto.port) not in name
    ]


def test_without_a_configuration_it_still_looks_at_the_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr("companion_agent.cli.snapshot.GAP", 0.0)

    code = main(["doctor", "--config", str(tmp_path / "nowhere.yaml")])

    printed = capsys.readouterr().out
    assert code == 1
    assert "there is no such file" in printed
    assert "collector memory" in printed


# --- Secrets and refusals --------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no modes")
@pytest.mark.parametrize(
    ("content", "open_file"),
    [
        ("security: {{fleet_key: {key}}}", "config.yaml"),
        ("security: {{fleet_key_file: key}}", "key"),
        ("broker: {{host: h, username: u, password: p}}", "config.yaml"),
        ("broker: mqtt://u:p@h", "config.yaml"),
        ("broker: [h, 'mqtt://u:p@h']", "config.yaml"),
        ("broker: {{host: h, username: u, password_file: key}}", "key"),
        ("broker: h", ""),
    ],
)
def test_a_secret_that_others_can_read(tmp_path: Path, content: str, open_file: str) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    (tmp_path / "key").write_text(key)
    file = tmp_path / "config.yaml"
    file.write_text(f"{content.format(key=key)}\nstate_dir: state\n")
    environment = {} if "broker" in content else {"PILOT_BROKER": "h"}
    config = configuration.load(file, environment)
    for path in (file, tmp_path / "key"):
        path.chmod(0o644)

    checks = list(doctor._check_secrets(config))

    assert [check.detail for check in checks] == [
        f"{tmp_path / name} holds a secret and is open to others (mode 644)"
        for name in ([open_file] if open_file else [])
    ]
    if open_file:
        (tmp_path / open_file).chmod(0o600)
        [check] = doctor._check_secrets(config)
        assert check.verdict == "ok"


def test_a_secret_in_the_environment_is_in_no_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("broker: {host: h, username: u, password: p}\n")
    config = configuration.load(file, {"PILOT_BROKER__PASSWORD": "other"})
    assert config.secret_files == ()


def test_what_was_refused_is_asked_of_the_running_agent(tmp_path: Path) -> None:
    config = configuration.load(None, {"PILOT_BROKER": "h", "PILOT_STATE_DIR": str(tmp_path)})
    assert doctor._check_refused(config).verdict == "absent"

    with Answering(tmp_path, {"refused": {}}):
        assert doctor._check_refused(config).detail == "none since the agent's start"
    with Answering(tmp_path, {"refused": {"command.replayed": 3}}):
        check = doctor._check_refused(config)
    assert check.verdict == "ok"
    assert "command.replayed 3" in check.detail
    assert "audit.log" in check.hint


class Answering:
    """A running agent that answers one thing."""

    def __init__(self, folder: Path, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.server = LocalServer(folder, self)
        self._loop = ManualEventLoop(time.monotonic)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._loop.until(self._stop.is_set), daemon=True
        )

    def received(self, connection: Connection, message: dict[str, Any]) -> None:
        connection.send(self.answer)

    def gone(self, connection: Connection) -> None:
        pass

    def __enter__(self) -> None:
        self._loop.run_until_complete(self.server.open())
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._loop.call(self.server.close)
        self._loop.settle()
        self._loop.end()
