"""The screen of an X11 session: DPMS at a server that a test plays, blanking at a real one."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError
from companion_agent.platforms.linux import x11
from companion_agent.platforms.linux.x11 import X11Client, find_cookie
from companion_agent.plugins.screen import power, xserver
from support.agent_x11 import FakeXServer
from support.event_loop import PATIENCE, wait_until

from .screens import ON, TIME_OUT, set_time_out, started, switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.proves("screen.on", "screen.time_out")


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeXServer]]:
    """Start an X server, that of the session."""
    monkeypatch.setattr(x11, "_SOCKETS", tmp_path)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("XAUTHORITY", str(tmp_path / "cookies"))
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(FakeXServer(tmp_path / "X7", **how))


def test_monitors_are_switched_and_read_back(serve: Callable[..., FakeXServer]) -> None:
    server = serve()

    async def play() -> None:
        async with started() as (domain, context):
            assert "X11's DPMS" in context.offered.way
            assert context.values == {ON: True, TIME_OUT: 0}
            await switch(domain, 0)
            assert (server.level, context.values) == (3, {ON: False, TIME_OUT: 0})
            await switch(domain, 1)
            assert (server.level, context.values, context.events) == (
                0,
                {ON: True, TIME_OUT: 0},
                [],
            )

    asyncio.run(play())


def test_time_outs_that_a_user_has_switched_off_stay_off(
    serve: Callable[..., FakeXServer],
) -> None:
    server = serve()

    async def play() -> None:
        async with started() as (domain, _):
            await switch(domain, 0)
            assert server.enabled
            await switch(domain, 1)
            # The domain has nothing to say of it.
            await asyncio.to_thread(wait_until, lambda: not server.enabled)

    asyncio.run(play())


def test_the_time_out_is_that_of_the_monitors_and_of_the_saver(
    serve: Callable[..., FakeXServer],
) -> None:
    server = serve()
    server.enabled, server.times, server.saver_after = True, (0, 900, 1800), 1200

    async def play() -> None:
        async with started() as (domain, context):
            assert context.values[TIME_OUT] == 900
            await set_time_out(domain, 600)
            assert context.values[TIME_OUT] == 600
            assert (server.times, server.saver_after) == ((0, 0, 600), 600)
            await set_time_out(domain, 0)
            assert context.values[TIME_OUT] == 0
            assert (server.times, server.saver_after) == ((0, 0, 0), 0)

    asyncio.run(play())


def test_a_time_out_that_is_set_while_the_screen_is_off_stays(
    serve: Callable[..., FakeXServer],
) -> None:
    server = serve()
    server.times = (0, 0, 300)

    async def play() -> None:
        async with started() as (domain, context):
            await switch(domain, 0)
            # The user has switched DPMS off, and with it its time-outs.
            assert context.values[TIME_OUT] == 0
            await set_time_out(domain, 600)
            await switch(domain, 1)
            assert (context.values[TIME_OUT], server.enabled) == (600, True)

    asyncio.run(play())


def test_a_time_out_that_is_not_taken_has_failed(serve: Callable[..., FakeXServer]) -> None:
    serve(obeys=False)

    async def play() -> None:
        async with started() as (domain, _):
            with pytest.raises(CommandError, match="the time-out is still 0 s"):
                await set_time_out(domain, 600)

    asyncio.run(play())


def test_what_says_yes_and_does_nothing_has_failed(
    serve: Callable[..., FakeXServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "SWITCH_LIMIT", 0.05)
    serve(obeys=False)

    async def play() -> None:
        async with started() as (domain, context):
            with pytest.raises(CommandError, match="DPMS: the screen is still on"):
                await switch(domain, 0)
            assert context.values == {ON: True, TIME_OUT: 0}

    asyncio.run(play())


@pytest.mark.parametrize("tells", ["DPMS", "saver"])
def test_a_change_by_hand_is_an_event(serve: Callable[..., FakeXServer], tells: str) -> None:
    server = serve()

    async def play() -> None:
        async with started() as (_, context):
            server.by_hand(3, tells=tells)
            await context.until(lambda: context.events)
            assert (context.events, context.values[ON]) == ([("turned_off", {})], False)

    asyncio.run(play())


def test_monitors_that_go_off_after_the_saver_has_begun(
    serve: Callable[..., FakeXServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Xorg 21.1.7 tells nothing of them then."""
    monkeypatch.setattr(xserver, "_TIMERS", 0)
    server = serve()
    server.enabled, server.times, server.saver_after = True, (0, 0, 600), 600

    async def server_switches(seconds: float) -> None:
        assert seconds == 0
        server.level = 3

    async def play() -> None:
        async with started() as (_, context):
            monkeypatch.setattr(asyncio, "sleep", server_switches)
            server.saver_begins()
            await context.until(lambda: context.events)
            assert (context.events, context.values[ON]) == ([("turned_off", {})], False)

    asyncio.run(play())


