"""Temperatures and fans."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.temperature import TemperaturePlugin

if TYPE_CHECKING:
    from support.agent_screen import MachineOf, Screen, ScreenOf

pytestmark = pytest.mark.proves("temperature.sensor", "fan.speed")

NCT = "sys/devices/platform/nct6775.656/hwmon/hwmon2"
GPU = "sys/devices/pci0000:00/0000:0b:00.0"


def labels(shown: Screen) -> list[str]:
    """List the names of what is reported."""
    return [reading.of for reading in shown.collector.readings()]


def test_sensors_have_the_chip_s_and_their_own_name(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(TemperaturePlugin(machine("thinkpad")))

    assert labels(shown) == [
        "acpitz temp1",
        "nvme Composite",
        "coretemp Package id 0",
        "coretemp Core 0",
        "coretemp Core 1",
        "thinkpad CPU",
        "iwlwifi_1 temp1",
        "SEN1",
    ]


def test_temperatures_are_in_tenths(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(TemperaturePlugin(machine("thinkpad"))).look()

    assert seen["nvme-0000-01-00-0.temp1"] == 37.9


def test_two_chips_of_one_name_are_told_apart(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(TemperaturePlugin(machine("server")))

    assert labels(shown) == [
        "coretemp coretemp.0 Package id 0",
        "coretemp coretemp.1 Package id 1",
        "nvme 0000:41:00.0 Composite",
        "nvme 0000:42:00.0 Composite",
    ]
    assert set(shown.look()) == {
        "coretemp-0.temp1",
        "coretemp-1.temp1",
        "nvme-0000-41-00-0.temp1",
        "nvme-0000-42-00-0.temp1",
    }


def test_a_key_does_not_depend_on_the_order_of_discovery(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("server")
    shown = screen(TemperaturePlugin(host))
    before = dict(shown.look())
    for name in ("hwmon2", "hwmon3"):
        (host.root / f"sys/class/hwmon/{name}").rename(host.root / f"sys/class/hwmon/x{name}")
    (host.root / "sys/class/hwmon/xhwmon2").rename(host.root / "sys/class/hwmon/hwmon3")
    (host.root / "sys/class/hwmon/xhwmon3").rename(host.root / "sys/class/hwmon/hwmon2")

    assert shown.look() == before


def test_a_raspberry_pi_s_temperature_is_there_once(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(TemperaturePlugin(machine("raspberry-pi"))).look() == {"cpu_thermal.temp1": 48.2}


def test_open_sockets_and_broken_sensors_are_left_out(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(TemperaturePlugin(machine("amd-desktop")))

    assert labels(shown) == ["k10temp Tctl", "k10temp Tccd1", "amdgpu edge", "nct6798 SYSTIN"]


def test_a_sensor_that_was_believed_stays_when_it_fails(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("amd-desktop")
    shown = screen(TemperaturePlugin(host))
    host.write(f"{NCT}/temp1_input", "-128000\n")

    assert shown.look()["nct6798-nct6775-656.temp1"] is None


@pytest.mark.parametrize(
    ("path", "chip", "raw"),
    [
        pytest.param("temp2_input", "asusec", -40_000, id="no thermistor in its header"),
        pytest.param("temp2_input", "corsairpsu", -128_000, id="a byte that nothing has written"),
        pytest.param("temp2_input", "nct6798", 127_500, id="a diode that is not there"),
        pytest.param("temp2_input", "anything", 255_000, id="all bits"),
        pytest.param("fan1_input", "nct6798", 0, id="a header without a fan"),
        pytest.param("fan1_input", "it8728", 65_535, id="a controller that does not know"),
    ],
)
def test_an_input_with_nothing_at_its_end_is_left_out_with_its_reason(
    machine: MachineOf, path: str, chip: str, raw: int
) -> None:
    host = machine("container")
    host.write("sys/class/hwmon/hwmon8/name", f"{chip}\n")
    host.write(f"sys/class/hwmon/hwmon8/{path}", f"{raw}\n")
    for name in ("temp9_input", "fan9_input"):
        host.write(f"sys/class/hwmon/hwmon8/{name}", "900\n")
    plugin = (FanPlugin if path.startswith("fan") else TemperaturePlugin)(host)

    values = plugin.collect()

    assert not any(key.endswith(path.removesuffix("_input")) for key in values)
    assert f"{chip} {path.removesuffix('_input')}" in plugin.left_out()


def test_a_value_of_nothing_is_not_believed_later_either(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("amd-desktop")
    shown = screen(TemperaturePlugin(host))
    host.write(f"{NCT}/temp1_input", "127500\n")

    assert shown.look()["nct6798-nct6775-656.temp1"] is None


def test_a_jetson_s_power_chip_measures_nothing(machine: MachineOf) -> None:
    host = machine("container")
    for number, (kind, raw) in enumerate((("PMIC-Die", 100_000), ("CPU-therm", 41_000))):
        host.write(f"sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        host.write(f"sys/class/thermal/thermal_zone{number}/temp", f"{raw}\n")
    plugin = TemperaturePlugin(host)

    assert list(plugin.collect().values()) == [41]
    assert plugin.left_out() == {"PMIC-Die": "it says 100 °C, as inputs do that measure nothing"}


def test_a_sensor_that_hangs_takes_no_other_along(
    machine: MachineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.platforms.time_limit.PATIENCE", 0.2)
    monkeypatch.setattr("companion_agent.platforms.time_limit.STALL", 0.02)
    host = machine("raspberry-pi")
    host.write("sys/class/hwmon/hwmon9/name", "drivetemp\n")
    host.write("sys/class/hwmon/hwmon9/temp1_input", "31000\n")
    plugin = TemperaturePlugin(host)
    plugin.collect()
    released = threading.Event()
    number = host._files.number

    def hang(path: str) -> int | None:
        if path.endswith("hwmon9/temp1_input"):
            assert released.wait(20)
        return number(path)

    monkeypatch.setattr(host._files, "number", hang)

    values = plugin.collect()

    assert values["drivetemp.temp1"] is None
    assert values["cpu_thermal.temp1"] is not None
    released.set()


def test_a_zone_in_another_unit_is_left_out_with_its_reason(machine: MachineOf) -> None:
    host = machine("container")
    for number, (kind, raw) in enumerate((("cpu_thermal_zone", 45), ("soc", 41_000))):
        host.write(f"sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        host.write(f"sys/class/thermal/thermal_zone{number}/temp", f"{raw}\n")
    plugin = TemperaturePlugin(host)

    assert list(plugin.collect().values()) == [41]
    assert plugin.left_out() == {
        "cpu_thermal_zone": "it says 45, which may be whole degrees instead of thousandths"
    }


def test_a_machine_of_empty_inputs_says_what_they_say(machine: MachineOf) -> None:
    host = machine("container")
    host.write("sys/class/hwmon/hwmon0/name", "asusec\n")
    host.write("sys/class/hwmon/hwmon0/temp2_input", "-40000\n")

    with pytest.raises(Unavailable, match="asusec temp2: it says -40 °C"):
        TemperaturePlugin(host).collect()


def test_a_sleeping_graphics_card_is_not_woken(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(TemperaturePlugin(host))
    host.write(f"{GPU}/power/runtime_status", "suspended\n")

    assert shown.look()["amdgpu-0000-0b-00-0.temp1"] is None


def test_a_driver_is_loaded_and_unloaded(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    shown = screen(TemperaturePlugin(host))
    host.write("sys/class/hwmon/hwmon9/name", "drivetemp\n")
    host.write("sys/class/hwmon/hwmon9/temp1_input", "31000\n")
    assert shown.look()["drivetemp.temp1"] == 31
    host.remove("sys/class/hwmon/hwmon9")

    assert "drivetemp.temp1" not in shown.look()


def test_an_old_driver_has_its_files_in_the_device(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("container")
    host.write("sys/class/hwmon/hwmon0/device/name", "lm78\n")
    host.write("sys/class/hwmon/hwmon0/device/temp1_input", "40000\n")

    assert screen(TemperaturePlugin(host)).look() == {"lm78.temp1": 40}


def test_zones_stand_in_where_there_is_no_hwmon(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("container")
    for number, celsius in ((0, 41000), (1, 42000)):
        host.write(f"sys/class/thermal/thermal_zone{number}/type", "soc-thermal\n")
        host.write(f"sys/class/thermal/thermal_zone{number}/temp", f"{celsius}\n")

    shown = screen(TemperaturePlugin(host))

    assert shown.look() == {"zone-soc-thermal.temp1": 41, "zone-soc-thermal.temp2": 42}
    assert labels(shown) == ["soc-thermal", "soc-thermal 2"]
    assert host.cpu_temperature() == 42


def test_a_flickering_last_digit_is_no_change(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("raspberry-pi")
    shown = screen(TemperaturePlugin(host))
    before = dict(shown.look())
    host.write("sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input", "48686\n")

    assert shown.look() == before


def test_a_selection_by_name(machine: MachineOf, screen: ScreenOf) -> None:
    shown = screen(TemperaturePlugin(machine("thinkpad"), Selection(include=("nvme *",))))

    assert labels(shown) == ["nvme Composite"]


def test_a_machine_without_sensors_gets_a_hint(machine: MachineOf) -> None:
    with pytest.raises(Unavailable) as caught:
        TemperaturePlugin(machine("container")).probe()

    assert "coretemp" in caught.value.hint


def test_fans_that_rest_are_shown_and_empty_sockets_are_not(
    machine: MachineOf, screen: ScreenOf
) -> None:
    shown = screen(FanPlugin(machine("amd-desktop")))

    assert shown.look() == {
        "amdgpu-0000-0b-00-0.fan1": 0,
        "nct6798-nct6775-656.fan2": 811,
        "nct6798-nct6775-656.fan10": 640,
    }


def test_a_fan_on_the_board_that_stops_is_still_there(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(FanPlugin(host))
    host.write(f"{NCT}/fan2_input", "0\n")

    assert shown.look()["nct6798-nct6775-656.fan2"] == 0


def test_a_controller_that_does_not_know_says_nothing(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(FanPlugin(machine("thinkpad"))).look()

    assert seen == {"thinkpad-thinkpad_hwmon.fan1": 0, "thinkpad-thinkpad_hwmon.fan2": None}


def test_no_fans_no_collector(machine: MachineOf) -> None:
    with pytest.raises(Unavailable, match="no fans"):
        FanPlugin(machine("server")).probe()
