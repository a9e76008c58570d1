"""The screen in the session helper, at compositors of all sorts."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.platforms.linux.async_bus import AsyncBus
from companion_agent.platforms.linux.dbus import Target
from companion_agent.plugins.screen import power
from companion_agent.plugins.screen.mutter import CONFIG
from support.agent_logind import MOCK
from support.agent_wayland import FakeCompositor, FakeMonitor

from .screens import ON, TIME_OUT, set_time_out, started, switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_logind import SystemBus

pytestmark = pytest.mark.proves("screen.on", "screen.keep_awake", "screen.time_out")

WLROOTS = "zwlr_output_power_manager_v1"
KDE = "org_kde_kwin_dpms_manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
DCONF = Target("ca.desrt.dconf", "/ca/desrt/dconf/Writer/user", "ca.desrt.dconf.Writer")


@pytest.fixture
def compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FakeCompositor]]:
    """Start a compositor, that of the session."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
    with ExitStack() as stack:
        yield lambda manager, *monitors: stack.enter_context(
            FakeCompositor(tmp_path / "wayland-7", manager, *monitors)
        )


@pytest.mark.parametrize("manager", [WLROOTS, KDE])
def test_a_screen_is_switched_and_read_back(
    compose: Callable[..., FakeCompositor], manager: str
) -> None:
    screen = FakeMonitor("DP-1")
    compose(manager, screen)

    async def play() -> None:
        async with started() as (domain, context):
            assert context.offered.commands == (ON,)
            assert context.offered.why["time_out"]
            assert context.values == {ON: True}
            await switch(domain, 0)
            assert (screen.on, context.values) == (False, {ON: False})
            await switch(domain, 1)
            assert (screen.on, context.values) == (True, {ON: True})
            assert context.events == []

    asyncio.run(play())


def test_several_monitors_are_switched_together_and_alone(
    compose: Callable[..., FakeCompositor],
) -> None:
    left, right = FakeMonitor("DP-1"), FakeMonitor("DP-2")
    compose(WLROOTS, left, right)

    async def play() -> None:
        async with started() as (domain, context):
            await switch(domain, 0, "DP-2")
            assert context.values == {
                ON: True,
                Thing("on", "DP-1"): True,
                Thing("on", "DP-2"): False,
            }
            await switch(domain, 0)
            assert not any(context.values.values())
            with pytest.raises(CommandError, match="DP-9 is not there"):
                await switch(domain, 0, "DP-9")

    asyncio.run(play())


@pytest.mark.parametrize("manager", [WLROOTS, KDE])
def test_what_says_yes_and_does_nothing_has_failed(
    compose: Callable[..., FakeCompositor], manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "SWITCH_LIMIT", 0.05)
    compose(manager, FakeMonitor("DP-1", obeys=False))

    async def play() -> None:
        async with started() as (domain, context):
            with pytest.raises(CommandError, match="DP-1 is still on"):
                await switch(domain, 0)
            assert context.values == {ON: True}

    asyncio.run(play())


@pytest.mark.parametrize("manager", [WLROOTS, KDE])
def test_what_cannot_be_switched_is_left_out_with_its_reason(
    compose: Callable[..., FakeCompositor], manager: str
) -> None:
    compose(manager, FakeMonitor("DP-1", switchable=False))

    async def play() -> None:
        async with started() as (_, context):
            assert context.offered.commands == ()
            assert (
                "DP-1: the compositor says that it cannot be switched" in context.offered.why["on"]
            )

    asyncio.run(play())


def test_a_compositor_without_such_a_protocol(compose: Callable[..., FakeCompositor]) -> None:
    compose("", FakeMonitor("DP-1"))

    async def play() -> None:
        async with started() as (_, context):
            assert "no wlr-output-power-management" in context.offered.why["on"]

    asyncio.run(play())


def test_no_desktop_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    async def play() -> None:
        async with started() as (_, context):
            assert context.offered.readings == ()
            assert "no Wayland session" in context.offered.why["on"]

    asyncio.run(play())


def test_a_change_by_hand_is_an_event(compose: Callable[..., FakeCompositor]) -> None:
    screen = FakeMonitor("DP-1")
    compositor = compose(WLROOTS, screen)

    async def play() -> None:
        async with started() as (_, context):
            compositor.by_hand(screen, on=False)
            await context.until(lambda: context.events)
            assert (context.events, context.values) == ([("turned_off", {})], {ON: False})
            compositor.by_hand(screen, on=True)
            await context.until(lambda: len(context.events) == 2)
            assert context.events[1] == ("turned_on", {})

    asyncio.run(play())


def test_monitors_come_and_go(compose: Callable[..., FakeCompositor]) -> None:
    left, right = FakeMonitor("DP-1"), FakeMonitor("DP-2", on=False)
    compositor = compose(WLROOTS, left)

    async def play() -> None:
        async with started() as (_, context):
            compositor.plug(right)
            await context.until(lambda: Thing("on", "DP-2") in context.offered.readings)
            assert context.values[Thing("on", "DP-2")] is False
            compositor.unplug(right)
            await context.until(lambda: context.offered.readings == (ON,))

    asyncio.run(play())


