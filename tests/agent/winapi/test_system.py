"""The machine's clocks and its processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from companion_agent.platforms.windows.platform import WindowsPlatform
from companion_agent.winapi import system
from support.windows_api import FakeWindows

if TYPE_CHECKING:
    import ctypes

MINUTES = 60


def clocks(awake: float, total: float) -> FakeWindows:
    """Have a system that was started some seconds ago and slept a part of them."""

    def time_awake(units: ctypes.c_uint64) -> int:
        units.value = int(awake * 10**7)
        return 1

    return FakeWindows(
        {
            "kernel32.QueryUnbiasedInterruptTime": time_awake,
            "kernel32.GetTickCount64": lambda: int(total * 1000),
        }
    )


def test_sleep_is_what_one_clock_counts_and_the_other_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks(awake=10 * MINUTES, total=25 * MINUTES).install(monkeypatch)

    assert WindowsPlatform().suspended_time() == 15 * MINUTES


def test_a_machine_that_never_slept_did_not_sleep_less_than_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks(awake=600.01, total=600).install(monkeypatch)

    assert WindowsPlatform().suspended_time() == 0


def test_a_windows_that_does_not_say_how_long_it_was_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = clocks(awake=0, total=600).install(monkeypatch)
    windows.functions["kernel32.QueryUnbiasedInterruptTime"] = lambda _: windows.fail(87)

    assert WindowsPlatform().suspended_time() is None


@pytest.mark.parametrize(
    ("number", "name"), [(9, "AMD64"), (12, "ARM64"), (0, "x86"), (0xFFFF, "")]
)
def test_the_processor_has_the_name_that_windows_gives_it(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    def tell(info: system.SystemInfo) -> None:
        info.architecture = number

    FakeWindows({"kernel32.GetNativeSystemInfo": tell}).install(monkeypatch)

    assert system.architecture() == name
