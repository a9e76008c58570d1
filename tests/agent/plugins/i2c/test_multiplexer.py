"""Sensors behind a TCA9548A, and with the same address before and behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.i2c.bus import Bus
from companion_agent.plugins.i2c.place import Place
from support.i2c import Aht20, FakeI2cBus, Multiplexer, Sht3x

from .conftest import sensor

if TYPE_CHECKING:
    from .conftest import I2cMachine


def test_same_addresses_on_several_channels(machine: I2cMachine) -> None:
    rooms = {channel: {0x38: Aht20(machine.clock, 15 + channel)} for channel in range(8)}
    multiplexer = machine.plug(0x70, Multiplexer(machine.clock, rooms))
    machine.plug(0x44, Sht3x(machine.clock, 5))
    collector = machine.collector(
        sensor("sht3x", 0x44),
        *(sensor("aht20", 0x38, multiplexer=0x70, channel=channel) for channel in rooms),
    )

    values = machine.read(collector)

    assert [values[f"aht20-1-70-{channel}-38.temperature"] for channel in rooms] == [
        15 + channel for channel in rooms
    ]
    assert values["sht3x-1-44.temperature"] == 5
    # They convert at the same time, and no channel stays open.
    assert sum(machine.clock.sleeps) < 0.1
    assert multiplexer.control == 0


def test_two_multiplexers_on_one_bus(machine: I2cMachine) -> None:
    for address, celsius in ((0x70, 10), (0x71, 20)):
        behind = {0: {0x38: Aht20(machine.clock, celsius)}}
        machine.plug(address, Multiplexer(machine.clock, behind))
    collector = machine.collector(
        *(sensor("aht20", 0x38, multiplexer=address, channel=0) for address in (0x70, 0x71))
    )

    values = machine.read(collector)

    assert values["aht20-1-70-0-38.temperature"] == 10
    assert values["aht20-1-71-0-38.temperature"] == 20


def test_a_channel_that_another_program_left_open_is_closed(machine: I2cMachine) -> None:
    inside = {3: {0x44: Sht3x(machine.clock, 5)}}
    machine.plug(0x70, Multiplexer(machine.clock, inside)).control = 8
    machine.plug(0x44, Sht3x(machine.clock, 20))
    collector = machine.collector(
        sensor("sht3x", 0x44), sensor("aht20", 0x38, multiplexer=0x70, channel=0)
    )

    assert machine.read(collector)["sht3x-1-44.temperature"] == 20


def test_a_multiplexer_that_is_gone(machine: I2cMachine) -> None:
    machine.plug(0x44, Sht3x(machine.clock, 20))
    collector = machine.collector(
        sensor("sht3x", 0x44), sensor("aht20", 0x38, multiplexer=0x70, channel=0)
    )

    values = machine.read(collector)

    assert values["sht3x-1-44.temperature"] == 20
    assert list(collector.troubles().values()) == ["the multiplexer at 0x70 does not answer"]


def test_the_driver_of_a_multiplexer_counts_for_what_is_behind_it(machine: I2cMachine) -> None:
    client = machine.root / "sys/bus/i2c/devices/1-0070"
    client.mkdir(parents=True)
    (client / "driver").symlink_to(machine.root / "sys")
    machine.bus()
    bus = Bus(machine.platform.i2c_bus(1), {0x70})

    assert bus.driver(Place(1, 0x38, 0x70, 2)) == "sys"
    assert not bus.driver(Place(1, 0x38))
    bus.close()
    assert isinstance(machine.bus(), FakeI2cBus)
