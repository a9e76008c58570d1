"""Looking for sensors: what can be told is found, and nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from support.i2c import Aht20, Bh1750, Bosch, Expander, Ina219, Multiplexer, Scd4x, Sht3x, Sht4x

from .conftest import sensor
from .test_plugin import CALIBRATION, RAW

if TYPE_CHECKING:
    from .conftest import I2cMachine


def ids(collector: object) -> list[str]:
    return sorted({reading.device.id for reading in collector.readings()})  # type: ignore[attr-defined]


def test_what_can_be_told_is_found(machine: I2cMachine) -> None:
    clock = machine.clock
    for address, device in {
        0x44: Sht3x(clock),
        0x45: Sht4x(clock),
        0x62: Scd4x(clock),
        0x76: Bosch(clock, 0x60, CALIBRATION, RAW),
        0x77: Bosch(clock, 0x58, CALIBRATION, RAW),
    }.items():
        machine.plug(address, device)
    machine.plug(0x44, Sht4x(clock), 3)
    collector = machine.collector(scan=True, buses=(1, 3, 5))
    collector.probe()

    assert ids(collector) == [
        "bme280-1-76",
        "bmp280-1-77",
        "scd4x-1-62",
        "sht3x-1-44",
        "sht4x-1-45",
        "sht4x-3-44",
    ]
    machine.read(collector)
    assert None not in machine.read(collector).values()


@pytest.mark.parametrize("status", [0x8010, 0x0000, 0x83F0, 0xAC13])
def test_an_sht3x_in_any_state_is_found(machine: I2cMachine, status: int) -> None:
    """Bits 9 to 5 of its status are reserved, and may be anything."""
    machine.plug(0x44, Sht3x(machine.clock)).status = status
    collector = machine.collector(scan=True)
    collector.probe()

    assert ids(collector) == ["sht3x-1-44"]


def test_an_scd4x_at_work_is_found(machine: I2cMachine) -> None:
    machine.plug(0x62, Scd4x(machine.clock)).started = 0
    collector = machine.collector(scan=True)
    collector.probe()

    assert ids(collector) == ["scd4x-1-62"]


def test_without_scan_nothing_is_written_to_what_is_not_named(machine: I2cMachine) -> None:
    others = [
        machine.plug(address, device)
        for address, device in {
            0x44: Sht3x(machine.clock),
            0x39: Expander(machine.clock),
            0x76: Bosch(machine.clock, 0x60, CALIBRATION, RAW),
        }.items()
    ]
    machine.plug(0x38, Aht20(machine.clock))
    collector = machine.collector(sensor("aht20", 0x38))
    collector.probe()
    machine.read(collector)

    assert all(not device.written for device in others)


def test_relays_are_not_switched(machine: I2cMachine) -> None:
    """Not where an AHT20 or a BH1750 could be; and a person is told of what answers there."""
    relays = machine.plug(0x38, Expander(machine.clock))
    light = machine.plug(0x23, Bh1750(machine.clock))
    meter = machine.plug(0x40, Ina219(machine.clock))
    collector = machine.collector(scan=True)

    with pytest.raises(Unavailable) as caught:
        collector.probe()

    assert relays.written == light.written == meter.written == []
    assert "0x38 on bus 1 (aht20 or aht21?)" in caught.value.reason
    assert "0x23 on bus 1 (bh1750?)" in caught.value.reason


def test_an_ina219_where_an_sht_could_be_is_not_written_to(machine: I2cMachine) -> None:
    """Its registers take two bytes behind their number; a number alone changes nothing."""
    meter = machine.plug(0x44, Ina219(machine.clock))
    collector = machine.collector(scan=True)

    with pytest.raises(Unavailable):
        collector.probe()
    assert all(len(data) < 3 for data in meter.written)


def test_what_is_named_is_not_looked_for_again(machine: I2cMachine) -> None:
    machine.plug(0x44, Sht3x(machine.clock))
    collector = machine.collector(sensor("sht3x", 0x44, name="Attic"), scan=True)
    collector.probe()

    assert ids(collector) == ["sht3x-1-44"]
    assert {reading.device.name for reading in collector.readings()} == {"Attic"}


def test_behind_a_multiplexer(machine: I2cMachine) -> None:
    inside = {2: {0x44: Sht3x(machine.clock)}, 7: {0x44: Sht4x(machine.clock)}}
    multiplexer = machine.plug(0x77, Multiplexer(machine.clock, inside))
    collector = machine.collector(scan=True, multiplexers=(0x77,))
    collector.probe()

    assert ids(collector) == ["sht3x-1-77-2-44", "sht4x-1-77-7-44"]
    # The address of a BMP280, but named as something else.
    assert b"\xd0" not in multiplexer.written
    assert multiplexer.control == 0


def test_what_is_before_a_multiplexer_is_found_once(machine: I2cMachine) -> None:
    machine.plug(0x44, Sht3x(machine.clock))
    machine.plug(0x38, Aht20(machine.clock))
    inside = {2: {0x45: Sht3x(machine.clock)}}
    machine.plug(0x70, Multiplexer(machine.clock, inside))
    collector = machine.collector(sensor("aht20", 0x38), scan=True, multiplexers=(0x70,))
    collector.probe()

    assert ids(collector) == ["aht20-1-38", "sht3x-1-44", "sht3x-1-70-2-45"]


def test_what_is_plugged_in_later_is_found(machine: I2cMachine) -> None:
    machine.plug(0x44, Sht3x(machine.clock))
    collector = machine.collector(scan=True)
    collector.probe()
    machine.read(collector)
    machine.plug(0x76, Bosch(machine.clock, 0x60, CALIBRATION, RAW))

    values = machine.read(collector, after=600)

    assert ids(collector) == ["bme280-1-76", "sht3x-1-44"]
    assert None not in values.values()


def test_nothing_answers(machine: I2cMachine) -> None:
    machine.bus()

    with pytest.raises(Unavailable, match="answers on bus 1") as caught:
        machine.collector(scan=True).probe()
    assert "i2cdetect" in caught.value.hint


def test_a_stuck_bus_ends_the_search(machine: I2cMachine) -> None:
    machine.bus().stuck = True

    with pytest.raises(Unavailable):
        machine.collector(scan=True).probe()
    assert machine.bus().transfers == 1
