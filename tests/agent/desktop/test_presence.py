"""Whether a session is in use: told by compositors, GNOME, X servers and logind."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.platforms.linux.async_bus import AsyncBus
from companion_agent.plugins.presence.helper import PresenceDomain
from companion_agent.plugins.presence.mutter import MONITOR
from support.agent_logind import MANAGER, MOCK, SESSION
from support.agent_wayland_desktop import NOTIFIER, SEAT, FakeDesktop

from .domains import started
from .xservers import XPrograms, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_desktop import FakeContext
    from support.agent_logind import FakeLogind, SystemBus

pytestmark = pytest.mark.proves("presence.*")

IN_USE, SINCE = Thing("in_use"), Thing("since")


def since(context: FakeContext) -> datetime:
    return datetime.fromisoformat(str(context.values[SINCE]))


def system_bus() -> AsyncBus:
    return AsyncBus("SYSTEM", lambda _: None)


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)


# --- Compositors -----------------------------------------------------------------------------


@pytest.fixture
def compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FakeDesktop]]:
    """Start a compositor, that of the session."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
    with ExitStack() as stack:
        yield lambda **versions: stack.enter_context(FakeDesktop(tmp_path / "wayland-7", versions))


@pytest.mark.parametrize(("version", "request_"), [(1, 1), (2, 2)])
def test_a_compositor_tells_when_a_session_is_left_and_used_again(
    compose: Callable[..., FakeDesktop], version: int, request_: int
) -> None:
    compositor = compose(**{SEAT: 9, NOTIFIER: version})

    async def play() -> None:
        begun = datetime.now(UTC) - timedelta(seconds=1)
        async with started(PresenceDomain, {"idle_after": 600}) as context:
            assert compositor.asked == [(request_, 600_000)]
            assert context.values[IN_USE] is True
            assert since(context) >= begun
            compositor.idle(idle=True)
            await context.until(lambda: context.values[IN_USE] is False)
            assert since(context) < begun - timedelta(seconds=590)
            compositor.idle(idle=False)
            await context.until(lambda: context.values[IN_USE] is True)
            assert since(context) >= begun

    asyncio.run(play())


def test_a_compositor_that_does_not_tell(compose: Callable[..., FakeDesktop]) -> None:
    compose(**{SEAT: 9})

    async def play() -> None:
        async with started(PresenceDomain) as context:
            assert context.offered.empty
            assert "no ext-idle-notify" in context.offered.why[""]

    asyncio.run(play())


def test_a_session_ends_with_its_compositor(compose: Callable[..., FakeDesktop]) -> None:
    compositor = compose(**{SEAT: 9, NOTIFIER: 1})

    async def play() -> None:
        async with started(PresenceDomain) as context:
            compositor.end()
            await context.until(lambda: context.ended)

    asyncio.run(play())


# --- GNOME -----------------------------------------------------------------------------------


class FakeMutter:
    """GNOME's compositor, as far as it watches for idleness."""

    def __init__(self, bus: SystemBus) -> None:
        self._bus = bus
        bus.serve(*MONITOR)
        for name, takes, gives, code in (
            ("AddIdleWatch", "t", "u", "self.interval = args[0]; ret = 1"),
            ("AddUserActiveWatch", "", "u", "ret = 2"),
            ("RemoveWatch", "u", "", ""),
        ):
            self._mock("AddMethod", "sssss", MONITOR.interface, name, takes, gives, code)
        self.idle_for(0)

    def idle_for(self, milliseconds: int) -> None:
        code = f"ret = {milliseconds}"
        self._mock("AddMethod", "sssss", MONITOR.interface, "GetIdletime", "", "t", code)

    def fire(self, watch: int) -> None:
        self._mock("EmitSignal", "sssav", MONITOR.interface, "WatchFired", "u", [("u", watch)])

    def calls(self, method: str) -> list[Any]:
        (calls,) = self._bus.call(
            MONITOR.service, MONITOR.path, MOCK, "GetMethodCalls", "s", method
        )
        return [[value for _, value in args] for _, args in calls]

    def _mock(self, method: str, signature: str, *args: Any) -> None:
        self._bus.call(MONITOR.service, MONITOR.path, MOCK, method, signature, *args)


