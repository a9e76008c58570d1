"""Which sensors hang on this host's buses, and how their values are corrected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from companion_agent.fields import ByName, Section, construct, group, setting
from companion_agent.plugins.i2c.drivers import DRIVERS, FAMILIES, QUANTITIES
from companion_agent.plugins.i2c.place import DEFAULT_BUS, MULTIPLEXER, Place
from companion_agent.protocol.validation import MAX_INTERVAL
from companion_agent.values import (
    Choice,
    Integer,
    ListOf,
    Number,
    Seconds,
    Switch,
    Text,
    all_invalid,
    invalid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voluptuous import Invalid


class SensorType(Choice):
    """What a sensor is: the name of a driver, or what is printed on the sensor."""

    def __init__(self) -> None:
        super().__init__(*DRIVERS)
        self.schema = {"type": "string", "examples": [*DRIVERS, *FAMILIES]}

    def _read(self, text: str) -> str:
        word = text.lower().replace("-", "")
        return super()._read(FAMILIES.get(word, word))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is done with a sensor's values. It may be replaced while the agent runs.

    Attributes:
        offsets: What is added to a quantity, in its unit.
        interval: Seconds between two measurements; the collector's when `None`.
        average: Of how many measurements a value is the mean.
    """

    offsets: Mapping[str, float] = setting(
        ByName("quantity", Number(-100_000, 100_000), QUANTITIES),
        "Added to what it measures, in the quantity's unit.",
        factory=dict,
        key="offset",
        shown="0",
    )
    interval: float | None = setting(
        Seconds(1, MAX_INTERVAL),
        "Time between two measurements.",
        None,
        shown="the collector's",
    )
    average: int = setting(Integer(1, 1000), "Report the mean of so many measurements.", 1)


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """One sensor.

    Attributes:
        type: What it is, a key of `companion_agent.plugins.i2c.drivers.DRIVERS`.
        place: Where it hangs.
        name: What it is shown as; Home Assistant names it after its host when empty.
        shunt: The resistance in ohms that an INA219 measures current by.
        tuning: What is done with its values.
    """

    type: str = setting(SensorType(), "What it is.", required=True)
    place: Place = group(Place)
    name: str = setting(Text(), "What it is shown as in Home Assistant.", "", shown="`HOST sensor`")
    shunt: float = setting(
        Number(0.0001, 100, "ohms"),
        "Of an INA219: the resistance of its shunt.",
        0.1,
        quiet=True,
    )
    tuning: Tuning = group(Tuning, factory=Tuning)


def make_sensor(values: dict[str, Any]) -> SensorConfig:
    """Make a sensor of its keys' values.

    Raises:
        vol.Invalid: There is no such sensor at this address.
    """
    driver = DRIVERS[values["type"]]
    address = values.get("address", driver.addresses[0])
    if address not in driver.addresses:
        known = " or ".join(f"0x{one:02x}" for one in driver.addresses)
        raise invalid(f"expected {known}: an {driver.model} is nowhere else", ["address"])
    if "shunt" in values and values["type"] != "ina219":
        raise invalid("is known only of an INA219", ["shunt"])
    if strange := values.get("offset", {}).keys() - driver.ranges.keys():
        known = ", ".join(driver.ranges)
        raise invalid(
            f"is not measured by an {driver.model}; it measures {known}", ["offset", min(strange)]
        )
    usual = {"bus": DEFAULT_BUS, "address": driver.addresses[0]}
    return construct(SensorConfig, {**usual, **values})


@dataclass(frozen=True, slots=True)
class I2cConfig:
    """What the configuration says of the I²C buses.

    Attributes:
        sensors: The sensors that are there for certain.
        scan: Whether known sensors are also looked for.
        buses: Where they are looked for.
        multiplexers: The addresses of multiplexers there, behind which they are looked for too.
    """

    sensors: tuple[SensorConfig, ...] = setting(
        Section(SensorConfig, make_sensor, several=True), "The sensors that are there.", ()
    )
    scan: bool = setting(
        Switch(), "Look for sensors that are not named here and can be told without harm.", False
    )
    buses: tuple[int, ...] = setting(
        ListOf(Integer(0, 9999), "bus numbers"),
        "Where to look: the N of `/dev/i2c-N`.",
        (DEFAULT_BUS,),
    )
    multiplexers: tuple[int, ...] = setting(
        ListOf(MULTIPLEXER, "addresses from 0x70 to 0x77"),
        "Multiplexers (TCA9548A) there, to look behind them too.",
        (),
    )


def make_i2c(values: dict[str, Any]) -> I2cConfig:
    """Make the section of its keys.

    Raises:
        vol.Invalid: Two sensors are in each other's way.
    """
    config: I2cConfig = construct(I2cConfig, values)
    errors = list(_collisions(config))
    if errors:
        raise all_invalid(errors)
    return config


def _collisions(config: I2cConfig) -> Iterator[Invalid]:
    multiplexers = {
        (sensor.place.bus, sensor.place.multiplexer)
        for sensor in config.sensors
        if sensor.place.multiplexer is not None
    } | {(bus, address) for bus in config.buses for address in config.multiplexers}
    in_front = {
        (sensor.place.bus, sensor.place.address)
        for sensor in config.sensors
        if sensor.place.multiplexer is None
    }
    seen: set[Place] = set()
    for number, sensor in enumerate(config.sensors):
        place = sensor.place
        where = (place.bus, place.address)
        if place in seen:
            wrong = f"there is already a sensor at {place}"
        elif where in multiplexers:
            wrong = f"a multiplexer is at {place}"
        elif place.multiplexer is not None and where in in_front:
            wrong = f"a sensor before the multiplexer has the address 0x{place.address:02x} too"
        else:
            wrong = ""
        if wrong:
            yield invalid(wrong, ["sensors", number])
        seen.add(place)