def test_a_session_ends_with_its_compositor(compose: Callable[..., FakeCompositor]) -> None:
    compositor = compose(WLROOTS, FakeMonitor("DP-1"))

    async def play() -> None:
        async with started() as (_, context):
            compositor.end()
            await context.until(lambda: context.ended)

    asyncio.run(play())


# --- GNOME -----------------------------------------------------------------------------------


class FakeMutter:
    """GNOME's compositor, as far as its power-save mode goes."""

    def __init__(self, bus: SystemBus, mode: int = 0) -> None:
        self._bus = bus
        bus.serve(*CONFIG)
        self._mock("AddProperty", "ssv", CONFIG.interface, "PowerSaveMode", ("i", mode))

    @staticmethod
    def bus() -> AsyncBus:
        """Connect as to the session's bus."""
        return AsyncBus("SYSTEM", lambda _: None)

    @property
    def mode(self) -> int:
        asked = ("Get", "ss", CONFIG.interface, "PowerSaveMode")
        ((_, mode),) = self._bus.call(CONFIG.service, CONFIG.path, PROPERTIES, *asked)
        return int(mode)

    def by_hand(self, mode: int) -> None:
        changed = {"PowerSaveMode": ("i", mode)}
        self._mock("UpdateProperties", "sa{sv}", CONFIG.interface, changed)

    def _mock(self, method: str, signature: str, *args: Any) -> None:
        self._bus.call(CONFIG.service, CONFIG.path, MOCK, method, signature, *args)


_GSETTINGS = """\
#!/bin/sh
[ "$2 $3" = "org.gnome.desktop.session idle-delay" ] || exit 9
case "$1" in
    get) echo "uint32 $(cat "$0.value")" ;;
    set) [ ! -e "$0.locked" ] || { echo "The key is not writable" >&2; exit 1; }
        echo "$4" > "$0.value" ;;
esac
"""


@pytest.fixture
def gsettings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program for GNOME's settings, as its manual describes it; the value is beside it."""
    program = tmp_path / "gsettings"
    program.write_text(_GSETTINGS)
    program.chmod(0o755)
    program.with_suffix(".value").write_text("300")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return program


def test_gnomes_screen_is_switched_and_read_back(bus: SystemBus, gsettings: Path) -> None:
    mutter = FakeMutter(bus)

    async def play() -> None:
        async with started(session=mutter.bus) as (domain, context):
            assert context.offered.commands == (ON, TIME_OUT)
            assert context.values[ON] is True
            await switch(domain, 0)
            assert await asyncio.to_thread(lambda: mutter.mode) == 3
            assert context.values[ON] is False
            await asyncio.to_thread(mutter.by_hand, 0)
            await context.until(lambda: context.events)
            assert (context.events, context.values[ON]) == ([("turned_on", {})], True)

    asyncio.run(play())


def test_gnomes_time_out_is_set_and_read_back(bus: SystemBus, gsettings: Path) -> None:
    mutter = FakeMutter(bus)
    bus.serve(*DCONF)

    async def play() -> None:
        async with started(session=mutter.bus) as (domain, context):
            assert context.values[TIME_OUT] == 300
            await set_time_out(domain, 600)
            assert context.values[TIME_OUT] == 600

            gsettings.with_suffix(".value").write_text("0")
            told = [("s", "/org/gnome/desktop/session/"), ("as", ["idle-delay"]), ("s", "tag")]
            emit = ("EmitSignal", "sssav", DCONF.interface, "Notify", "sass", told)
            await asyncio.to_thread(bus.call, DCONF.service, DCONF.path, MOCK, *emit)
            await context.until(lambda: context.values[TIME_OUT] == 0)

    asyncio.run(play())


def test_a_time_out_that_an_administrator_has_locked_is_refused(
    bus: SystemBus, gsettings: Path
) -> None:
    mutter = FakeMutter(bus)
    gsettings.with_suffix(".locked").touch()

    async def play() -> None:
        async with started(session=mutter.bus) as (domain, context):
            with pytest.raises(CommandError, match="The key is not writable"):
                await set_time_out(domain, 600)
            assert context.values[TIME_OUT] == 300

    asyncio.run(play())


def test_without_gnomes_program_for_settings_there_is_no_time_out(
    bus: SystemBus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    mutter = FakeMutter(bus)

    async def play() -> None:
        async with started(session=mutter.bus) as (_, context):
            assert context.offered.commands == (ON,)
            assert "gsettings is not installed" in context.offered.why["time_out"]

    asyncio.run(play())


def test_gnome_without_a_screen_to_switch(bus: SystemBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    mutter = FakeMutter(bus, mode=-1)

    async def play() -> None:
        async with started(session=mutter.bus) as (_, context):
            assert context.offered.readings == ()
            assert "the screen cannot be switched" in context.offered.why["on"]

    asyncio.run(play())
