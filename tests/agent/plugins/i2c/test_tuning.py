"""Tuning from Home Assistant: what is changed counts at once, is kept, and can be taken back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.agent import Agent
from companion_agent.announcement import describe_command
from companion_agent.cli import doctor, main
from companion_agent.config.settings import Broker, Config
from companion_agent.errors import CommandError
from companion_agent.models import Counters
from companion_agent.plugins.i2c.drivers import DRIVERS
from companion_agent.plugins.i2c.overrides import (
    Change,
    Overrides,
    OverridesError,
    peek,
)
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.protocol.announce import command_fields
from companion_agent.security.authorizer import check_arguments
from companion_agent.security.key_store import Controller as Known, TrustStore
from companion_agent.worker import Result
from support.agent_host import HOST, AgentThread, FakePlatform
from support.agent_security import BASE, FakeController
from support.i2c import Aht20, Bosch

from .conftest import sensor
from .test_plugin import CALIBRATION, RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from companion_agent.models import Value
    from companion_agent.plugins.i2c.plugin import I2cPlugin
    from support.agent_mqtt import FakeHomeAssistant, Mosquitto

    from .conftest import I2cMachine

pytestmark = pytest.mark.proves("i2c.*")

AHT20 = "aht20-1-38"


@pytest.fixture
def aht20(machine: I2cMachine) -> Aht20:
    return machine.plug(0x38, Aht20(machine.clock, 21.5, 45))


@pytest.fixture
def make(machine: I2cMachine, aht20: Aht20, tmp_path: Path) -> Callable[..., I2cPlugin]:
    """Return what starts the agent's collector, once and again."""

    def make(**more: Any) -> I2cPlugin:
        tuned = Overrides(tmp_path / "state")
        return machine.collector(sensor("aht20", 0x38, **more), tuned=tuned)

    return make


def tune(collector: I2cPlugin, setting: str, value: float) -> None:
    """Do what the command of a setting does once it has passed all checks."""
    key = f"i2c.{AHT20}.{setting}"
    [command] = [command for command in collector.commands() if command.key == key]
    collector.run(key, check_arguments(command.args, {"value": value}))


def settings(machine: I2cMachine, collector: I2cPlugin) -> dict[str, Value]:
    """Return how the sensor says that it is tuned."""
    values = machine.read_all(collector)
    names = ("interval", "average", "temperature_offset", "humidity_offset")
    return {name: values[f"{AHT20}.{name}"] for name in names}


# --- What can be set -------------------------------------------------------------------------


def test_a_setting_is_a_command_with_a_reading(make: Callable[..., I2cPlugin]) -> None:
    collector = make()

    described = {
        command.key: command_fields(describe_command(command)) for command in collector.commands()
    }

    assert list(described) == [
        f"i2c.{AHT20}.{name}"
        for name in (
            "interval",
            "average",
            "temperature_offset",
            "humidity_offset",
            "reset_tuning",
        )
    ]
    assert described[f"i2c.{AHT20}.interval"] == {
        "key": f"i2c.{AHT20}.interval",
        "kind": "i2c.interval",
        "device": AHT20,
        "state": f"i2c.{AHT20}.interval",
        "args": {"value": "seconds"},
        "limits": {"value": {"minimum": 1, "maximum": 86_400, "step": 1}},
    }
    assert described[f"i2c.{AHT20}.reset_tuning"]["kind"] == "i2c.reset_tuning"


def test_everything_that_is_measured_has_an_offset(machine: I2cMachine) -> None:
    collector = machine.collector(
        *(sensor(kind, driver.addresses[0]) for kind, driver in DRIVERS.items() if kind != "aht21")
    )

    announced = {f"i2c.{reading.key}" for reading in collector.readings()}
    states = {command.state for command in collector.commands()}
    assert states == {key for key in announced if key.endswith(("interval", "average", "_offset"))}


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("interval", 0, "value is not 1 to 86400 seconds"),
        ("interval", float("nan"), "value is not 1 to 86400 seconds"),
        ("average", 1001, "value is not 1 to 1000"),
        ("average", 2.5, "value is not a whole number"),
        ("temperature_offset", -20.1, "value is not -20 to 20 °C"),
    ],
)
def test_what_cannot_be_set(
    make: Callable[..., I2cPlugin], setting: str, value: float, words: str
) -> None:
    with pytest.raises(CommandError) as caught:
        tune(make(), setting, value)

    assert (caught.value.reason, caught.value.detail) == ("bad_arguments", words)


