"""Graphics cards, by the files of their drivers."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.models import Device, Selection
from companion_agent.platforms.linux.graphics import Graphics
from companion_agent.plugins.fan import FanPlugin
from companion_agent.plugins.graphics import GraphicsPlugin
from companion_agent.plugins.temperature import TemperaturePlugin
from support.clock import ManualClock

if TYPE_CHECKING:
    from companion_agent.plugins.base import Collector
    from support.agent_machines import FakeMachine
    from support.agent_screen import MachineOf, ScreenOf

AMD = "sys/devices/pci0000:00/0000:0b:00.0"
CHIP = f"{AMD}/hwmon/hwmon1"
QUEUES = "sys/devices/platform/v3dbus/fec00000.v3d/gpu_stats"
NAVI = "Radeon RX 5600 OEM/5600 XT / 5700/5700 XT"


def add_card(host: FakeMachine, address: str, driver: str, **files: str) -> str:
    """Put another card into a machine; return its folder."""
    folder = f"sys/devices/pci0000:00/{address}"
    number = len(list((host.root / "sys/class/drm").glob("card?"))) + 2
    host.write(f"sys/bus/pci/drivers/{driver}/module", "")
    for path, content in files.items():
        host.write(f"{folder}/{path.replace('__', '/')}", f"{content}\n")
    (host.root / folder / f"drm/card{number}").mkdir(parents=True)
    for link, target in (
        (f"{folder}/drm/card{number}/device", f"../../../{address}"),
        (f"{folder}/driver", f"../../../bus/pci/drivers/{driver}"),
        (f"{folder}/subsystem", "../../../bus/pci"),
        (f"sys/class/drm/card{number}", f"../../devices/pci0000:00/{address}/drm/card{number}"),
    ):
        (host.root / link).parent.mkdir(parents=True, exist_ok=True)
        (host.root / link).symlink_to(target)
    return folder


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


def devices(collector: Collector) -> dict[str, Device | None]:
    """Return the device of each reading."""
    return {reading.key: reading.device for reading in collector.readings()}


@pytest.mark.proves("graphics.percent", "graphics.memory_*", "graphics.power", "graphics.frequency")
def test_a_card_is_a_device_named_as_it_is_sold(machine: MachineOf) -> None:
    plugin = GraphicsPlugin(machine("amd-desktop"))
    plugin.probe()

    (device,) = set(devices(plugin).values())
    assert device == Device("graphics-0000-0b-00-0", f"AMD {NAVI}", "AMD", NAVI)


def test_a_card_without_a_list_of_names_is_called_by_its_maker(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    host.remove("usr/share/misc/pci.ids")
    plugin = GraphicsPlugin(host)
    plugin.probe()

    (device,) = set(devices(plugin).values())
    assert device == Device("graphics-0000-0b-00-0", "AMD Graphics", "AMD", "")


def test_two_cards_of_one_name_are_told_apart(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    add_card(host, "0000:0c:00.0", "amdgpu", vendor="0x1002", device="0x731f", gpu_busy_percent="3")
    plugin = GraphicsPlugin(host)
    plugin.probe()

    names = {device.name for device in devices(plugin).values() if device}
    assert names == {f"AMD {NAVI} 0000:0b:00.0", f"AMD {NAVI} 0000:0c:00.0"}


def test_a_sensor_of_a_card_belongs_to_its_device_under_the_key_that_it_had(
    machine: MachineOf,
) -> None:
    host = machine("amd-desktop")
    graphics = GraphicsPlugin(host)
    graphics.probe()
    card = devices(graphics)["0000-0b-00-0.percent"]
    temperatures, fans = TemperaturePlugin(host), FanPlugin(host)
    temperatures.probe()
    fans.probe()

    assert card is not None
    assert devices(temperatures)["amdgpu-0000-0b-00-0.temp1"] == card
    assert devices(fans)["amdgpu-0000-0b-00-0.fan1"] == card
    assert devices(temperatures)["k10temp-0000-00-18-3.temp1"] is None
    assert not any(key.endswith((".temperature", ".fan_percent")) for key in devices(graphics))


def test_a_card_that_sleeps_is_left_asleep(
    machine: MachineOf, screen: ScreenOf, opened: list[str]
) -> None:
    host = machine("amd-desktop")
    shown = screen(GraphicsPlugin(host))
    shown.look()
    host.write(f"{AMD}/power/runtime_status", "suspended\n")
    opened.clear()

    seen = shown.look()

    assert set(seen.values()) == {None}
    assert [path.rpartition("/")[2] for path in opened] == ["runtime_status"]


def test_a_card_that_sleeps_at_the_start_is_announced(
    machine: MachineOf, opened: list[str]
) -> None:
    host = machine("amd-desktop")
    host.write(f"{AMD}/power/runtime_status", "suspended\n")
    plugin = GraphicsPlugin(host)

    values = plugin.collect()

    assert values["0000-0b-00-0.percent"] is None
    assert len(values) == 7
    assert not any(path.endswith(("percent", "_input", "_average")) for path in opened)


def test_a_card_that_is_excluded_is_not_opened(machine: MachineOf, opened: list[str]) -> None:
    plugin = GraphicsPlugin(machine("amd-desktop"), Selection(exclude=("*0000:0b:00.0*",)))

    with pytest.raises(Unavailable, match="no graphics card is selected"):
        plugin.collect()

    names = {path.rpartition("/")[2] for path in opened}
    assert names <= {"vendor", "device", "product_name", "pci.ids", "compatible", "control"}


def test_cards_are_selected_by_name(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    add_card(host, "0000:00:02.0", "i915", vendor="0x8086", device="0x1234", gt_act_freq_mhz="300")

    values = GraphicsPlugin(host, Selection(include=("AMD *",))).collect()

    assert {key.partition(".")[0] for key in values} == {"0000-0b-00-0"}


@pytest.mark.proves("graphics.too_hot")
@pytest.mark.parametrize(
    ("celsius", "hot"),
    [
        pytest.param((99,), False, id="below its limit"),
        pytest.param((100,), True, id="at its limit"),
        pytest.param((100, 97), True, id="a little below after it was too hot"),
        pytest.param((100, 94), False, id="cool again"),
    ],
)
def test_a_card_is_too_hot_from_its_own_limit_on(
    machine: MachineOf, celsius: tuple[int, ...], hot: bool
) -> None:
    host = machine("amd-desktop")
    plugin = GraphicsPlugin(host)
    for degrees in celsius:
        host.write(f"{CHIP}/temp1_input", f"{degrees}000\n")
        values = plugin.collect()

    assert values["0000-0b-00-0.too_hot"] is hot


def test_what_a_driver_never_answers_is_left_out_with_the_reason(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    host.fail(f"{AMD}/gpu_busy_percent")
    plugin = GraphicsPlugin(host)

    values = plugin.collect()

    assert "0000-0b-00-0.percent" not in values
    assert values["0000-0b-00-0.power"] == 31
    assert plugin.left_out() == {f"AMD {NAVI} (0000:0b:00.0) percent": "its driver does not answer"}


def test_what_a_driver_does_not_answer_once_it_is_awake_is_left_out(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    host.fail(f"{AMD}/gpu_busy_percent")
    host.write(f"{AMD}/power/runtime_status", "suspended\n")
    plugin = GraphicsPlugin(host)
    asleep = plugin.collect()
    host.write(f"{AMD}/power/runtime_status", "active\n")

    awake = plugin.collect()

    assert asleep.keys() - awake.keys() == {"0000-0b-00-0.percent"}


def test_what_answered_once_stays_when_it_fails(machine: MachineOf) -> None:
    host = machine("amd-desktop")
    plugin = GraphicsPlugin(host)
    plugin.collect()
    host.fail(f"{AMD}/gpu_busy_percent")

    values = plugin.collect()

    assert values["0000-0b-00-0.percent"] is None
    assert values["0000-0b-00-0.power"] == 31


def test_a_card_that_hangs_takes_no_other_along(
    machine: MachineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.platforms.time_limit.PATIENCE", 0.2)
    monkeypatch.setattr("companion_agent.platforms.time_limit.STALL", 0.02)
    host = machine("amd-desktop")
    add_card(host, "0000:0c:00.0", "amdgpu", vendor="0x1002", gpu_busy_percent="3")
    plugin = GraphicsPlugin(host)
    plugin.collect()
    released = threading.Event()
    number = host._files.number

    def hang(path: str) -> int | None:
        if path == f"{AMD}/gpu_busy_percent":
            assert released.wait(20)
        return number(path)

    monkeypatch.setattr(host._files, "number", hang)

    values = plugin.collect()

    assert values["0000-0b-00-0.power"] is None
    assert values["0000-0c-00-0.percent"] == 3
    released.set()


def test_an_intel_card_says_why_its_use_is_absent(machine: MachineOf) -> None:
    plugin = GraphicsPlugin(machine("thinkpad"))

    assert plugin.collect() == {"0000-00-02-0.frequency": 350}
    assert plugin.left_out() == {
        "Intel Graphics (0000:00:02.0) percent": "i915 shows it to programs with CAP_PERFMON alone",
        "Intel Graphics (0000:00:02.0) memory_used": (
            "i915 does not show what other users' programs have"
        ),
    }


def test_an_intel_card_of_xe_draws_the_energy_between_two_readings(machine: MachineOf) -> None:
    host, clock = machine("container"), ManualClock()
    folder = add_card(
        host,
        "0000:03:00.0",
        "xe",
        vendor="0x8086",
        tile0__gt0__freq0__act_freq="2400",
        hwmon__hwmon4__energy1_input="5000000000",
    )
    graphics = Graphics(host._files, clock)
    (first,) = graphics.samples(lambda _: True)
    clock.advance(10)
    host.write(f"{folder}/hwmon/hwmon4/energy1_input", "5350000000\n")

    (second,) = graphics.samples(lambda _: True)

    assert first.values == {"frequency": 2400, "power": None}
    assert second.values == {"frequency": 2400, "power": 35}


def test_a_counter_of_energy_that_began_again_tells_nothing_once(machine: MachineOf) -> None:
    host, clock = machine("container"), ManualClock()
    folder = add_card(host, "0000:03:00.0", "i915", hwmon__hwmon4__energy1_input="5000000000")
    graphics = Graphics(host._files, clock)
    graphics.samples(lambda _: True)
    clock.advance(10)
    host.write(f"{folder}/hwmon/hwmon4/energy1_input", "1000\n")

    (sample,) = graphics.samples(lambda _: True)

    assert sample.values == {"power": None}


def test_a_raspberry_pi_s_busiest_queue_counts_also_while_the_chip_sleeps(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("raspberry-pi")
    shown = screen(GraphicsPlugin(host))
    # Of one second, half was worked for the first queue and 0.2 s for the second.
    host.change(QUEUES, "239043069420", "240043069420")
    host.change(QUEUES, "17438164056", "17938164056")
    host.change(QUEUES, "27284814161", "27484814161")

    assert shown.look() == {"fec00000-v3d.percent": 50}


@pytest.mark.parametrize(
    "text", ["", "queue\ttimestamp\n", "queue\ttimestamp\tjobs\truntime\nbin\tx\ty\tz\n"]
)
def test_queues_that_cannot_be_read_are_the_reason(machine: MachineOf, text: str) -> None:
    host = machine("raspberry-pi")
    host.write(QUEUES, text)

    with pytest.raises(Unavailable, match=r"VideoCore VI \(.*\) percent: its driver does not ans"):
        GraphicsPlugin(host).probe()


def test_a_card_of_a_server_s_board_tells_nothing(machine: MachineOf) -> None:
    host = machine("server")
    add_card(host, "0000:04:00.0", "ast", vendor="0x1a03", device="0x2000")

    with pytest.raises(Unavailable, match="no graphics card that can be read"):
        GraphicsPlugin(host).probe()


def test_a_card_is_plugged_in_and_taken_out(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("amd-desktop")
    shown = screen(GraphicsPlugin(host))
    before = set(shown.look())
    add_card(host, "0000:3f:00.0", "amdgpu", vendor="0x1002", gpu_busy_percent="60")
    plugged = set(shown.look())
    host.remove("sys/class/drm/card3")
    host.remove("sys/devices/pci0000:00/0000:3f:00.0")

    assert plugged - before == {"0000-3f-00-0.percent"}
    assert set(shown.look()) == before
