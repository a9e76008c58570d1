"""The active window: followed where its owner allows it, and never looked at where not."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
import json
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import Unavailable
from companion_agent.plugins.desktop_settings import DesktopConfig
from companion_agent.plugins.window import helper
from companion_agent.plugins.window.helper import WindowDomain
from companion_agent.plugins.window.plugin import WindowPlugin
from support.agent_desktop import AgentEnd
from support.agent_host import FakePlatform
from support.agent_wayland_desktop import NOTIFIER, SEAT, WINDOWS, FakeDesktop, FakeWindow
from support.event_loop import wait_until

from .domains import started
from .xservers import XPrograms, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    import subprocess

    from support.agent_desktop import FakeControl, HelperEnd

pytestmark = pytest.mark.proves("window.*")

TITLE, PROGRAM, FULL_SCREEN = Thing("title"), Thing("program"), Thing("full_screen")
ALLOWED = {"allowed": True}
ACTIVE, FILLS = 2, 3
SECRET = "Letter to the bank"


def plugin(agent: AgentEnd, *, allowed: bool) -> WindowPlugin:
    config = DesktopConfig(window=allowed)
    return WindowPlugin(FakePlatform(), None, agent.sessions, config)  # type: ignore[arg-type]


@pytest.fixture
def compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FakeDesktop]]:
    """Start a compositor with windows, that of the session."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
    with ExitStack() as stack:
        yield lambda *windows: stack.enter_context(
            FakeDesktop(tmp_path / "wayland-7", {SEAT: 9, NOTIFIER: 1, WINDOWS: 3}, *windows)
        )


# --- What its owner has not allowed ----------------------------------------------------------


@pytest.mark.parametrize(
    "domains", [{"window": None}, {}], ids=["switched off", "an agent that says nothing"]
)
def test_what_is_switched_off_is_never_looked_at(
    tmp_path: Path,
    control: FakeControl,
    compose: Callable[..., FakeDesktop],
    run_command: Callable[..., subprocess.Popen[str]],
    domains: dict[str, None],
) -> None:
    compositor = compose(FakeWindow(SECRET, "editor", (ACTIVE,)))
    (tmp_path / "agent").mkdir(mode=0o755)

    with AgentEnd(tmp_path / "agent", control, domains=domains) as agent:
        run_command("session", "--folder", str(agent.folder))
        agent.wait_for_value("presence", Thing("in_use"), True)
        agent.wait_for_offer("window")

        assert SECRET not in json.dumps(agent.heard)
        assert "editor" not in json.dumps(agent.heard)
        assert WINDOWS not in compositor.bound
        with pytest.raises(Unavailable, match="has not allowed it"):
            plugin(agent, allowed=False).collect()


def test_a_title_that_a_helper_tells_unasked_goes_no_further(
    agent: AgentEnd, admit: Callable[[], HelperEnd]
) -> None:
    admit().offer("window", reads=(TITLE,), values={TITLE: SECRET})
    agent.wait_for_value("window", TITLE, SECRET)
    window = plugin(agent, allowed=False)

    with pytest.raises(Unavailable, match="has not allowed it"):
        window.collect()
    assert window.readings() == ()
    assert window.settings is None


def test_what_is_allowed_is_told(
    tmp_path: Path,
    control: FakeControl,
    compose: Callable[..., FakeDesktop],
    run_command: Callable[..., subprocess.Popen[str]],
) -> None:
    compose(FakeWindow("A page", "browser", (ACTIVE, FILLS)))
    (tmp_path / "agent").mkdir(mode=0o755)

    with AgentEnd(tmp_path / "agent", control, domains={"window": ALLOWED}) as agent:
        window = plugin(agent, allowed=True)
        assert window.settings == ALLOWED
        run_command("session", "--folder", str(agent.folder))
        agent.wait_for_value("window", TITLE, "A page")
        assert window.collect() == {"title": "A page", "program": "browser", "full_screen": True}


