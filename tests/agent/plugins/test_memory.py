"""Memory and swap space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.plugins.memory import MemoryPlugin

if TYPE_CHECKING:
    from support.agent_screen import MachineOf, ScreenOf

pytestmark = pytest.mark.proves("memory.*")

KIB, MIB = 1024, 1024 * 1024


def test_memory_in_use_leaves_out_what_can_be_freed(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(MemoryPlugin(machine("thinkpad"))).look()

    assert seen["percent"] == 40.0
    assert abs(seen["used"] - (16096508 - 9654320) * KIB) < MIB
    assert seen["used"] % MIB == 0
    assert seen["swap_percent"] == 3.1


ARCSTATS = """13 1 0x01 147 39984 5296186 85474
name                            type data
hits                            4    1000
c_min                           4    {c_min}
c_max                           4    8000000000
size                            4    {size}
"""


@pytest.mark.parametrize(
    ("c_min", "size", "percent"),
    [
        pytest.param(500_000 * KIB, 2_500_000 * KIB, 27.6, id="what can be freed is not in use"),
        pytest.param(500_000 * KIB, 400_000 * KIB, 40.0, id="below its minimum nothing is freed"),
        pytest.param(0, 10_000_000 * KIB, 40.0, id="more than is in use is another machine's"),
    ],
)
def test_the_cache_of_zfs_is_not_in_use(
    machine: MachineOf, screen: ScreenOf, c_min: int, size: int, percent: float
) -> None:
    host = machine("thinkpad")
    host.write("proc/spl/kstat/zfs/arcstats", ARCSTATS.format(c_min=c_min, size=size))

    assert screen(MemoryPlugin(host)).look()["percent"] == percent


def test_the_cache_of_a_container_s_host_is_not_the_container_s(
    machine: MachineOf, screen: ScreenOf
) -> None:
    host = machine("thinkpad")
    host.write("run/systemd/container", "lxc")
    host.write("proc/spl/kstat/zfs/arcstats", ARCSTATS.format(c_min=0, size=1_000_000 * KIB))

    assert screen(MemoryPlugin(host)).look()["percent"] == 40.0


def test_without_swap_space_nothing_is_said_of_it(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(MemoryPlugin(machine("raspberry-pi"))).look()

    assert set(seen) == {"percent", "used", "available", "total"}


def test_swap_space_comes_and_goes(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(MemoryPlugin(host))
    host.change("proc/meminfo", "SwapTotal:       8388604 kB", "SwapTotal: 0 kB")

    assert "swap_used" not in shown.look()


def test_an_old_kernel_without_an_estimate(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(MemoryPlugin(machine("container"))).look()

    assert seen["available"] == round((1024000 + 10000 + 200000) * KIB / MIB) * MIB


def test_a_few_pages_are_no_change(machine: MachineOf, screen: ScreenOf) -> None:
    host = machine("thinkpad")
    shown = screen(MemoryPlugin(host))
    before = dict(shown.look())
    host.change("proc/meminfo", "MemAvailable:    9654320", "MemAvailable:    9624320")

    assert shown.look() == before