def test_a_value_has_to_be_given(make: Callable[..., I2cPlugin]) -> None:
    command = make().commands()[0]

    with pytest.raises(CommandError, match="value is missing"):
        check_arguments(command.args, {})


def test_a_sensor_that_has_gone(make: Callable[..., I2cPlugin]) -> None:
    collector = make()

    with pytest.raises(CommandError, match="no sensor sht3x-1-44 any more"):
        collector.run("i2c.sht3x-1-44.interval", {"value": 10})


# --- What comes of it ------------------------------------------------------------------------


def test_an_offset_counts_from_the_next_reading_on(
    make: Callable[..., I2cPlugin], machine: I2cMachine
) -> None:
    collector = make(offsets={"temperature": -0.5, "humidity": 2})
    machine.read(collector)

    tune(collector, "temperature_offset", 0.3)

    # Nothing is measured for that: what was measured last is corrected anew.
    assert machine.read(collector, after=1) == {
        f"{AHT20}.temperature": 21.8,
        f"{AHT20}.humidity": 47,
    }
    assert settings(machine, collector)["temperature_offset"] == 0.3


def test_a_mean_of_fewer(make: Callable[..., I2cPlugin], machine: I2cMachine, aht20: Aht20) -> None:
    collector = make(average=3)
    for celsius in (20, 22, 27):
        aht20.celsius = celsius
        machine.read(collector)

    tune(collector, "average", 1)

    assert machine.read(collector, after=1)[f"{AHT20}.temperature"] == 27


def test_a_shorter_interval_counts_at_once(
    make: Callable[..., I2cPlugin], machine: I2cMachine, aht20: Aht20
) -> None:
    source = CollectorRunner(make(interval=300), 60)
    read(source, machine)
    assert source.report.interval == 300

    tune_source(source, "interval", 60)
    aht20.celsius = 19
    read(source, machine, after=60)

    assert source.report.interval == 60
    assert source.values[f"{AHT20}.temperature"] == 19
    assert source.values[f"{AHT20}.interval"] == 60


def tune_source(source: CollectorRunner, setting: str, value: float) -> None:
    tune(source.collector, setting, value)  # type: ignore[arg-type]


def read(source: CollectorRunner, machine: I2cMachine, after: float = 0) -> None:
    machine.clock.now += after
    job = source.job()
    source.take(Result(job.name, job.run()))


def test_a_sensor_that_was_looked_for_is_tuned_too(machine: I2cMachine, tmp_path: Path) -> None:
    machine.plug(0x76, Bosch(machine.clock, 0x60, CALIBRATION, RAW))
    tuned = Overrides(tmp_path)
    tuned.add("bme280-1-76", Change({"pressure": 10}, interval=10))
    collector = machine.collector(scan=True, tuned=tuned)
    collector.probe()

    assert collector.pace(60) == 10
    assert machine.read(collector)["bme280-1-76.pressure"] == pytest.approx(1016.53)
    assert len(collector.commands()) == 6


# --- It is kept, and can be taken back -------------------------------------------------------


def test_it_outlasts_a_restart_and_wins_over_the_configuration(
    make: Callable[..., I2cPlugin], machine: I2cMachine, tmp_path: Path
) -> None:
    before = make()
    tune(before, "interval", 300)
    tune(before, "temperature_offset", -0.4)
    tune(before, "average", 2)

    after = make(interval=10, offsets={"temperature": 5, "humidity": 1})

    assert settings(machine, after) == {
        "interval": 300,
        "average": 2,
        "temperature_offset": -0.4,
        "humidity_offset": 1,
    }
    assert json.loads((tmp_path / "state" / "tuning.json").read_text()) == {
        "version": 1,
        "sensors": {AHT20: {"interval": 300, "average": 2, "offset": {"temperature": -0.4}}},
    }


def test_an_offset_of_nothing_wins_too(make: Callable[..., I2cPlugin], machine: I2cMachine) -> None:
    tune(make(), "temperature_offset", 0)

    assert settings(machine, make(offsets={"temperature": 5}))["temperature_offset"] == 0


def test_reset(make: Callable[..., I2cPlugin], machine: I2cMachine, tmp_path: Path) -> None:
    collector = make(interval=10)
    tune(collector, "interval", 300)

    collector.run(f"i2c.{AHT20}.reset_tuning", {})

    assert settings(machine, collector)["interval"] == 10
    assert peek(tmp_path / "state") == {}


