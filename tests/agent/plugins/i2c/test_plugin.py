"""The collector on simulated buses: what it reports when sensors work, fail, go and come."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Device
from companion_agent.plugins.runner import CollectorRunner
from companion_agent.worker import Result
from support.i2c import Aht20, Bh1750, Bosch, Ina219, Scd4x, Sht3x, Sht4x

from .conftest import sensor
from .test_datasheets import BMP280_P, BMP280_RAW, BMP280_T

if TYPE_CHECKING:
    from .conftest import I2cMachine

CALIBRATION = {
    0x88: struct.pack("<Hhh", *BMP280_T) + struct.pack("<Hhhhhhhhh", *BMP280_P) + b"\0\x4b",
    0xE1: struct.pack("<h", 362) + bytes([0, 0x14, 0x2E, 0x03, 0x1E]),
}
RAW = BMP280_RAW + (29000).to_bytes(2)


def test_every_sensor_at_once(machine: I2cMachine) -> None:
    clock = machine.clock
    for address, device in {
        0x38: Aht20(clock, 21.5, 45),
        0x44: Sht3x(clock, 20, 40),
        0x45: Sht4x(clock, 19, 41),
        0x76: Bosch(clock, 0x60, CALIBRATION, RAW),
        0x77: Bosch(clock, 0x58, CALIBRATION, RAW),
        0x23: Bh1750(clock),
        0x62: Scd4x(clock),
        0x40: Ina219(clock),
    }.items():
        machine.plug(address, device)
    collector = machine.collector(
        sensor("aht20", 0x38),
        sensor("sht3x", 0x44),
        sensor("sht4x", 0x45),
        sensor("bme280", 0x76),
        sensor("bmp280", 0x77),
        sensor("bh1750", 0x23),
        sensor("scd4x", 0x62),
        sensor("ina219", 0x40, shunt=0.002),
    )
    collector.probe()

    first = machine.read(collector)
    waited = sum(clock.sleeps)
    values = machine.read(collector)

    assert collector.troubles() == {}
    # The slowest takes 180 ms; the others do not add to it.
    assert waited == pytest.approx(0.18, abs=0.01)
    assert first["scd4x-1-62.carbon_dioxide"] is None
    assert values == pytest.approx(
        {
            "aht20-1-38.temperature": 21.5,
            "aht20-1-38.humidity": 45,
            "sht3x-1-44.temperature": 20,
            "sht3x-1-44.humidity": 40,
            "sht4x-1-45.temperature": 19,
            "sht4x-1-45.humidity": 41,
            "bme280-1-76.temperature": 25.08,
            "bme280-1-76.humidity": values["bme280-1-76.humidity"],
            "bme280-1-76.pressure": 1006.53,
            "bmp280-1-77.temperature": 25.08,
            "bmp280-1-77.pressure": 1006.53,
            "bh1750-1-23.illuminance": 28066.7,
            "scd4x-1-62.carbon_dioxide": 500,
            "scd4x-1-62.temperature": 25,
            "scd4x-1-62.humidity": 37,
            "ina219-1-40.voltage": 11.98,
            "ina219-1-40.current": 10,
            "ina219-1-40.power": 119.8,
        },
        abs=0.006,
    )


def test_each_sensor_is_a_device(machine: I2cMachine) -> None:
    collector = machine.collector(
        sensor("aht20", 0x38, name="Dining room"),
        sensor("sht3x", 0x44),
        sensor("sht3x", 0x44, 3),
        sensor("aht20", 0x38, multiplexer=0x70, channel=2),
    )

    devices = dict.fromkeys(reading.device for reading in collector.readings())

    assert list(devices) == [
        Device("aht20-1-38", "Dining room", "Aosong", "AHT20"),
        Device("sht3x-1-44", "", "Sensirion", "SHT3x"),
        Device("sht3x-3-44", "", "Sensirion", "SHT3x"),
        Device("aht20-1-70-2-38", "", "Aosong", "AHT20"),
    ]
    assert {reading.kind for reading in collector.readings()} == {
        "temperature",
        "humidity",
        "i2c.interval",
        "i2c.average",
        "i2c.temperature_offset",
        "i2c.humidity_offset",
    }


def test_an_aht20_that_is_not_calibrated_is_initialised(machine: I2cMachine) -> None:
    device = machine.plug(0x38, Aht20(machine.clock))
    device.calibrated = False
    collector = machine.collector(sensor("aht20", 0x38))

    assert machine.read(collector)["aht20-1-38.temperature"] == 25
    assert device.written == [b"\xbe\x08\x00", b"\xac\x33\x00"]


def test_a_busy_sensor_is_waited_for(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock)).busy_for = 0.11
    collector = machine.collector(sensor("aht20", 0x38))

    assert machine.read(collector)["aht20-1-38.temperature"] == 25


def test_a_sensor_that_stays_busy(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock)).busy_for = 1000
    collector = machine.collector(sensor("aht20", 0x38))

    assert machine.read(collector)["aht20-1-38.temperature"] is None
    assert collector.troubles() == {"aht20-1-38 (0x38 on bus 1)": "it stays busy"}
    assert sum(machine.clock.sleeps) < 1


@pytest.mark.parametrize("fault", ["flips", "failures"])
def test_a_fault_of_a_moment_goes_unnoticed(machine: I2cMachine, fault: str) -> None:
    device = machine.plug(0x44, Sht3x(machine.clock))
    collector = machine.collector(sensor("sht3x", 0x44))
    machine.read(collector)
    setattr(device, fault, 2)

    assert machine.read(collector)["sht3x-1-44.temperature"] == 25
    assert collector.troubles() == {}


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [("flips", "the checksum is wrong"), ("failures", "does not answer")],
)
def test_a_sensor_that_fails_is_null_and_heals(
    machine: I2cMachine, fault: str, trouble: str
) -> None:
    machine.plug(0x44, Sht3x(machine.clock, 20))
    device = machine.plug(0x38, Aht20(machine.clock))
    collector = machine.collector(sensor("aht20", 0x38), sensor("sht3x", 0x44))
    machine.read(collector)
    setattr(device, fault, 1000)

    broken = machine.read(collector)
    troubles = collector.troubles()
    setattr(device, fault, 0)
    healed = machine.read(collector)

    assert (broken["aht20-1-38.temperature"], broken["sht3x-1-44.temperature"]) == (None, 20)
    assert troubles == {"aht20-1-38 (0x38 on bus 1)": trouble}
    assert (healed["aht20-1-38.temperature"], collector.troubles()) == (25, {})


def test_a_sensor_that_is_not_there_from_the_start_is_announced(machine: I2cMachine) -> None:
    machine.bus()
    collector = machine.collector(sensor("aht20", 0x38))
    collector.probe()

    assert machine.read(collector) == {"aht20-1-38.temperature": None, "aht20-1-38.humidity": None}


def test_a_stuck_bus_costs_one_second_and_no_other_bus(machine: I2cMachine) -> None:
    for number in (1, 3):
        machine.plug(0x38, Aht20(machine.clock), number)
        machine.plug(0x44, Sht3x(machine.clock), number)
    collector = machine.collector(
        *(
            sensor(kind, at, bus)
            for bus in (1, 3)
            for kind, at in (("aht20", 0x38), ("sht3x", 0x44))
        )
    )
    machine.read(collector)
    machine.bus(1).stuck = True
    before, tried = machine.clock.now, machine.bus(1).transfers

    values = machine.read(collector, after=60)

    assert machine.clock.now - before - 60 < 1.5
    assert machine.bus(1).transfers - tried == 1
    assert [key for key, value in values.items() if value is None] == [
        "aht20-1-38.temperature",
        "aht20-1-38.humidity",
        "sht3x-1-44.temperature",
        "sht3x-1-44.humidity",
    ]
    assert set(collector.troubles().values()) == {"the bus is stuck"}
    machine.bus(1).stuck = False
    assert None not in machine.read(collector).values()


def test_a_bus_that_is_unplugged(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock), 7)
    collector = machine.collector(sensor("aht20", 0x38, 7))
    collector.probe()
    machine.read(collector)
    buses = dict(machine.kernel.buses)
    machine.kernel.buses.clear()

    gone = machine.read(collector)
    troubles = list(collector.troubles().values())
    machine.kernel.buses.update(buses)

    assert gone["aht20-7-38.temperature"] is None
    assert troubles == ["there is no I²C bus 7 (/dev/i2c-7)"]
    assert machine.read(collector)["aht20-7-38.temperature"] == 25


def test_the_wrong_chip_is_named(machine: I2cMachine) -> None:
    machine.plug(0x76, Bosch(machine.clock, 0x58, CALIBRATION, RAW))
    collector = machine.collector(sensor("bme280", 0x76))
    machine.read(collector)

    assert list(collector.troubles().values()) == ["it is no BME280 but BMP280"]


def test_a_sensor_that_the_kernel_uses_is_left_alone(machine: I2cMachine) -> None:
    device = machine.plug(0x76, Bosch(machine.clock, 0x60, CALIBRATION, RAW))
    driver = machine.root / "sys/bus/i2c/drivers/bmp280"
    driver.mkdir(parents=True)
    client = machine.root / "sys/bus/i2c/devices/1-0076"
    client.mkdir(parents=True)
    (client / "driver").symlink_to(driver)
    collector = machine.collector(sensor("bme280", 0x76))
    machine.read(collector)

    assert device.written == []
    assert "the kernel's driver bmp280 uses it" in next(iter(collector.troubles().values()))


def test_an_scd4x_that_measures_already(machine: I2cMachine) -> None:
    device = machine.plug(0x62, Scd4x(machine.clock))
    device.started = machine.clock.now - 100
    collector = machine.collector(sensor("scd4x", 0x62))

    assert machine.read(collector)["scd4x-1-62.carbon_dioxide"] == 500


def test_an_scd4x_that_is_asked_too_often_says_what_it_said(machine: I2cMachine) -> None:
    machine.plug(0x62, Scd4x(machine.clock))
    collector = machine.collector(sensor("scd4x", 0x62, interval=1))
    collector.pace(1)
    machine.read(collector)
    machine.read(collector, after=6)

    assert machine.read(collector, after=1)["scd4x-1-62.carbon_dioxide"] == 500
    assert collector.troubles() == {}


def test_an_scd4x_that_lost_its_power_starts_again(machine: I2cMachine) -> None:
    device = machine.plug(0x62, Scd4x(machine.clock))
    collector = machine.collector(sensor("scd4x", 0x62))
    machine.read(collector)
    machine.read(collector)
    device.lose_power()
    machine.read(collector)

    assert machine.read(collector)["scd4x-1-62.carbon_dioxide"] == 500


def test_an_scd4x_without_a_value_yet(machine: I2cMachine) -> None:
    machine.plug(0x62, Scd4x(machine.clock, co2=0))
    collector = machine.collector(sensor("scd4x", 0x62))
    machine.read(collector)
    machine.read(collector)

    assert list(collector.troubles().values()) == ["a carbon_dioxide of 0 is not from 1 to 40000"]


# --- Tuning ----------------------------------------------------------------------------------


def test_an_offset_is_added_within_what_there_can_be(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock, 25, 98))
    collector = machine.collector(
        sensor("aht20", 0x38, offsets={"temperature": -0.4, "humidity": 5})
    )

    assert machine.read(collector) == {
        "aht20-1-38.temperature": 24.6,
        "aht20-1-38.humidity": 100,
    }


def test_a_mean_does_not_reach_over_a_gap(machine: I2cMachine) -> None:
    device = machine.plug(0x38, Aht20(machine.clock))
    collector = machine.collector(sensor("aht20", 0x38, average=3))
    shown = []
    for celsius in (20, 23, 26, 29, None, 10):
        device.absent = celsius is None
        device.celsius = celsius or 0
        shown.append(machine.read(collector)["aht20-1-38.temperature"])

    assert shown == [20, 21.5, 23, 26, None, 10]


def test_sensors_have_intervals_of_their_own(machine: I2cMachine) -> None:
    slow = machine.plug(0x38, Aht20(machine.clock))
    quick = machine.plug(0x44, Sht3x(machine.clock))
    collector = machine.collector(
        sensor("aht20", 0x38, interval=300), sensor("sht3x", 0x44, interval=10)
    )

    assert collector.pace(60) == 10
    for _ in range(61):
        values = machine.read(collector, after=9.9)
        assert None not in values.values()
    assert slow.written.count(b"\xac\x33\x00") == 3
    assert quick.written.count(b"\x24\x00") == 61


def test_tuning_may_change_while_it_works(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock))
    collector = machine.collector(sensor("aht20", 0x38))
    machine.read(collector)

    collector.run("i2c.aht20-1-38.temperature_offset", {"value": 1})
    collector.run("i2c.aht20-1-38.interval", {"value": 5})
    collector.run("i2c.aht20-1-38.average", {"value": 2})

    assert collector.pace(60) == 5
    assert machine.read(collector, after=5)["aht20-1-38.temperature"] == 26
    with pytest.raises(CommandError, match="no sensor aht20-1-39"):
        collector.run("i2c.aht20-1-39.interval", {"value": 5})


# --- As the agent sees it --------------------------------------------------------------------


def test_nothing_is_named(machine: I2cMachine) -> None:
    machine.bus()

    with pytest.raises(Unavailable, match="no sensor is named") as caught:
        machine.collector().probe()
    assert "'i2c'" in caught.value.hint


def test_one_bus_that_cannot_be_opened_is_no_reason_to_give_up(machine: I2cMachine) -> None:
    machine.plug(0x38, Aht20(machine.clock))
    collector = machine.collector(sensor("aht20", 0x38), sensor("aht20", 0x38, 9))
    collector.probe()

    values = machine.read(collector)

    assert (values["aht20-1-38.temperature"], values["aht20-9-38.temperature"]) == (25, None)


def test_what_fails_and_heals_is_logged_once(
    machine: I2cMachine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "companion_agent.plugins")
    device = machine.plug(0x38, Aht20(machine.clock))
    source = CollectorRunner(machine.collector(sensor("aht20", 0x38)), 60)

    for absent in (False, True, True, False, False):
        device.absent = absent
        machine.clock.now += 60
        job = source.job()
        source.take(Result(job.name, job.run()))

    assert caplog.messages == [
        "i2c: aht20-1-38 (0x38 on bus 1) cannot be read: does not answer",
        "i2c: aht20-1-38 (0x38 on bus 1) works again",
    ]
