"""The brightness of built-in screens in the session helper: logind is played, sysfs a tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.platforms.linux.async_bus import AsyncBus
from companion_agent.platforms.linux.backlight import backlights
from companion_agent.platforms.linux.files import Files
from support.agent_logind import MANAGER_PATH, SESSION
from support.agent_machines import build
from support.agent_wayland import FakeCompositor, FakeMonitor

from .screens import started, switch

if TYPE_CHECKING:
    from pathlib import Path

    from support.agent_logind import FakeLogind
    from support.agent_machines import FakeMachine

pytestmark = pytest.mark.proves("screen.brightness")

BRIGHTNESS = Thing("brightness", "eDP-1")
ON = Thing("on", "eDP-1")
DEVICE = "sys/class/backlight/intel_backlight"
# As logind does it: the value is written before the answer.
OBEYS = (
    "open('{root}/sys/class/' + args[0] + '/' + args[1] + '/brightness', 'w').write(str(args[2]))"
)


def system_bus() -> AsyncBus:
    return AsyncBus("SYSTEM", lambda _: None)


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "laptop").mkdir()
    return build("thinkpad", tmp_path / "laptop")


def play_session(logind: FakeLogind, code: str) -> None:
    """Have the session of the caller set brightness in some way."""
    path = f"{MANAGER_PATH}/session/auto"
    method = ("SetBrightness", "ssu", "", code)
    logind.mock(MANAGER_PATH, "AddObject", "ssa{sv}a(ssss)", path, SESSION, {}, [method])


@pytest.mark.parametrize(
    ("percent", "raw", "read"), [(50, 426, 50), (100, 852, 100), (1, 9, 1), (0, 0, 0)]
)
def test_a_screen_is_dimmed_and_read_back(
    laptop: FakeMachine, logind: FakeLogind, percent: int, raw: int, read: int
) -> None:
    play_session(logind, OBEYS.format(root=laptop.root))

    async def play() -> None:
        async with started(files=Files(laptop.root), system=system_bus) as (domain, context):
            assert context.values[BRIGHTNESS] == 79
            await domain.call(BRIGHTNESS, {"value": percent})
            assert context.values[BRIGHTNESS] == read

    asyncio.run(play())
    assert (laptop.root / DEVICE / "brightness").read_text() == str(raw)


def test_what_says_yes_and_does_nothing_has_failed(laptop: FakeMachine, logind: FakeLogind) -> None:
    play_session(logind, "")

    async def play() -> None:
        async with started(files=Files(laptop.root), system=system_bus) as (domain, context):
            with pytest.raises(CommandError, match="eDP-1 was set to 20 %, it is at 79 %"):
                await domain.call(BRIGHTNESS, {"value": 20})
            assert context.values[BRIGHTNESS] == 79

    asyncio.run(play())


def test_a_refusal_says_why(laptop: FakeMachine, logind: FakeLogind) -> None:
    refuse = "raise dbus.exceptions.DBusException('Session is not in foreground, refusing')"
    play_session(logind, refuse)

    async def play() -> None:
        async with started(files=Files(laptop.root), system=system_bus) as (domain, _):
            with pytest.raises(CommandError, match="not in foreground"):
                await domain.call(BRIGHTNESS, {"value": 20})

    asyncio.run(play())


def test_a_machine_without_a_backlight_says_so(tmp_path: Path, logind: FakeLogind) -> None:
    async def play() -> None:
        async with started(files=Files(tmp_path), system=system_bus) as (_, context):
            assert BRIGHTNESS not in context.offered.commands
            assert "no built-in screen has a backlight" in context.offered.why["brightness"]

    asyncio.run(play())


def test_the_only_monitor_is_switched_by_its_name_too(
    laptop: FakeMachine, logind: FakeLogind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(laptop.root))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
    monitor = FakeMonitor("eDP-1")

    async def play() -> None:
        async with started(files=Files(laptop.root), system=system_bus) as (domain, context):
            await switch(domain, 0, "eDP-1")
            assert monitor.on is False
            assert (context.values[Thing("on")], context.values[ON]) == (False, False)

    manager = "zwlr_output_power_manager_v1"
    with FakeCompositor(laptop.root / "wayland-7", manager, monitor):
        asyncio.run(play())


# --- Which backlight is which ------------------------------------------------------------------


def test_the_firmwares_word_counts_more_than_registers(laptop: FakeMachine) -> None:
    laptop.write("sys/class/backlight/acpi_video0/max_brightness", "15")
    laptop.write("sys/class/backlight/acpi_video0/type", "firmware")

    assert [one.device for one in backlights(Files(laptop.root))] == ["acpi_video0"]


def test_a_backlight_without_a_connector_is_of_the_built_in_screen(tmp_path: Path) -> None:
    pi = build("raspberry-pi", tmp_path)
    for name, content in (("max_brightness", "255"), ("brightness", "128"), ("type", "raw")):
        pi.write(f"sys/class/backlight/10-0045/{name}", content)
    assert [one.panel for one in backlights(Files(pi.root))] == ["10-0045"]

    pi.write("sys/class/drm/card0-DSI-1/status", "connected")
    assert [one.panel for one in backlights(Files(pi.root))] == ["DSI-1"]


def test_a_backlight_that_cannot_be_read_is_none(laptop: FakeMachine) -> None:
    laptop.fail(f"{DEVICE}/max_brightness")

    assert backlights(Files(laptop.root)) == []
