"""The domains of a session helper on Windows, on a desktop that the tests play."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.platforms.windows import device_use
from companion_agent.platforms.windows.session_window import SessionWindow, open_window
from companion_agent.plugins.camera.windows import WindowsCameraDomain
from companion_agent.plugins.hotkeys.keys import WrongKeysError, parse_keys
from companion_agent.plugins.hotkeys.windows import WindowsHotkeysDomain
from companion_agent.plugins.presence import windows as presence
from companion_agent.plugins.presence.windows import WindowsPresenceDomain
from companion_agent.plugins.screen import monitor_power
from companion_agent.plugins.screen.windows import WindowsScreenDomain
from companion_agent.plugins.session_windows import LOCK, LOG_OUT, WindowsSessionDomain
from companion_agent.plugins.sound.windows import WindowsSoundDomain
from companion_agent.plugins.window.windows import WindowsWindowDomain
from companion_agent.winapi import wmi
from companion_agent.winapi.message_window import (
    ENDSESSION_LOGOFF,
    WM_CLOSE,
    WM_DISPLAYCHANGE,
    WM_ENDSESSION,
    WM_QUERYENDSESSION,
)
from support.agent_desktop import FakeContext
from support.event_loop import wait_until
from support.windows_api import FakeWindows
from support.windows_desktop import NOT_SUPPORTED, FakeDesktop, Monitor
from support.windows_registry import FakeRegistry
from support.windows_wmi import LEVELS, PANEL, FakeWmi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from companion_agent.desktop.domain import Domain

pytestmark = pytest.mark.proves(
    "screen.*", "presence.*", "window.*", "hotkeys.*", "camera.*", "sound.microphone_*",
    "session.lock", "session.log_out",
)  # fmt: skip

ON, KEEP_AWAKE = Thing("on"), Thing("keep_awake")
BRIGHTNESS, BUILT_IN = Thing("brightness", "DISPLAY1"), Thing("brightness", "built-in")
IN_USE, SINCE = Thing("in_use"), Thing("since")
CONTROL, ALT = 2, 1


class Context(FakeContext):
    """What the helper does for a domain of Windows."""

    domain: Domain
    refused = ""

    async def do(self, command: Thing, **args: Any) -> None:
        await self.domain.call(command, args)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> FakeWindows:
    return FakeWindows().install(monkeypatch)


@pytest.fixture
def desktop(windows: FakeWindows) -> Iterator[FakeDesktop]:
    desktop = FakeDesktop(windows)
    yield desktop
    desktop.wait_for_the_end()


@pytest.fixture
def laptop(windows: FakeWindows) -> FakeWmi:
    """WMI of a computer whose screen's driver does not let itself be asked."""
    return FakeWmi(windows)


@asynccontextmanager
async def started(
    domain: type[Domain], settings: dict[str, Any] | None = None
) -> AsyncIterator[Context]:
    """Begin a domain as the session helper does."""
    context = Context(settings)
    context.helpers_window = window = await open_window(context.session_has_ended)
    context.domain = domain(context)
    try:
        context.offer(await context.domain.start())
    except Unavailable as error:
        context.refused = error.reason
    try:
        yield context
    finally:
        await context.domain.stop()
        window.close()


def play(act: Callable[[], Any]) -> None:
    asyncio.run(act())


# --- The helper's window -------------------------------------------------------------------


def test_the_end_of_the_session_ends_the_helper(desktop: FakeDesktop) -> None:
    async def act() -> None:
        context = FakeContext()
        window = await open_window(context.session_has_ended)
        desktop.send(WM_QUERYENDSESSION, 0, ENDSESSION_LOGOFF)
        desktop.send(WM_ENDSESSION, 1, ENDSESSION_LOGOFF)
        await context.until(lambda: context.ended)
        window.close()

    play(act)


def test_an_end_that_was_called_off_ends_nothing(desktop: FakeDesktop) -> None:
    async def act() -> None:
        context = FakeContext()
        window = await open_window(context.session_has_ended)
        desktop.send(WM_ENDSESSION, 0, 0)
        await window.do(lambda _: None)
        await asyncio.sleep(0)
        assert not context.ended
        window.close()

    play(act)


