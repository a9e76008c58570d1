"""`pilot-agent doctor`: what works, why the rest does not, and what to do."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import doctor
from companion_agent.backlog.clock import Moment
from companion_agent.backlog.recorder import Point
from companion_agent.backlog.settings import BacklogConfig
from companion_agent.backlog.store import Store
from companion_agent.backlog.task import Task
from companion_agent.cli import main
from companion_agent.config import Broker, Config
from companion_agent.protocol import Topics

from .bench import HOST, House, Mosquitto, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from companion_agent.doctor import Check

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


def test_leaves_nothing_behind(mosquitto: Mosquitto, house_at: Callable[..., House]) -> None:
    examine(mosquitto)

    house = house_at(mosquitto)
    house.say(f"pilot/v2/{HOST}/end", "")
    house.wait_for("end")
    assert [topic for topic, _ in house.heard] == [f"pilot/v2/{HOST}/end"]


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
    monkeypatch.setattr("companion_agent.survey.GAP", 0.0)

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
    monkeypatch.setattr("companion_agent.survey.GAP", 0.0)

    code = main(["doctor", "--config", str(tmp_path / "nowhere.yaml")])

    printed = capsys.readouterr().out
    assert code == 1
    assert "there is no such file" in printed
    assert "collector memory" in printed
