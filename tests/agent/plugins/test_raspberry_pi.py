"""What a Raspberry Pi's firmware complains about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux import raspberry_pi
from companion_agent.plugins.raspberry_pi import RaspberryPiPlugin
from support.agent_machines import build

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_machines import FakeMachine

pytestmark = pytest.mark.proves("rpi.*")

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
ALARM = "sys/devices/platform/soc/soc:firmware/raspberrypi-hwmon/hwmon/hwmon1/in0_lcrit_alarm"
FINE = dict.fromkeys(
    ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"), False
)


@pytest.fixture
def pi(tmp_path: Path) -> FakeMachine:
    machine = build("raspberry-pi", tmp_path)
    machine._pi.ask = lambda: None
    return machine


@pytest.fixture
def collector(pi: FakeMachine) -> RaspberryPiPlugin:
    collector = RaspberryPiPlugin(pi)
    collector.probe()
    return collector


def test_all_is_well_now_whatever_was_before(collector: RaspberryPiPlugin) -> None:
    assert collector.collect() == FINE
    assert [reading.key for reading in collector.readings()] == list(FINE)


@pytest.mark.parametrize(
    ("bits", "flags"),
    [
        ("50001", {"under_voltage"}),
        ("50005", {"under_voltage", "throttled"}),
        ("50002", {"frequency_capped"}),
        ("50008", {"soft_temperature_limit"}),
        ("f000f", set(FINE)),
    ],
)
def test_what_is_so_now(
    pi: FakeMachine, collector: RaspberryPiPlugin, bits: str, flags: set[str]
) -> None:
    pi.write(FIRMWARE, f"{bits}\n")

    assert {name for name, value in collector.collect().items() if value} >= flags


def test_what_came_and_went_between_two_reads(
    pi: FakeMachine, collector: RaspberryPiPlugin
) -> None:
    pi.write(FIRMWARE, "d0000\n")

    assert collector.collect() == FINE | {"soft_temperature_limit": True}
    assert collector.collect() == FINE


def test_the_kernel_s_alarm_counts_too(pi: FakeMachine, collector: RaspberryPiPlugin) -> None:
    pi.write(ALARM, "1\n")

    assert collector.collect() == FINE | {"under_voltage": True}


def test_the_firmware_of_a_pi_5(pi: FakeMachine) -> None:
    node = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware"
    pi.remove("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware")
    pi.remove(FIRMWARE)
    pi.write(f"{node}/get_throttled", "50001\n")
    link = pi.root / "sys/bus/platform/drivers/raspberrypi-firmware/soc@107c000000:firmware"
    link.symlink_to(pi.root / node)

    assert RaspberryPiPlugin(pi).collect() == FINE | {"under_voltage": True}


def test_where_only_vcgencmd_tells(pi: FakeMachine) -> None:
    pi.remove(FIRMWARE)
    pi._pi.ask = lambda: "throttled=0x50005\n"

    assert RaspberryPiPlugin(pi).collect() == FINE | {"under_voltage": True, "throttled": True}


def test_where_only_the_voltage_is_known(pi: FakeMachine) -> None:
    pi.remove(FIRMWARE)

    assert RaspberryPiPlugin(pi).collect() == {"under_voltage": False}


def test_a_read_that_fails_once_takes_no_reading_away(
    pi: FakeMachine, collector: RaspberryPiPlugin
) -> None:
    pi.remove(FIRMWARE)

    assert collector.collect() == dict.fromkeys(FINE) | {"under_voltage": False}
    assert len(collector.readings()) == 4


def test_where_nothing_tells(pi: FakeMachine) -> None:
    pi.remove(FIRMWARE)
    pi.remove(ALARM)

    with pytest.raises(Unavailable, match="neither the kernel nor vcgencmd") as caught:
        RaspberryPiPlugin(pi).probe()
    assert "group 'video'" in caught.value.hint


def test_another_computer(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not a Raspberry Pi"):
        RaspberryPiPlugin(build("thinkpad", tmp_path)).probe()


@pytest.mark.parametrize("text", ["", "x", "throttled=", "123456789", "-1", None])
def test_what_is_no_answer(text: str | None) -> None:
    assert raspberry_pi.parse_throttled(text) is None


@pytest.mark.skipif(sys.platform == "win32", reason="vcgencmd is for Linux")
def test_vcgencmd_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert raspberry_pi.ask_firmware() is None
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x0\n")
    program.chmod(0o755)

    assert raspberry_pi.parse_throttled(raspberry_pi.ask_firmware()) == 0