def test_gnome_tells_when_a_session_is_left_and_used_again(
    bus: SystemBus, no_display: None
) -> None:
    mutter = FakeMutter(bus)

    async def play() -> None:
        async with started(PresenceDomain, {"idle_after": 60}, session=system_bus) as context:
            assert context.values[IN_USE] is True
            assert await asyncio.to_thread(mutter.calls, "AddIdleWatch") == [[60_000]]
            await asyncio.to_thread(mutter.idle_for, 61_000)
            await asyncio.to_thread(mutter.fire, 1)
            await context.until(lambda: context.values[IN_USE] is False)
            assert since(context) < datetime.now(UTC) - timedelta(seconds=60)
            await asyncio.to_thread(mutter.fire, 2)
            await context.until(lambda: context.values[IN_USE] is True)
            # Each watch for a movement is good for one.
            await asyncio.to_thread(mutter.fire, 1)
            await context.until(lambda: context.values[IN_USE] is False)
        assert len(await asyncio.to_thread(mutter.calls, "AddUserActiveWatch")) == 2

    asyncio.run(play())


def test_gnome_was_left_before_the_helper_came(bus: SystemBus, no_display: None) -> None:
    mutter = FakeMutter(bus)
    mutter.idle_for(3_600_000)

    async def play() -> None:
        async with started(PresenceDomain, session=system_bus) as context:
            assert context.values[IN_USE] is False
            assert since(context) < datetime.now(UTC) - timedelta(minutes=59)

    asyncio.run(play())


# --- X11 -------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from serve(monkeypatch)


def test_a_real_x_server_tells_when_a_session_is_left_and_used_again(server: str) -> None:
    async def play() -> None:
        async with XPrograms() as hand:
            await hand.move_the_mouse()
            async with started(PresenceDomain, {"idle_after": 0.5}) as context:
                assert context.offered.way == "X11's IDLETIME"
                for _ in range(2):
                    await context.until(lambda: context.values[IN_USE] is False)
                    await hand.move_the_mouse()
                    await context.until(lambda: context.values[IN_USE] is True)

    asyncio.run(play())


# --- logind ----------------------------------------------------------------------------------


@pytest.fixture
def anna(logind: FakeLogind, no_display: None) -> str:
    """The session of one whose desktop has not told anything of idleness."""
    path = logind.add_session("1", 1000, "anna")
    logind.method(MANAGER, "GetSession", "s", "o", f"ret = '{path}'")
    hint(logind, path, idle=False, since=0)
    return path


def hint(logind: FakeLogind, path: str, *, idle: bool, since: int) -> None:
    changed = {"IdleHint": ("b", idle), "IdleSinceHint": ("t", since * 1_000_000)}
    logind.mock(path, "UpdateProperties", "sa{sv}", SESSION, changed)


def test_a_desktop_that_only_tells_logind(logind: FakeLogind, anna: str) -> None:
    hint(logind, anna, idle=True, since=1_700_000_000)

    async def play() -> None:
        async with started(PresenceDomain, system=system_bus) as context:
            assert "logind's IdleHint" in context.offered.way
            assert context.values[IN_USE] is False
            assert since(context) == datetime.fromtimestamp(1_700_000_000, UTC)
            await asyncio.to_thread(hint, logind, anna, idle=False, since=1_700_000_060)
            await context.until(lambda: context.values[IN_USE] is True)

    asyncio.run(play())


def test_a_desktop_that_tells_logind_later_on(logind: FakeLogind, anna: str) -> None:
    async def play() -> None:
        async with started(PresenceDomain, system=system_bus) as context:
            assert context.offered.empty
            assert "has not told logind" in context.offered.why[""]
            await asyncio.to_thread(hint, logind, anna, idle=True, since=1_700_000_000)
            await context.until(lambda: not context.offered.empty)
            assert context.values[IN_USE] is False

    asyncio.run(play())


def test_a_session_without_windows_is_not_judged(logind: FakeLogind, no_display: None) -> None:
    path = logind.add_session("1", 1000, "anna", Type="tty")
    logind.method(MANAGER, "GetSession", "s", "o", f"ret = '{path}'")

    async def play() -> None:
        async with started(PresenceDomain, system=system_bus) as context:
            assert "this session has no windows" in context.offered.why[""]

    asyncio.run(play())
