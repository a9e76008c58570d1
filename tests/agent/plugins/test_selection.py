"""What is not selected is neither opened nor asked."""

from __future__ import annotations

from contextlib import suppress
import os
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Selection
from companion_agent.plugins.battery import BatteryPlugin
from companion_agent.plugins.disk import DiskPlugin
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.temperature import TemperaturePlugin
from companion_agent.plugins.wifi import WifiPlugin

if TYPE_CHECKING:
    from companion_agent.plugins.base import Collector
    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf, ScreenOf


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened, in order."""
    paths: list[str] = []
    really_open = os.open

    def watch(path: str, *arguments: int, **more: int) -> int:
        paths.append(str(path))
        return really_open(path, *arguments, **more)

    monkeypatch.setattr("companion_agent.platforms.linux.files.os.open", watch)
    return paths


def with_a_disk_s_sensor(host: FakeMachine) -> FakeMachine:
    host.write("sys/class/hwmon/hwmon9/name", "drivetemp\n")
    host.write("sys/class/hwmon/hwmon9/temp1_input", "31000\n")
    return host


@pytest.mark.parametrize(
    ("name", "plugin", "exclude", "untouched"),
    [
        pytest.param("thinkpad", TemperaturePlugin, "drivetemp*", "hwmon9/temp1_input", id="disk"),
        pytest.param("amd-desktop", TemperaturePlugin, "amdgpu *", "0b:00.0/hwmon", id="graphics"),
        pytest.param("amd-desktop", FanPlugin, "nct6798 *", "fan2_input", id="fan"),
        pytest.param("thinkpad", BatteryPlugin, "BAT*", "BAT0/uevent", id="battery"),
    ],
)
def test_what_is_excluded_is_not_read(
    machine: MachineOf,
    opened: list[str],
    name: str,
    plugin: type[Collector],
    exclude: str,
    untouched: str,
) -> None:
    host = with_a_disk_s_sensor(machine(name))
    selected = plugin(host, Selection(exclude=(exclude,)))
    try_to_read(selected)
    opened.clear()

    try_to_read(selected)

    assert [path for path in opened if untouched in path and not path.endswith("_label")] == []


def test_the_same_is_read_when_it_is_not_excluded(machine: MachineOf, opened: list[str]) -> None:
    TemperaturePlugin(with_a_disk_s_sensor(machine("thinkpad"))).collect()

    assert any(path.endswith("hwmon9/temp1_input") for path in opened)


def test_what_is_not_included_is_not_read(machine: MachineOf, opened: list[str]) -> None:
    host = with_a_disk_s_sensor(machine("thinkpad"))

    TemperaturePlugin(host, Selection(include=("nvme *",))).collect()

    inputs = [path for path in opened if path.endswith("_input")]
    assert len(inputs) == 1


def test_an_excluded_wi_fi_interface_is_not_asked(machine: MachineOf) -> None:
    host = machine("thinkpad")
    asked: list[int] = []
    host._wifi.ask = lambda index: asked.append(index) or (None, None)

    with pytest.raises(Unavailable, match="no Wi-Fi interface is selected"):
        WifiPlugin(host, Selection(exclude=("wlp*",))).collect()

    assert asked == []


def test_an_excluded_file_system_is_not_asked(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    asked: list[str] = []
    answer = host.disk_usage
    host.disk_usage = lambda point: asked.append(point) or answer(point)  # type: ignore[method-assign]

    screen(DiskPlugin(host, Selection(exclude=("/home",)))).look()

    assert "/home" not in asked
    assert "/" in asked


def test_nothing_that_is_left_says_so(machine: MachineOf) -> None:
    host = machine("thinkpad")

    for plugin, noun in ((TemperaturePlugin, "sensor"), (BatteryPlugin, "battery")):
        with pytest.raises(Unavailable, match=f"no {noun} is selected"):
            plugin(host, Selection(exclude=("*",))).collect()


def try_to_read(plugin: Collector) -> None:
    """Read; where everything is excluded there is nothing."""
    with suppress(Unavailable):
        plugin.collect()