def test_a_session_without_windows_says_so(desktop: FakeDesktop, windows: FakeWindows) -> None:
    windows.functions["user32.CreateWindowExW"] = lambda *_: windows.fail(1400)

    with pytest.raises(Unavailable, match="no windows"):
        play(lambda: open_window(lambda: None))


def test_what_fails_in_the_windows_thread_fails_where_it_was_asked_for(
    desktop: FakeDesktop,
) -> None:
    async def act() -> None:
        window = await open_window(lambda: None)
        with pytest.raises(ZeroDivisionError):
            await window.do(lambda _: 1 // 0)
        window.close()

    play(act)


def test_a_window_that_has_gone_does_nothing_more(
    desktop: FakeDesktop, windows: FakeWindows
) -> None:
    async def act() -> None:
        window: SessionWindow = await open_window(lambda: None)
        windows.functions["user32.PostMessageW"] = lambda *_: windows.fail(1400)
        with pytest.raises(Unavailable, match="has gone"):
            await window.do(lambda _: None)
        desktop.send(WM_CLOSE)

    play(act)


# --- The screen ----------------------------------------------------------------------------


def test_the_screen_is_switched_off_and_on(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert context.values[ON] is True
            await context.do(ON, value=0)
            assert (desktop.display, context.values[ON]) == (0, False)
            await context.do(ON, value=1)
            assert (desktop.display, context.values[ON]) == (1, True)
            assert context.events == []

    play(act)


def test_the_screens_own_time_out_is_an_event(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            desktop.switch_display(2)
            desktop.switch_display(0)
            await context.until(lambda: context.events)
            assert context.events == [("turned_off", {})]
            desktop.switch_display(1)
            await context.until(lambda: context.values[ON] is True)

    play(act)


def test_a_screen_that_stays_on_is_a_failure(
    desktop: FakeDesktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.plugins.screen.power.SWITCH_LIMIT", 0.05)
    desktop.obeys = False

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            with pytest.raises(CommandError, match="still on"):
                await context.do(ON, value=0)

    play(act)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modern_standby": True}, "modern standby"),
        ({"remote": True}, "another computer"),
        ({"display": None}, "does not say whether the screen is on"),
    ],
)
def test_a_screen_that_cannot_be_switched_is_not_offered(
    desktop: FakeDesktop,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    reason: str,
) -> None:
    monkeypatch.setattr(monitor_power, "_TELLS_WITHIN", 0.05)
    vars(desktop).update(changes)

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert ON not in context.offered.commands
            assert reason in context.offered.why["on"]
            assert KEEP_AWAKE in context.offered.commands

    play(act)


def test_the_screen_is_kept_on(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            await context.do(KEEP_AWAKE, value=1)
            assert (desktop.requests, context.values[KEEP_AWAKE]) == ({0, 1}, True)
            await context.do(KEEP_AWAKE, value=0)
            assert (desktop.requests, context.values[KEEP_AWAKE]) == (set(), False)

    play(act)


def test_a_windows_without_power_requests_keeps_nothing_awake(desktop: FakeDesktop) -> None:
    desktop.requests = None

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert "120" in context.offered.why["keep_awake"]

    play(act)


def test_monitors_on_a_cable_are_dimmed_where_the_owner_allows_it(desktop: FakeDesktop) -> None:
    desktop.monitors = [Monitor((0, 20, 50)), Monitor(), Monitor((10, 10, 110))]

    async def act() -> None:
        async with started(WindowsScreenDomain, {"ddc": True}) as context:
            assert context.values[BRIGHTNESS] == 40
            assert Thing("brightness", "DISPLAY2") not in context.offered.commands
            assert context.values[Thing("brightness", "DISPLAY3")] == 0
            await context.do(BRIGHTNESS, value=80)
            assert desktop.monitors[0].level == [0, 40, 50]
            assert context.values[BRIGHTNESS] == 80

    play(act)


def test_without_the_owner_monitors_are_not_asked(desktop: FakeDesktop) -> None:
    desktop.monitors = [Monitor((0, 20, 50))]

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert "screen.ddc" in context.offered.why["brightness"]

    play(act)


def test_the_only_monitor_that_can_be_dimmed_is_switched_by_its_name(desktop: FakeDesktop) -> None:
    desktop.monitors = [Monitor((0, 20, 50))]

    async def act() -> None:
        async with started(WindowsScreenDomain, {"ddc": True}) as context:
            await context.do(Thing("on", "DISPLAY1"), value=0)
            assert desktop.display == 0

    play(act)


def test_a_monitor_that_does_not_obey_is_named_with_its_brightness(desktop: FakeDesktop) -> None:
    desktop.monitors, desktop.obeys = [Monitor((0, 20, 50))], False

    async def act() -> None:
        async with started(WindowsScreenDomain, {"ddc": True}) as context:
            with pytest.raises(CommandError, match="set to 80 %, it is at 40 %"):
                await context.do(BRIGHTNESS, value=80)

    play(act)


def test_a_monitor_that_was_plugged_in_is_found(desktop: FakeDesktop) -> None:
    desktop.monitors = [Monitor((0, 20, 50))]

    async def act() -> None:
        async with started(WindowsScreenDomain, {"ddc": True}) as context:
            desktop.monitors.append(Monitor((0, 100, 100)))
            desktop.send(WM_DISPLAYCHANGE)
            await context.until(lambda: Thing("brightness", "DISPLAY2") in context.offered.commands)

    play(act)


def test_the_built_in_screen_is_dimmed_and_followed(desktop: FakeDesktop) -> None:
    desktop.panel = 70

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert context.values[BUILT_IN] == 70
            await context.do(BUILT_IN, value=33)
            assert (desktop.panel, context.values[BUILT_IN]) == (30, 30)
            desktop.dim_panel(90)
            await context.until(lambda: context.values[BUILT_IN] == 90)

    play(act)


def test_a_built_in_screen_whose_driver_does_not_answer_is_dimmed_by_wmi(
    desktop: FakeDesktop, laptop: FakeWmi
) -> None:
    screen = laptop.add_panel(bytes(range(101)), 100)

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert context.values[BUILT_IN] == 100
            assert "brightness by WMI" in context.offered.way
            await context.do(BUILT_IN, value=33)
            assert (screen["CurrentBrightness"], context.values[BUILT_IN]) == (33, 33)
            desktop.dim_panel(90)
            await context.until(lambda: context.values[BUILT_IN] == 90)

    play(act)
    assert laptop.not_given_back == 0


def test_wmi_is_told_a_brightness_that_the_screen_has(
    desktop: FakeDesktop, laptop: FakeWmi
) -> None:
    # One that is closed comes first, as one beside an open one does.
    laptop.add_panel(b"", 0, active=False)
    screen = laptop.add_panel(bytes(range(0, 101, 10)), 50)

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            await context.do(BUILT_IN, value=87)
            assert (screen["CurrentBrightness"], context.values[BUILT_IN]) == (90, 90)

    play(act)


def test_a_screen_that_wmi_does_not_dim_is_named_with_its_brightness(
    desktop: FakeDesktop, laptop: FakeWmi
) -> None:
    laptop.add_panel(bytes(range(101)), 100)
    laptop.methods["WmiSetBrightness"] = lambda *_, **__: None

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            with pytest.raises(CommandError, match="set to 33 %, it is at 100 %"):
                await context.do(BUILT_IN, value=33)

    play(act)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        # A monitor on a cable: a desktop computer's WMI says "Not supported".
        (wmi.NOT_SUPPORTED, "no screen is dimmed by it"),
        (wmi.ACCESS_DENIED, "this user may not ask it"),
        (wmi.NO_CLASS, "this Windows does not have it"),
        (-0x7FFB_EFFF, "IEnumWbemClassObject.Next"),
    ],
)
def test_why_wmi_dims_no_screen_is_said(
    refusal: int, reason: str, desktop: FakeDesktop, laptop: FakeWmi
) -> None:
    laptop.refuses[LEVELS] = refusal

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert BUILT_IN not in context.offered.commands
            assert reason in context.offered.why["brightness"]

    play(act)


def test_a_wmi_that_takes_too_long_dims_no_screen(desktop: FakeDesktop, laptop: FakeWmi) -> None:
    laptop.classes[LEVELS] = []
    laptop.ends = False

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert "IEnumWbemClassObject.Next" in context.offered.why["brightness"]

    play(act)
    assert laptop.not_given_back == 0


@pytest.mark.parametrize("levels", [None, 0x2003], ids=["without levels", "of another type"])
def test_a_screen_whose_levels_are_not_known_is_not_dimmed(
    levels: int | None, desktop: FakeDesktop, laptop: FakeWmi
) -> None:
    laptop.classes[LEVELS] = [
        {"Active": True, "InstanceName": PANEL, "CurrentBrightness": 5, "Level": levels}
    ]

    async def act() -> None:
        async with started(WindowsScreenDomain) as context:
            assert BUILT_IN not in context.offered.commands

    play(act)


# --- Presence ------------------------------------------------------------------------------


def since(context: FakeContext) -> datetime:
    return datetime.fromisoformat(str(context.values[SINCE]))


def test_a_session_without_input_is_not_in_use_until_a_key_is_pressed(
    desktop: FakeDesktop,
) -> None:
    desktop.idle = 9.95

    async def act() -> None:
        async with started(WindowsPresenceDomain, {"idle_after": 10}) as context:
            assert context.values[IN_USE] is True
            desktop.idle = 10.2
            await context.until(lambda: context.values[IN_USE] is False)
            assert since(context) < datetime.now(UTC) - timedelta(seconds=8)
            await asyncio.to_thread(desktop.follows_input.wait, 20)
            desktop.touch()
            await context.until(lambda: context.values[IN_USE] is True)
            assert not desktop.follows_input.is_set()

    play(act)


def test_input_that_is_not_told_is_found_out(
    desktop: FakeDesktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOOK_AGAIN", 0.05)
    desktop.idle = 1000

    async def act() -> None:
        async with started(WindowsPresenceDomain) as context:
            assert context.values[IN_USE] is False
            desktop.idle = 0.5
            await context.until(lambda: context.values[IN_USE] is True)

    play(act)


def test_the_count_of_milliseconds_begins_anew(desktop: FakeDesktop) -> None:
    # The last input was before, the present is 100 ms after that.
    desktop.idle = 400

    async def act() -> None:
        async with started(WindowsPresenceDomain) as context:
            assert since(context) < datetime.now(UTC) - timedelta(seconds=390)

    play(act)


def test_a_windows_that_does_not_tell_of_input(desktop: FakeDesktop) -> None:
    desktop.idle = None

    async def act() -> None:
        async with started(WindowsPresenceDomain) as context:
            assert "does not tell of the last input" in context.refused

    play(act)


# --- Lock and log-out ------------------------------------------------------------------------


def test_a_session_is_locked_when_windows_says_so(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsSessionDomain) as context:
            await context.do(LOCK)

    play(act)


def test_a_session_that_stays_unlocked_is_a_failure(
    desktop: FakeDesktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("companion_agent.plugins.session_windows.LOCK_LIMIT", 0.05)
    desktop.locks = False

    async def act() -> None:
        async with started(WindowsSessionDomain) as context:
            with pytest.raises(CommandError, match="not locked"):
                await context.do(LOCK)

    play(act)


@pytest.mark.parametrize("command", [LOCK, LOG_OUT])
def test_what_windows_refuses_is_said_with_its_number(desktop: FakeDesktop, command: Thing) -> None:
    desktop.refuses = NOT_SUPPORTED

    async def act() -> None:
        async with started(WindowsSessionDomain) as context:
            with pytest.raises(CommandError, match=r"Windows refuses it: .*error 120"):
                await context.do(command)

    play(act)


def test_a_user_is_logged_out(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsSessionDomain) as context:
            await context.do(LOG_OUT)

    play(act)
    assert desktop.logged_out


# --- The active window -----------------------------------------------------------------------

TITLE, PROGRAM, FULL_SCREEN = Thing("title"), Thing("program"), Thing("full_screen")
ALLOWED = {"allowed": True}


def test_the_window_in_front_is_followed(desktop: FakeDesktop) -> None:
    desktop.open_window(7, "Letter", r"C:\Windows\notepad.exe")
    desktop.open_window(8, "Film", r"C:\vlc\vlc.exe", where=(0, 0, 1920, 1080))
    desktop.front = 7

    async def act() -> None:
        async with started(WindowsWindowDomain, ALLOWED) as context:
            await context.until(lambda: context.values.get(TITLE) == "Letter")
            assert context.values[PROGRAM] == "notepad"
            assert context.values[FULL_SCREEN] is False
            desktop.bring_to_front(8)
            await context.until(lambda: context.values[TITLE] == "Film")
            assert context.values[FULL_SCREEN] is True
            desktop.windows[8]["where"] = (0, 0, 900, 700)
            desktop.tell_windows(0x800B, 8)
            await context.until(lambda: context.values[FULL_SCREEN] is False)
            desktop.lock_screen()
            await context.until(lambda: context.values[TITLE] is None)
            assert context.offered.way == "SetWinEventHook"

    play(act)


def test_the_desktop_itself_fills_no_screen(desktop: FakeDesktop) -> None:
    desktop.open_window(7, "", r"C:\Windows\explorer.exe", where=(0, 0, 1920, 1080), kind="WorkerW")
    desktop.front = 7

    async def act() -> None:
        async with started(WindowsWindowDomain, ALLOWED) as context:
            await context.until(lambda: context.values.get(PROGRAM) == "explorer")
            assert context.values[FULL_SCREEN] is False

    play(act)


def test_a_program_of_the_store_is_told_by_what_its_frame_holds(desktop: FakeDesktop) -> None:
    desktop.open_window(
        7, "Calculator", "ApplicationFrameHost.exe", kind="ApplicationFrameWindow", content=9
    )
    desktop.open_window(9, "", r"C:\Program Files\WindowsApps\CalculatorApp.exe")
    desktop.front = 7

    async def act() -> None:
        async with started(WindowsWindowDomain, ALLOWED) as context:
            await context.until(lambda: context.values.get(PROGRAM) == "CalculatorApp")

    play(act)


def test_a_program_that_is_not_told_has_its_title_all_the_same(desktop: FakeDesktop) -> None:
    desktop.open_window(7, "Task Manager", "")
    desktop.front = 7

    async def act() -> None:
        async with started(WindowsWindowDomain, ALLOWED) as context:
            await context.until(lambda: context.values.get(TITLE) == "Task Manager")
            assert context.values[PROGRAM] == ""

    play(act)


def test_without_the_owner_no_window_is_looked_at(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsWindowDomain) as context:
            assert "has not allowed it" in context.refused
            assert desktop.hooks == {}

    play(act)


# --- Hotkeys ---------------------------------------------------------------------------------


def hotkeys(**keys: str) -> dict[str, Any]:
    return {"hotkeys": {name: {"name": name, "keys": one} for name, one in keys.items()}}


def test_a_hotkey_is_told_by_its_name(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsHotkeysDomain, hotkeys(lamp="CTRL+ALT+l")) as context:
            assert context.values == {Thing("keys"): "lamp: CTRL+ALT+l"}
            desktop.press(CONTROL | ALT, ord("L"))
            await context.until(lambda: context.events)
            assert context.events == [("pressed", {"hotkey": "lamp"})]
        assert desktop.hotkeys == {}

    play(act)


def test_hotkeys_that_cannot_be_bound_are_named_with_the_reason(desktop: FakeDesktop) -> None:
    desktop.taken = {(CONTROL, ord("A"))}
    wanted = hotkeys(taken="CTRL+a", none="", wrong="HYPER+a", good="F13")

    async def act() -> None:
        async with started(WindowsHotkeysDomain, wanted) as context:
            assert "another program" in context.offered.why["taken"]
            assert "desktop.hotkeys.none.keys" in context.offered.why["none"]
            assert "'HYPER'" in context.offered.why["wrong"]
            assert context.values == {Thing("keys"): "good: F13"}

    play(act)


def test_without_any_hotkey_nothing_is_offered(desktop: FakeDesktop) -> None:
    async def act() -> None:
        async with started(WindowsHotkeysDomain, hotkeys(none="")) as context:
            assert context.offered.empty
        async with started(WindowsHotkeysDomain) as context:
            assert context.refused == "no hotkeys are configured"

    play(act)


@pytest.mark.parametrize(
    ("keys", "known"),
    [
        ("CTRL+ALT+l", (CONTROL | ALT, 0x4C)),
        ("LOGO+SHIFT+F12", (8 | 4, 0x7B)),
        ("7", (0, 0x37)),
        ("XF86AudioPlay", (0, 0xB3)),
        ("CTRL+Page_Down", (CONTROL, 0x22)),
    ],
)
def test_keys_are_named_as_on_linux(keys: str, known: tuple[int, int]) -> None:
    assert parse_keys(keys) == known


@pytest.mark.parametrize("keys", ["CTRL+", "CTRL+é", "", "META+x"])
def test_keys_that_windows_does_not_know_are_named(keys: str) -> None:
    with pytest.raises(WrongKeysError, match="'"):
        parse_keys(keys)


# --- Cameras and microphones -----------------------------------------------------------------

STORE = r"Software\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore"


@pytest.fixture
def registry(windows: FakeWindows, desktop: FakeDesktop) -> FakeRegistry:
    return FakeRegistry(windows)


@pytest.mark.parametrize(
    ("domain", "device", "in_use", "programs"),
    [
        (WindowsCameraDomain, "webcam", "in_use", "programs"),
        (WindowsSoundDomain, "microphone", "microphone_in_use", "microphone_programs"),
    ],
)
def test_programs_that_use_a_device_are_told_while_they_do(
    registry: FakeRegistry, domain: type[Domain], device: str, in_use: str, programs: str
) -> None:
    used, by = Thing(in_use), Thing(programs)
    teams = rf"{STORE}\{device}\MSTeams_8wekyb3d8bbwe"
    zoom = rf"{STORE}\{device}\NonPackaged\C:#Program Files#Zoom#Zoom.exe"
    registry.set(teams, LastUsedTimeStart=1, LastUsedTimeStop=2)
    registry.set(rf"{STORE}\{device}\Never_used")

    async def act() -> None:
        async with started(domain) as context:
            assert (context.values[used], context.values[by]) == (False, "")
            registry.wait_for_followers()
            registry.set(zoom, LastUsedTimeStart=3, LastUsedTimeStop=0)
            registry.set(teams, LastUsedTimeStart=3, LastUsedTimeStop=0)
            await context.until(lambda: context.values[by] == "MSTeams, Zoom")
            assert context.values[used] is True
            registry.set(zoom, LastUsedTimeStop=5)
            registry.set(teams, LastUsedTimeStop=5)
            await context.until(lambda: context.values[used] is False)

    play(act)
    wait_until(lambda: not registry.open)


def test_a_windows_without_a_record_says_so(registry: FakeRegistry) -> None:
    async def act() -> None:
        async with started(WindowsCameraDomain) as context:
            assert "no record of who uses a webcam" in context.refused

    play(act)


def test_a_build_that_keeps_its_record_elsewhere_is_not_believed(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_use, "_own_build", lambda: 26_220)
    registry.set(rf"{STORE}\webcam\App", LastUsedTimeStart=1, LastUsedTimeStop=0)

    async def act() -> None:
        async with started(WindowsCameraDomain) as context:
            assert "does not tell who uses a webcam" in context.refused

    play(act)