def test_reset_from_the_command_line_while_the_agent_works(
    make: Callable[..., I2cPlugin],
    machine: I2cMachine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("broker: mqtt.local\nstate_dir: state\n")
    collector = make()
    tune(collector, "interval", 300)
    tune(collector, "humidity_offset", 2.5)

    assert main(["config", "show", "--config", str(config)]) == 0
    assert f"#   {AHT20}: interval 300 s, humidity offset +2.5" in capsys.readouterr().out
    assert main(["tuning", "reset", "--config", str(config), "aht20-1-39"]) == 2
    assert "changed are aht20-1-38" in capsys.readouterr().err
    assert main(["tuning", "reset", "--config", str(config), "--all"]) == 0
    capsys.readouterr()

    assert settings(machine, collector)["interval"] == 60
    assert main(["tuning", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "all sensors are as the configuration says\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"version": 2, "sensors": {}}',
        b'{"version": 1, "sensors": []}',
        b'{"version": 1, "sensors": {"a": 1}}',
        b'{"version": 1, "sensors": {"a": {"colour": 1}}}',
        b'{"version": 1, "sensors": {"a": {"interval": 0}}}',
        b'{"version": 1, "sensors": {"a": {"average": 1.5}}}',
        b'{"version": 1, "sensors": {"a": {"offset": {"temperature": NaN}}}}',
        b'{"version": 1, "sensors": {"a": {"offset": {"temperature": true}}}}',
    ],
)
def test_a_damaged_file_is_moved_aside(
    make: Callable[..., I2cPlugin],
    machine: I2cMachine,
    tmp_path: Path,
    content: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "tuning.json").write_bytes(content)

    collector = make(interval=10)

    assert settings(machine, collector)["interval"] == 10
    assert [file.name for file in folder.iterdir()] == ["tuning.json.damaged"]
    assert "the sensors are as the configuration says" in caplog.text
    tune(collector, "interval", 20)
    assert settings(machine, make())["interval"] == 20


def test_what_cannot_be_kept_is_not_done(
    make: Callable[..., I2cPlugin], machine: I2cMachine, tmp_path: Path
) -> None:
    collector = make()
    (tmp_path / "state").touch()

    with pytest.raises(CommandError, match="cannot be kept") as caught:
        tune(collector, "interval", 300)

    assert caught.value.reason == "failed"
    assert settings(machine, collector)["interval"] == 60


def test_a_file_that_may_not_be_read_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "tuning.json").mkdir()

    with pytest.raises(OverridesError, match="cannot be read"):
        peek(tmp_path)


# --- As the agent does it --------------------------------------------------------------------


@pytest.fixture
def running(
    make: Callable[..., I2cPlugin],
    tmp_path: Path,
    home_assistant: FakeHomeAssistant,
    mosquitto: Mosquitto,
) -> Iterator[FakeController]:
    """Return the controller of an agent that runs, and reads every hour."""
    home = FakeController(counter=int(time.time() * 1000))
    folder = tmp_path / "state"
    TrustStore(folder).save([Known(home.id, home.name, home.secret, 0)])
    collector = make(interval=3600)
    agent = Agent(
        Config((mosquitto.broker(),), folder),
        FakePlatform(),  # type: ignore[arg-type]
        [CollectorRunner(collector, 60)],
        HOST,
        "5e551017bbbbbbbb",
        Counters(),
        groups=[collector],
    )
    thread = AgentThread(agent, time.monotonic)
    home_assistant.wait_for("state/i2c", b"21.5")
    yield home
    thread.stop()


def test_what_was_set_is_announced_and_read_at_once(
    running: FakeController, home_assistant: FakeHomeAssistant
) -> None:
    key = f"i2c.{AHT20}.interval"
    home_assistant.wait_for("announce", key.encode())

    said = {"time": time.time(), "session": "5e551017bbbbbbbb"}
    home_assistant.publish(f"{BASE}/command/{key}", running.command(key, {"value": 300}, **said))

    home_assistant.wait_for("announce", b'\\"i2c\\":{\\"interval\\":300}')
    home_assistant.wait_for("state/i2c", b'"aht20-1-38.interval":300')


def test_doctor_says_what_was_changed(make: Callable[..., I2cPlugin], tmp_path: Path) -> None:
    config = Config((Broker("localhost"),), tmp_path / "state")
    assert list(doctor._check_tuning(config)) == []
    tune(make(), "interval", 300)
    (tmp_path / "state" / "tuning.json.damaged").touch()

    damaged, changed = doctor._check_tuning(config)

    assert (damaged.verdict, changed.verdict) == ("bad", "ok")
    assert changed.detail == f"changed from Home Assistant: {AHT20}: interval 300 s"
