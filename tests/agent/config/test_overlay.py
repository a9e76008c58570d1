"""What Home Assistant has set: below what the host's own file says, and never in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from companion_agent.cli import doctor, main
from companion_agent.config import load
from companion_agent.config.known import known_collectors
from companion_agent.config.overlay import OVERLAY_FILE, Overlay, OverlayError, remote_keys
from companion_agent.config.show import show
from companion_agent.config.validators import has_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from companion_agent.config import Config

INTERVAL = "collectors.cpu.interval"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def path(tmp_path: Path, folder: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"broker: localhost\nstate_dir: {folder}\n")
    return path


@pytest.fixture
def loaded(path: Path, folder: Path) -> Callable[..., Config]:
    """Return what is loaded with an overlay, below a file with more lines."""

    def loaded(
        values: Mapping[str, Any], more: str = "", environment: Mapping[str, str] | None = None
    ) -> Config:
        path.write_text(f"{path.read_text()}{more}\n")
        Overlay(values).write(folder)
        return load(path, environment or {})

    return loaded


def test_it_counts_where_the_file_says_nothing(loaded: Callable[..., Config]) -> None:
    config = loaded(
        {
            INTERVAL: 30,
            "collectors.memory.enabled": False,
            "collectors.disk.include": ["/", "/home"],
            "log.level": "debug",
        }
    )

    assert config.collector("cpu").interval == 30
    assert not config.collector("memory").enabled
    assert config.collector("disk").selection.include == ("/", "/home")
    assert config.log.level == "debug"
    assert config.overlay_mistakes == ()


@pytest.mark.parametrize(
    ("more", "environment", "where"),
    [
        ("collectors:\n  cpu:\n    interval: 20", {}, "config.yaml:5"),
        ("", {"PILOT_COLLECTORS__CPU__INTERVAL": "20"}, "PILOT_COLLECTORS__CPU__INTERVAL"),
    ],
)
def test_what_the_host_itself_says_goes_over_it(
    loaded: Callable[..., Config], more: str, environment: dict[str, str], where: str
) -> None:
    config = loaded({INTERVAL: 30, "collectors.cpu.enabled": False}, more, environment)

    assert config.collector("cpu").interval == 20
    assert not config.collector("cpu").enabled
    assert config.origins.fixed(("collectors", "cpu", "interval")).endswith(where)
    assert config.origins.fixed(("collectors", "cpu", "enabled")) == ""


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (INTERVAL, 0, "expected seconds, a number from 1 to 86400"),
        (INTERVAL, {"a": 1}, "not keys"),
        ("collectors.gone.interval", 5, "is no setting that Home Assistant may change"),
        ("broker.host", "evil.example", "is no setting that Home Assistant may change"),
        ("commands.allow", ["*"], "is no setting that Home Assistant may change"),
        ("update.keys", [], "is no setting that Home Assistant may change"),
        ("security.fleet_key", "x", "is no setting that Home Assistant may change"),
    ],
)
def test_what_is_wrong_in_it_does_not_count_and_keeps_nothing_else_from_counting(
    loaded: Callable[..., Config], key: str, value: object, problem: str
) -> None:
    config = loaded({key: value, "log.level": "debug"})

    [mistake] = config.overlay_mistakes
    assert problem in str(mistake)
    assert (mistake.where, mistake.key) == ("set from Home Assistant", key)
    assert config.collector("cpu").interval is None
    assert str(config.brokers[0]) == "localhost:1883"
    assert config.log.level == "debug"


def test_what_home_assistant_may_set_is_declared_and_holds_no_secret() -> None:
    keys = remote_keys(known_collectors())

    assert {key.partition(".")[0] for key in keys} == {"collectors", "desktop", "log"}
    assert "collectors.cpu.include" not in keys
    assert not any(has_secrets(key.kind) for key in keys.values())
    assert keys["collectors.cpu.interval"].default == 10


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "values": []}', '{"version": 9}'])
def test_a_damaged_one_costs_nothing_but_itself(path: Path, folder: Path, content: str) -> None:
    (folder / OVERLAY_FILE).write_text(content)

    config = load(path, {})

    [mistake] = config.overlay_mistakes
    assert "pilot-agent settings reset --all" in str(mistake)
    with pytest.raises(OverlayError):
        Overlay.read(folder)


def test_the_revision_tells_contents_apart() -> None:
    first, second = Overlay({"a": 1, "b": 2}), Overlay({"b": 2, "a": 1})

    assert first.revision == second.revision
    assert first.revision != first.changed({"a": None}).revision
    assert first.changed({"a": None}).values == {"b": 2}


def test_show_says_where_each_value_comes_from(loaded: Callable[..., Config]) -> None:
    config = loaded(
        {INTERVAL: 30, "collectors.disk.include": ["/"]},
        "topic_prefix: house\nname: study",
        {"PILOT_LOG__FORMAT": "json"},
    )

    text = show(config)

    lines = {line.partition(":")[0].strip(): line for line in text.splitlines()}
    assert lines["topic_prefix"] == "topic_prefix: house  # line 3"
    assert lines["interval"].endswith("interval: 30  # set from Home Assistant")
    assert lines["include"].endswith("include:  # set from Home Assistant")
    assert lines["format"].endswith("format: json  # environment variable PILOT_LOG__FORMAT")
    assert lines["level"].endswith("level: info  # default")
    assert lines["host"].endswith("host: localhost  # line 1")
    assert yaml.safe_load(text)["collectors"]["disk"]["include"] == ["/"]


# --- The command line ------------------------------------------------------------------------


def test_the_command_line_tells_and_takes_back(
    path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Overlay({INTERVAL: 30, "log.level": "debug", "broker.host": "x"}).write(folder)
    path.write_text(f"{path.read_text()}log: {{level: info}}\n")
    place = ["--config", str(path)]

    assert main(["settings", *place]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{INTERVAL}: 30"
    assert told[1] == f'log.level: "debug" (of no effect: fixed by {path}:3)'
    assert "of no effect: is no setting" in told[2]

    assert main(["settings", "reset", "broker.port", *place]) == 2
    assert f"set are {INTERVAL}, log.level, broker.host" in capsys.readouterr().err
    assert main(["settings", "reset", INTERVAL, "broker.host", *place]) == 0
    assert json.loads((folder / OVERLAY_FILE).read_text())["values"] == {"log.level": "debug"}

    (folder / OVERLAY_FILE).write_text("{")
    assert main(["settings", *place]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert main(["settings", "reset", "--all", *place]) == 0
    assert main(["settings", *place]) == 0
    assert "nothing is set from Home Assistant" in capsys.readouterr().out


def test_check_names_what_does_not_count(
    path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Overlay({"broker.host": "x"}).write(folder)

    assert main(["config", "check", "--config", str(path)]) == 0

    said = capsys.readouterr()
    assert said.out == "ok\n"
    assert "set from Home Assistant: broker.host: is no setting" in said.err


def test_doctor_says_what_is_set_and_what_does_not_count(loaded: Callable[..., Config]) -> None:
    config = loaded({INTERVAL: 30, "log.level": "loud"})

    wrong, told = doctor._check_settings(config)

    assert (wrong.verdict, told.verdict) == ("bad", "ok")
    assert "log.level: expected debug, info, warning or error" in wrong.detail
    assert f"{INTERVAL}: 30" in told.detail
    assert "pilot-agent settings reset" in told.hint
