"""Sensors on an I²C bus, one driver for each, written from its data sheet.

Drivers know registers and nothing else: which sensors there are, how often they are read and what
becomes of their values is the business of `companion_agent.plugins.i2c.plugin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.i2c.drivers.aht20 import Aht20, Aht21
from companion_agent.plugins.i2c.drivers.bh1750 import Bh1750
from companion_agent.plugins.i2c.drivers.bme280 import Bme280, Bmp280
from companion_agent.plugins.i2c.drivers.ina219 import Ina219
from companion_agent.plugins.i2c.drivers.scd4x import Scd4x
from companion_agent.plugins.i2c.drivers.sht import Sht3x, Sht4x

if TYPE_CHECKING:
    from companion_agent.plugins.i2c.drivers.base import Driver

DRIVERS: dict[str, type[Driver]] = {
    "aht20": Aht20,
    "aht21": Aht21,
    "sht3x": Sht3x,
    "sht4x": Sht4x,
    "bme280": Bme280,
    "bmp280": Bmp280,
    "bh1750": Bh1750,
    "scd4x": Scd4x,
    "ina219": Ina219,
}
"""Every driver by the name that the configuration and the readings' keys have for it."""

FAMILIES = {
    "sht30": "sht3x",
    "sht31": "sht3x",
    "sht35": "sht3x",
    "sht40": "sht4x",
    "sht41": "sht4x",
    "sht43": "sht4x",
    "sht45": "sht4x",
    "scd40": "scd4x",
    "scd41": "scd4x",
    "scd43": "scd4x",
}
"""What is printed on sensors that share a driver."""

QUANTITIES = tuple(
    dict.fromkeys(quantity for driver in DRIVERS.values() for quantity in driver.ranges)
)
"""Everything that a sensor can measure."""
