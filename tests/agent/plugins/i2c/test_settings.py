"""The section `i2c` of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from companion_agent.config import ConfigError, load
from companion_agent.config.show import show
from companion_agent.plugins.i2c.place import Place
from companion_agent.plugins.i2c.settings import I2cConfig, SensorConfig, Tuning

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.config import Config

EVERYTHING = """\
broker: mqtt.local
i2c:
  scan: true
  buses: [1, 3]
  multiplexers: 0x71
  sensors:
    - {type: AHT20, name: Dining room}
    - type: sht31
      bus: 3
      address: 0x45
      multiplexer: 0x70
      channel: 2
      interval: 300
      average: 5
      offset: {temperature: -0.4, humidity: 2}
    - {type: ina219, address: 0x41, shunt: 0.01}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def read(file: Path, text: str) -> Config:
    file.write_text(text)
    return load(file, {})


def test_every_key(file: Path) -> None:
    config = read(file, EVERYTHING).i2c

    assert config == I2cConfig(
        (
            SensorConfig("aht20", Place(1, 0x38), "Dining room"),
            SensorConfig(
                "sht3x",
                Place(3, 0x45, 0x70, 2),
                tuning=Tuning({"temperature": -0.4, "humidity": 2}, 300, 5),
            ),
            SensorConfig("ina219", Place(1, 0x41), shunt=0.01),
        ),
        scan=True,
        buses=(1, 3),
        multiplexers=(0x71,),
    )


def test_what_is_shown_says_the_same(file: Path) -> None:
    config = read(file, EVERYTHING)
    shown = yaml.safe_load(show(config))
    # Hex is text in the file, and YAML reads texts with 0x as numbers unless they are quoted.
    again = read(file, yaml.safe_dump({"broker": "mqtt.local", "i2c": shown["i2c"]}))

    assert again.i2c == config.i2c


def test_one_sensor_needs_no_list_and_variables_switch(file: Path) -> None:
    file.write_text("broker: mqtt.local\ni2c: {sensors: {type: bh1750}}\n")

    config = load(file, {"PILOT_I2C__SCAN": "yes", "PILOT_I2C__BUSES": "1,4"}).i2c

    assert config.sensors == (SensorConfig("bh1750", Place(1, 0x23)),)
    assert (config.scan, config.buses) == (True, (1, 4))


@pytest.mark.parametrize(
    ("sensors", "words"),
    [
        ("{bus: 1}", "i2c.sensors.type: is missing"),
        ("[{bus: 1}]", "i2c.sensors[1].type: is missing"),
        ("{type: ath20}", "did you mean aht20?"),
        ("{type: aht20, address: 38}", "write it with 0x"),
        ("{type: aht20, address: 0x78}", "expected an address from 0x08 to 0x77"),
        ("{type: aht20, address: 0xzz}", "expected an address"),
        ("{type: aht20, address: 0x39}", "expected 0x38: an AHT20 is nowhere else"),
        ("{type: aht20, channel: 1}", "multiplexer: is missing: there is a channel"),
        ("{type: aht20, multiplexer: 0x70}", "channel: is missing: there is a multiplexer"),
        ("{type: aht20, multiplexer: 0x38, channel: 0}", "from 0x70 to 0x77"),
        ("{type: aht20, multiplexer: 0x70, channel: 8}", "from 0 to 7"),
        ("{type: aht20, shunt: 1}", "shunt: is known only of an INA219"),
        ("{type: aht20, offset: {pressure: 1}}", "offset.pressure: is not measured by an AHT20"),
        ("{type: aht20, offset: {temprature: 1}}", "did you mean temperature?"),
        ("{type: aht20, offset: {temperature: nan}}", "expected a number from"),
        ("{type: aht20, average: 0}", "from 1 to 1000"),
        ("{type: aht20, interval: 0.5}", "seconds, a number from 1"),
        (
            "[{type: aht20}, {type: aht21}]",
            "sensors[2]: there is already a sensor at 0x38 on bus 1",
        ),
        (
            "[{type: aht20}, {type: aht20, multiplexer: 0x70, channel: 0}]",
            "sensors[2]: a sensor before the multiplexer has the address 0x38 too",
        ),
        (
            "[{type: bme280, address: 0x76}, {type: aht20, multiplexer: 0x76, channel: 0}]",
            "sensors[1]: a multiplexer is at 0x76 on bus 1",
        ),
    ],
)
def test_mistakes(file: Path, sensors: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file, f"broker: mqtt.local\ni2c:\n  sensors: {sensors}\n")

    assert words in str(caught.value.mistakes[0])


@pytest.mark.parametrize("line", ["buses: [one]", "buses: {a: 1}", "multiplexers: [0x38]"])
def test_lists_of_something_else(file: Path, line: str) -> None:
    with pytest.raises(ConfigError):
        read(file, f"broker: mqtt.local\ni2c:\n  {line}\n")
