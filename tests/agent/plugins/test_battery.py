"""Batteries and external power."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.power import read_battery
from companion_agent.plugins.battery import BatteryPlugin

if TYPE_CHECKING:
    from support.agent_screen import MachineOf, ScreenOf

pytestmark = pytest.mark.proves("battery.*")

BAT0 = "sys/class/power_supply/BAT0/uevent"


def test_a_laptop_on_battery(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(BatteryPlugin(machine("thinkpad"))).look() == {
        "bat0.level": 69,
        "bat0.state": "discharging",
        "bat0.time_left": 14400,
        "bat0.power": 8.5,
        "bat0.energy": 34,
        "bat0.health": 85,
        "plugged": False,
    }


def test_the_only_battery_needs_no_name(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(BatteryPlugin(machine("thinkpad")))

    assert {reading.of for reading in shown.collector.readings()} == {""}


def test_the_plug_goes_in(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(BatteryPlugin(host))
    host.change(BAT0, "STATUS=Discharging", "STATUS=Charging")
    host.change("sys/class/power_supply/AC/uevent", "ONLINE=0", "ONLINE=1")

    seen = shown.look()

    assert seen["bat0.state"] == "charging"
    assert seen["bat0.power"] == -8.5
    assert seen["bat0.time_left"] == 6180
    assert seen["plugged"] is True


def test_a_full_battery_has_no_time_and_no_flow(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(BatteryPlugin(host))
    host.change(BAT0, "STATUS=Discharging", "STATUS=Full")
    host.change(BAT0, "POWER_NOW=8500000", "POWER_NOW=0")

    seen = shown.look()

    assert seen["bat0.state"] == "full"
    assert seen["bat0.time_left"] is None
    assert seen["bat0.power"] == 0


def test_what_a_driver_leaves_out_for_now_stays_announced(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("thinkpad")
    shown = screen(BatteryPlugin(host))
    host.change(BAT0, "POWER_SUPPLY_POWER_NOW=8500000\n", "")

    assert shown.look()["bat0.power"] is None


def test_two_batteries_of_different_habits(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(BatteryPlugin(machine("server")))

    assert shown.look() == {
        "bat0.level": 80,
        "bat0.state": "charging",
        "bat0.time_left": 3600,
        "bat0.power": -12,
        "bat1.level": 75,
        "bat1.state": "not_charging",
        "bat1.energy": 30,
        "bat1.time_left": None,
    }
    assert shown.reading("bat1.level").of == "BAT1"


def test_a_battery_is_taken_out_and_put_back(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("server")
    shown = screen(BatteryPlugin(host))
    host.remove("sys/class/power_supply/BAT0")
    assert set(shown.look()) == {
        "bat1.level",
        "bat1.state",
        "bat1.time_left",
        "bat1.energy",
    }
    assert shown.reading("bat1.level").of == ""
    host.remove("sys/class/power_supply/BAT1")

    with pytest.raises(Unavailable, match="no battery"):
        shown.collector.collect()


def test_an_empty_slot_is_no_battery(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    host.change(BAT0, "PRESENT=1", "PRESENT=0")

    with pytest.raises(Unavailable):
        BatteryPlugin(host).probe()


@pytest.mark.parametrize("name", ["raspberry-pi", "amd-desktop", "container"])
def test_most_machines_have_no_battery(machine: MachineOf, name: str) -> None:
    with pytest.raises(Unavailable):
        BatteryPlugin(machine(name)).probe()


def test_hardly_any_flow_makes_no_absurd_time() -> None:
    battery = read_battery(
        "BAT0", {"STATUS": "Discharging", "ENERGY_NOW": "50000000", "POWER_NOW": "1000"}
    )

    assert battery.time_left is None


def test_the_driver_s_own_time_is_preferred() -> None:
    battery = read_battery(
        "BAT0",
        {
            "STATUS": "Discharging",
            "TIME_TO_EMPTY_NOW": "3600",
            "ENERGY_NOW": "50000000",
            "POWER_NOW": "10000000",
        },
    )

    assert battery.time_left == 3600


@pytest.mark.parametrize(
    ("properties", "level"),
    [
        ({"CAPACITY": "55"}, 55),
        ({"CAPACITY": "103"}, 100),
        ({"CAPACITY": "117"}, 100),
        ({"CAPACITY": "160"}, 100),
        ({"ENERGY_NOW": "60", "ENERGY_FULL": "50"}, 100),
        ({"CAPACITY": "255"}, None),
        ({"CAPACITY": "-1"}, None),
        ({"CHARGE_NOW": "1", "CHARGE_FULL": "4"}, 25),
        ({"ENERGY_NOW": "1", "ENERGY_FULL": "0"}, None),
        ({}, None),
    ],
)
def test_levels(properties: dict[str, str], level: float | None) -> None:
    assert read_battery("BAT0", properties).level == level


@pytest.mark.parametrize(
    ("properties", "energy", "health"),
    [
        pytest.param({"ENERGY_NOW": "-1"}, None, None, id="not known"),
        pytest.param({"ENERGY_NOW": "4294967295"}, None, None, id="32 bits that are not known"),
        pytest.param({"ENERGY_NOW": "0"}, 0, None, id="empty"),
        pytest.param(
            {"ENERGY_FULL": "-1000", "ENERGY_FULL_DESIGN": "500"}, None, None, id="less than none"
        ),
    ],
)
def test_amounts_that_no_battery_has_are_not_known(
    properties: dict[str, str], energy: float | None, health: float | None
) -> None:
    battery = read_battery("BAT0", properties)

    assert (battery.energy, battery.health) == (energy, health)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_a_mouse_is_not_asked_since_it_may_not_answer(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    mouse = "sys/class/power_supply/hidpp_battery_9"
    host.write(f"{mouse}/type", "Battery\n")
    host.write(f"{mouse}/scope", "Device\n")
    # Opening it would wait for ever.
    os.mkfifo(host.root / mouse / "uevent")

    assert "bat0.level" in screen(BatteryPlugin(host)).look()