def test_what_is_switched_off_while_it_runs_is_looked_at_no_more(
    tmp_path: Path,
    control: FakeControl,
    compose: Callable[..., FakeDesktop],
    run_command: Callable[..., subprocess.Popen[str]],
) -> None:
    page = FakeWindow("A page", "browser", (ACTIVE,))
    compositor = compose(page)
    (tmp_path / "agent").mkdir(mode=0o755)
    with AgentEnd(tmp_path / "agent", control, domains={"window": ALLOWED}) as agent:
        run_command("session", "--folder", str(agent.folder))
        agent.wait_for_value("window", TITLE, "A page")

    with AgentEnd(tmp_path / "agent", control, domains={"window": None}) as agent:
        agent.wait_for_offer("window")
        wait_until(lambda: "window" in agent.sessions.describe()[0]["domains"])
        page.title = SECRET
        compositor.change(page)
        compositor.idle(idle=True)
        agent.wait_for_value("presence", Thing("in_use"), False)

        assert compositor.bound.count(WINDOWS) == 1
        assert not {"A page", SECRET} & set(json.dumps(agent.heard).split('"'))
        assert agent.sessions.describe()[0]["domains"]["window"]["empty"]


# --- Compositors -----------------------------------------------------------------------------


def test_a_compositor_tells_of_windows(compose: Callable[..., FakeDesktop]) -> None:
    page = FakeWindow("A page", "browser", (ACTIVE,))
    film = FakeWindow("A film", "player")
    compositor = compose(page, film)

    async def play() -> None:
        async with started(WindowDomain, ALLOWED) as context:
            assert context.values == {TITLE: "A page", PROGRAM: "browser", FULL_SCREEN: False}
            page.states, film.states = (), (ACTIVE, FILLS)
            compositor.change(page)
            compositor.change(film)
            await context.until(lambda: context.values[TITLE] == "A film")
            assert context.values == {TITLE: "A film", PROGRAM: "player", FULL_SCREEN: True}
            compositor.shut(film)
            await context.until(lambda: context.values[TITLE] is None)
            assert context.values == {TITLE: None, PROGRAM: None, FULL_SCREEN: False}
            compositor.show(FakeWindow("A letter", "editor", (ACTIVE,)))
            await context.until(lambda: context.values[TITLE] == "A letter")

    asyncio.run(play())


def test_a_title_is_told_in_one_line_and_cut(compose: Callable[..., FakeDesktop]) -> None:
    compose(FakeWindow("one\ntwo\u202e" + "x" * 500, "browser", (ACTIVE,)))

    async def play() -> None:
        async with started(WindowDomain, ALLOWED) as context:
            title = str(context.values[TITLE])
            assert len(title) == helper.LONGEST
            assert title.startswith("one two x")
            assert title.endswith("…")

    asyncio.run(play())


def test_a_title_that_counts_is_told_at_a_pace(
    compose: Callable[..., FakeDesktop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "PACE", 0.3)
    player = FakeWindow("0:00", "player", (ACTIVE,))
    compositor = compose(player)

    async def play() -> None:
        async with started(WindowDomain, ALLOWED) as context:
            titles = []
            read = context.read
            context.read = lambda values: (titles.append(values[TITLE]), read(values))[1]
            for second in range(1, 51):
                player.title = f"0:{second:02}"
                compositor.change(player)
            await context.until(lambda: context.values[TITLE] == "0:50")
            assert len(titles) < 5

    asyncio.run(play())


@pytest.mark.parametrize(("desktop", "name"), [("ubuntu:GNOME", "GNOME"), ("KDE", "KDE")])
def test_a_desktop_that_keeps_its_windows_to_itself_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desktop: str, name: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-7")
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", desktop)

    async def play() -> None:
        with FakeDesktop(tmp_path / "wayland-7", {SEAT: 9}):
            async with started(WindowDomain, ALLOWED) as context:
                assert context.offered.empty
                assert f"{name} tells other programs nothing" in context.offered.why[""]

    asyncio.run(play())


# --- X11 -------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from serve(monkeypatch)


def test_a_real_x_server_tells_of_windows(server: str) -> None:
    async def play() -> None:
        async with XPrograms() as desk:
            await desk.manage()
            page = await desk.open_window("Straße", "Browser")
            film = await desk.open_window("A film", "Player")
            await desk.activate(page)
            async with started(WindowDomain, ALLOWED) as context:
                assert context.values == {
                    TITLE: "Straße",
                    PROGRAM: "Browser",
                    FULL_SCREEN: False,
                }
                await desk.fill_the_screen(page)
                await context.until(lambda: context.values[FULL_SCREEN] is True)
                await desk.activate(film)
                await context.until(lambda: context.values[TITLE] == "A film")
                await desk.activate(0)
                await context.until(lambda: context.values[TITLE] is None)

    asyncio.run(play())


def test_an_x_server_without_a_window_manager(server: str) -> None:
    async def play() -> None:
        async with started(WindowDomain, ALLOWED) as context:
            assert "window manager does not tell" in context.offered.why[""]

    asyncio.run(play())
