"""Memory and swap space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.plugins.memory import MemoryPlugin

if TYPE_CHECKING:
    from screen import MachineOf, ScreenOf

KIB, MIB = 1024, 1024 * 1024


def test_memory_in_use_leaves_out_what_can_be_freed(machine: MachineOf, screen: ScreenOf) -> None:
    seen = screen(MemoryPlugin(machine("thinkpad"))).look()

    assert seen["percent"] == 40.0
    assert abs(seen["used"] - (16096508 - 9654320) * KIB) < MIB
    assert seen["used"] % MIB == 0
    assert seen["swap_percent"] == 3.1


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
