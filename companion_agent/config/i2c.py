"""What the section `i2c` says: addresses, sensors, and what does not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import voluptuous as vol

from companion_agent.config.values import Choice, Leaf
from companion_agent.plugins.i2c.drivers import DRIVERS, FAMILIES
from companion_agent.plugins.i2c.settings import (
    DEFAULT_BUS,
    I2cConfig,
    Place,
    SensorConfig,
    Tuning,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# The others are reserved: UM10204 section 3.1.12.
_LEAST, _MOST = 0x08, 0x77
# TCA9548A data sheet (SCPS207F), table 1.
_MULTIPLEXERS = range(0x70, 0x78)
_TUNING = {"offset": "offsets", "interval": "interval", "average": "average"}


class Address(Leaf[int]):
    """An address of 7 bits, in hex as data sheets and i2cdetect write it."""

    def __init__(self, least: int = _LEAST, most: int = _MOST) -> None:
        self.least, self.most = least, most
        self.expected = f"an address from 0x{least:02x} to 0x{most:02x}"

    def _read(self, text: str) -> int:
        if not text.lower().startswith("0x") or not text[2:].isalnum():
            # "38" would be 0x38 to some and 0x26 to others.
            raise ValueError("write it with 0x")
        try:
            address = int(text, 16)
        except ValueError:
            raise ValueError from None
        if not self.least <= address <= self.most:
            raise ValueError
        return address


class MultiplexerAddress(Address):
    """The address of a TCA9548A or PCA9548A."""

    def __init__(self) -> None:
        super().__init__(_MULTIPLEXERS[0], _MULTIPLEXERS[-1])


class SensorType(Choice):
    """What a sensor is: the name of a driver, or what is printed on the sensor."""

    def __init__(self) -> None:
        super().__init__(*DRIVERS)

    def _read(self, text: str) -> str:
        word = text.lower().replace("-", "")
        return super()._read(FAMILIES.get(word, word))


def sensor_rules(given: Collection[str]) -> Iterator[vol.Invalid]:
    """Find what does not go together among the keys of a sensor."""
    if "channel" in given and "multiplexer" not in given:
        yield vol.Invalid("is missing: there is a channel", ["multiplexer"])
    if "multiplexer" in given and "channel" not in given:
        yield vol.Invalid("is missing: there is a multiplexer", ["channel"])


def make_sensor(values: dict[str, Any]) -> SensorConfig:
    """Make a sensor of its keys.

    Raises:
        vol.Invalid: There is no such sensor at this address.
    """
    driver = DRIVERS[values["type"]]
    address = values.get("address", driver.addresses[0])
    if address not in driver.addresses:
        known = " or ".join(f"0x{one:02x}" for one in driver.addresses)
        raise vol.Invalid(f"expected {known}: an {driver.model} is nowhere else", ["address"])
    if "shunt" in values and values["type"] != "ina219":
        raise vol.Invalid("is known only of an INA219", ["shunt"])
    if strange := values.get("offset", {}).keys() - driver.ranges.keys():
        known = ", ".join(driver.ranges)
        raise vol.Invalid(
            f"is not measured by an {driver.model}; it measures {known}", ["offset", min(strange)]
        )
    more = {key: values[key] for key in ("name", "shunt") if key in values}
    tuning = Tuning(**{field: values[key] for key, field in _TUNING.items() if key in values})
    place = Place(
        values.get("bus", DEFAULT_BUS), address, values.get("multiplexer"), values.get("channel", 0)
    )
    return SensorConfig(values["type"], place, tuning=tuning, **more)


def make_i2c(values: dict[str, Any]) -> I2cConfig:
    """Make the section of its keys.

    Raises:
        vol.Invalid: Two sensors are in each other's way.
    """
    config = I2cConfig(**values)
    errors = list(_collisions(config))
    if errors:
        raise vol.MultipleInvalid(errors)
    return config


def _collisions(config: I2cConfig) -> Iterator[vol.Invalid]:
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
            yield vol.Invalid(wrong, ["sensors", number])
        seen.add(place)
