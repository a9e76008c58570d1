"""The processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.plugins.cpu import CpuPlugin

if TYPE_CHECKING:
    from support.agent_screen import MachineOf, ScreenOf
    from support.clock import ManualClock

pytestmark = pytest.mark.proves("cpu.*")

STAT = "proc/stat"


def stat(total: str, *cores: str) -> str:
    """Write /proc/stat."""
    lines = [
        f"cpu {total} 0 0 0 0 0",
        *(f"cpu{n} {core} 0 0 0 0 0" for n, core in enumerate(cores)),
    ]
    return "\n".join([*lines, "intr 1 0 0", "ctxt 5000", ""])


def test_a_share_needs_two_readings(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    seen = screen(CpuPlugin(machine("thinkpad"))).look()

    assert seen["percent"] is None
    assert seen["core.0.percent"] is None
    assert seen["context_switches"] is None


def test_shares_are_of_the_time_between_two_readings(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("thinkpad")
    host.write(STAT, stat("1000 0 0 8000", "500 0 0 4000", "500 0 0 4000"))
    shown = screen(CpuPlugin(host))
    clock.advance(10)
    host.write(STAT, stat("1200 0 50 9750", "700 0 50 4250", "500 0 0 5000"))

    seen = shown.look()

    assert seen["percent"] == 12.5
    assert seen["core.0.percent"] == 50
    assert seen["core.1.percent"] == 0


def test_two_readings_at_once_do_not_make_a_share_of_nothing(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("thinkpad")
    host.write(STAT, stat("1000 0 0 8000", "1000 0 0 8000"))
    shown = screen(CpuPlugin(host))
    clock.advance(10)
    host.write(STAT, stat("1500 0 0 8500", "1500 0 0 8500"))
    shown.look()
    clock.advance(0.01)
    host.write(STAT, stat("1501 0 0 8500", "1501 0 0 8500"))

    assert shown.look()["percent"] == 50


@pytest.mark.parametrize(
    ("zones", "celsius"),
    [
        pytest.param(
            {"package-thermal": 45_000, "bigcore0-thermal": 47_000, "gpu-thermal": 60_000},
            45,
            id="RK3588",
        ),
        pytest.param(
            {"bigcore0-thermal": 47_000, "littlecore-thermal": 44_000, "npu-thermal": 60_000},
            47,
            id="the hottest group of cores",
        ),
    ],
)
def test_the_temperature_of_a_board_is_found_in_its_zones(
    machine: MachineOf, zones: dict[str, int], celsius: float
) -> None:
    host = machine("container")
    for number, (kind, raw) in enumerate(zones.items()):
        host.write(f"sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        host.write(f"sys/class/thermal/thermal_zone{number}/temp", f"{raw}\n")

    assert CpuPlugin(host).collect()["temperature"] == celsius


def test_a_temperature_that_is_missing_has_a_reason(machine: MachineOf) -> None:
    plugin = CpuPlugin(machine("container"))
    plugin.collect()

    assert plugin.left_out() == {"temperature": "no sensor is known to be the processor's"}


def test_cores_are_switched_off_and_on(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("thinkpad")
    host.write(STAT, stat("1000 0 0 8000", "500 0 0 4000", "500 0 0 4000"))
    shown = screen(CpuPlugin(host))
    clock.advance(10)
    host.write(STAT, stat("1200 0 0 9800", "600 0 0 4900"))
    assert "core.1.percent" not in shown.look()
    clock.advance(10)
    host.write(STAT, stat("1400 0 0 11600", "700 0 0 5800", "500 0 0 4001"))

    seen = shown.look()

    assert seen["core.0.percent"] == 10
    assert seen["core.1.percent"] is None


def test_counters_that_go_back_make_no_share(
    machine: MachineOf, screen: ScreenOf, clock: ManualClock
) -> None:
    host = machine("thinkpad")
    host.write(STAT, stat("1000 0 0 8000", "1000 0 0 8000"))
    shown = screen(CpuPlugin(host))
    clock.advance(10)
    host.write(STAT, stat("10 0 0 80", "10 0 0 80"))

    assert shown.look()["percent"] is None


def test_idle_noise_is_no_change(machine: MachineOf, screen: ScreenOf, clock: ManualClock) -> None:
    host = machine("thinkpad")
    host.write(STAT, stat("0 0 0 0", "0 0 0 0"))
    shown = screen(CpuPlugin(host))
    clock.advance(10)
    host.write(STAT, stat("20 0 0 980", "20 0 0 980"))
    assert shown.look()["percent"] == 2
    clock.advance(10)
    host.write(STAT, stat("44 0 0 1956", "44 0 0 1956"))

    assert shown.look()["percent"] == 2


def test_the_frequency_is_the_mean_of_the_cores(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(CpuPlugin(machine("thinkpad"))).look()["frequency"] == 2100


def test_one_clock_for_all_cores_is_read_once_for_all(machine: MachineOf, screen: ScreenOf) -> None:
    assert screen(CpuPlugin(machine("raspberry-pi"))).look()["frequency"] == 600


@pytest.mark.parametrize(
    ("name", "celsius"),
    [
        pytest.param("thinkpad", 47.0, id="coretemp's package"),
        pytest.param("raspberry-pi", 48.2, id="the thermal zone's hwmon"),
        pytest.param("amd-desktop", 52.1, id="k10temp's Tctl"),
        pytest.param("server", 66.0, id="the hotter of two sockets"),
    ],
)
def test_the_processor_temperature_is_found(
    machine: MachineOf, screen: ScreenOf, name: str, celsius: float
) -> None:
    assert screen(CpuPlugin(machine(name))).look()["temperature"] == celsius


def test_a_sensor_that_stops_answering_stays_announced(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("raspberry-pi")
    shown = screen(CpuPlugin(host))
    host.fail("sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input")

    assert shown.look()["temperature"] is None


def test_what_a_container_lacks_is_absent(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(CpuPlugin(machine("container"))).look()

    assert set(seen) == {
        "percent",
        "core.0.percent",
        "load_1m",
        "load_5m",
        "load_15m",
        "context_switches",
    }


def test_without_proc_the_reason_is_named(machine: MachineOf) -> None:
    host = machine("container")
    host.remove("proc/stat")

    with pytest.raises(Unavailable, match="/proc/stat"):
        CpuPlugin(host).probe()
