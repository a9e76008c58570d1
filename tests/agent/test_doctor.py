"""`pilot-agent doctor`: what works, why the rest does not, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent import doctor
from companion_agent.cli import main
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