def test_a_server_that_tells_of_no_switching_is_blanked_instead(
    serve: Callable[..., FakeXServer],
) -> None:
    serve(dpms=(1, 1), saver=False)

    async def play() -> None:
        async with started() as (_, context):
            assert context.offered.readings == ()
            assert "DPMS before 1.2" in context.offered.why["on"]
            assert "no MIT-SCREEN-SAVER" in context.offered.why["on"]

    asyncio.run(play())


def test_the_cookie_opens_the_server(serve: Callable[..., FakeXServer], tmp_path: Path) -> None:
    def field(data: bytes) -> bytes:
        return struct.pack(">H", len(data)) + data

    cookie = bytes(range(16))
    other = b"\1\0" + field(b"pc") + field(b"8") + field(b"MIT-MAGIC-COOKIE-1") + field(b"x" * 16)
    own = b"\1\0" + field(b"pc") + field(b"7") + field(b"MIT-MAGIC-COOKIE-1") + field(cookie)
    serve(cookie=cookie)

    async def offered() -> bool:
        async with started() as (_, context):
            return Thing("on") in context.offered.readings

    assert not asyncio.run(offered())
    (tmp_path / "cookies").write_bytes(other + own)
    assert asyncio.run(offered())


@pytest.mark.parametrize("data", [b"", b"\1\0", b"\1\0\0\3pc", b"\0" * 40, b"\xff" * 40])
def test_any_bytes_may_be_in_the_cookies(data: bytes) -> None:
    assert find_cookie(data, 7) == b""


@pytest.mark.parametrize("display", ["", "office-pc:0", "localhost:10.0", ":x"])
def test_another_machines_display_is_no_screen(
    monkeypatch: pytest.MonkeyPatch, display: str
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    async def play() -> None:
        async with started() as (_, context):
            assert context.offered.readings == ()

    asyncio.run(play())


def test_a_session_ends_with_its_server(serve: Callable[..., FakeXServer]) -> None:
    server = serve()

    async def play() -> None:
        async with started() as (_, context):
            server.end()
            await context.until(lambda: context.ended)

    asyncio.run(play())


# --- A real server ---------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Xvfb, which has no DPMS, and blanks its screen as any X server does."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed (Debian: apt install xvfb)")
    process = subprocess.Popen(
        [program, "-displayfd", "1", "-nolisten", "tcp", "-noreset"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    display = f":{process.stdout.readline().strip()}"
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    yield display
    process.terminate()
    process.wait(PATIENCE)


async def blank_by_hand() -> None:
    """Do what `xset s activate` does."""
    other = X11Client(lambda *_: None, lambda _: None)
    await other.open()
    other.send(115, 1)
    await other.extension(b"DPMS")  # What was sent before is done with this answer.
    other.close()


def test_a_real_server_says_no_to_dpms_and_is_blanked(server: str) -> None:
    async def play() -> None:
        async with started() as (domain, context):
            assert "MIT-SCREEN-SAVER (black, not switched off)" in context.offered.way
            await switch(domain, 0)
            assert context.values[ON] is False
            await switch(domain, 1)
            assert (context.values[ON], context.events) == (True, [])
            await blank_by_hand()
            await context.until(lambda: context.events)
            assert (context.events, context.values[ON]) == ([("turned_off", {})], False)

    asyncio.run(play())


def test_a_real_server_goes_dark_after_the_time_out(server: str) -> None:
    async def play() -> None:
        async with started() as (domain, context):
            await set_time_out(domain, 0)
            assert context.values == {ON: True, TIME_OUT: 0}
            await set_time_out(domain, 1)
            await context.until(lambda: context.events)
            assert context.events == [("turned_off", {})]
            assert context.values == {ON: False, TIME_OUT: 1}

    asyncio.run(play())
