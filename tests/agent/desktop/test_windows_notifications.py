"""Notifications in a Windows session, with stand-ins for the Windows Runtime's packages."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from pathlib import Path, PureWindowsPath
import sys
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import fromstring

from hypothesis import given, strategies as st
import pytest

from companion_agent.desktop.messages import Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.notifications.toast import toast
from companion_agent.plugins.notifications.windows import WindowsNotificationsDomain
from support.agent_desktop import FakeContext
from support.agent_media import PICTURE
from support.windows_api import FakeWindows
from support.windows_runtime import FakeToasts, Toast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.proves("notifications.*")

SHOW, CLEAR = Thing("show"), Thing("clear")
BUTTONS = [{"action": "OPEN", "title": "Open"}, {"action": "ALARM", "title": "Alarm"}]


def arguments(**changes: Any) -> dict[str, Any]:
    """Return what the agent sends, as its declaration completes it."""
    usual = {"message": "The bell rang.", "title": "Door", "urgency": "normal", "timeout": -1}
    return {**usual, "tag": "", "id": "n1", "actions": [], "reply": "", **changes}


# --- The XML ---------------------------------------------------------------------------------


def test_a_plain_notification() -> None:
    assert toast(arguments()) == (
        '<toast launch=""><visual><binding template="ToastGeneric"><text>Door</text>'
        "<text>The bell rang.</text></binding></visual></toast>"
    )


def test_everything_of_a_notification() -> None:
    found = toast(
        arguments(
            urgency="critical", actions=BUTTONS, reply="SAY", reply_title="Say <it>",
            sound="Notification.Mail", message='5 > 3 & "so"',
        ),
        PureWindowsPath("C:\\Users\\J\xf6rg A\\bell.png"),
    )  # fmt: skip
    assert found == (
        '<toast launch="" scenario="reminder"><visual><binding template="ToastGeneric">'
        '<text>Door</text><text>5 &gt; 3 &amp; "so"</text>'
        '<image src="file:///C:/Users/J%C3%B6rg%20A/bell.png" /></binding></visual><actions>'
        '<input id="reply" type="text" placeHolderContent="Say &lt;it&gt;" />'
        '<action content="Open" arguments="0" /><action content="Alarm" arguments="1" />'
        '<action content="Say &lt;it&gt;" arguments="reply" hint-inputId="reply" /></actions>'
        '<audio src="ms-winsoundevent:Notification.Mail" /></toast>'
    )


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_any_text_is_shown_as_it_is(title: str, message: str, button: str) -> None:
    actions = [{"action": "A", "title": button}]
    root = fromstring(toast(arguments(title=title, message=message, actions=actions)))

    def seen(text: str) -> str:
        """What a reader of XML makes of line ends and of what XML cannot hold."""
        kept = "".join(
            one if one in "\t\n\r" or (" " <= one <= "\ud7ff") or "\ue000" <= one <= "\ufffd"
            or one > "\uffff" else "\ufffd" for one in text
        )  # fmt: skip
        return kept.replace("\r\n", "\n").replace("\r", "\n")

    assert [one.text for one in root.iter("text")] == [seen(title), seen(message)]
    assert len(list(root.iter("action"))) == 1
    assert {one.tag for one in root.iter()} == {
        "toast", "visual", "binding", "text", "actions", "action",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sound": "none"}, '<audio silent="true" />'),
        ({"urgency": "low"}, '<audio silent="true" />'),
        ({"timeout": 60}, 'duration="long"'),
        ({"timeout": 0}, '<action activationType="system" arguments="dismiss" content="" />'),
    ],
)
def test_how_it_is_shown(changes: dict[str, Any], expected: str) -> None:
    assert expected in toast(arguments(**changes))


def test_names_of_other_sound_themes_are_left_to_windows() -> None:
    assert "audio" not in toast(arguments(sound="message-new-instant"))


def test_more_buttons_than_windows_shows_are_refused() -> None:
    with pytest.raises(CommandError, match="Windows shows 5 buttons"):
        toast(arguments(actions=BUTTONS * 2 + BUTTONS[:1], reply="SAY"))


# --- The session -----------------------------------------------------------------------------


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what was written below the user's keys."""
    written: dict[str, str] = {}

    def create(_: Any, path: str, *__: Any) -> int:
        written["key"] = path
        return 0

    def put(_: Any, name: str, __: int, ___: int, value: Any, size: int) -> int:
        written[name] = value.raw[:size].decode("utf-16-le").rstrip("\0")
        return 0

    FakeWindows(
        {
            "advapi32.RegCreateKeyExW": create,
            "advapi32.RegSetValueExW": put,
            "advapi32.RegCloseKey": lambda _: 0,
        }
    ).install(monkeypatch)
    return written


@pytest.fixture
def toasts(registry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> FakeToasts:
    return FakeToasts(monkeypatch)


class Session:
    """A session with the domain in it."""

    def __init__(self, context: FakeContext, domain: WindowsNotificationsDomain) -> None:
        self.context = context
        self._domain = domain

    async def show(self, **changes: Any) -> None:
        await self._domain.call(SHOW, arguments(**changes))

    async def clear(self, tag: str) -> None:
        await self._domain.call(CLEAR, {"tag": tag})

    async def answer(self, toast: Toast, pressed: str, **typed: str) -> None:
        await asyncio.to_thread(toast.answer, pressed, **typed)

    async def heard(self) -> tuple[str, dict[str, Any]]:
        await self.context.until(lambda: self.context.events)
        return self.context.events.pop()


@asynccontextmanager
async def started() -> AsyncIterator[Session]:
    context = FakeContext()
    domain = WindowsNotificationsDomain(context)
    context.offer(await domain.start())
    try:
        yield Session(context, domain)
    finally:
        await domain.stop()


def play(act: Callable[[], Any]) -> None:
    asyncio.run(act())


def test_the_agent_is_registered_for_the_user(toasts: FakeToasts, registry: dict[str, str]) -> None:
    async def act() -> None:
        async with started() as session:
            assert session.context.values == {Thing("server"): "Windows"}
            assert session.context.offered.commands == (SHOW, CLEAR)

    play(act)
    assert registry == {
        "key": r"Software\Classes\AppUserModelId\Pilot.Agent",
        "DisplayName": "Home Assistant",
    }
    assert toasts.program == "Pilot.Agent"


def test_a_button_is_told_once(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(actions=BUTTONS, tag="door")
            (shown,) = toasts.shown.values()
            await session.answer(shown, "1")
            await session.answer(shown, "0")
            assert await session.heard() == (
                "pressed", {"id": "n1", "tag": "door", "action": "ALARM"},
            )  # fmt: skip
            assert session.context.events == []

    play(act)


def test_a_reply_of_any_length_arrives_whole(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(reply="SAY")
            (shown,) = toasts.shown.values()
            await session.answer(shown, "reply", reply="x" * 300)
            event, data = await session.heard()
            assert (event, data["action"]) == ("replied", "SAY")
            assert data["reply"] + data["reply_1"] == "x" * 300

    play(act)


@pytest.mark.parametrize(("reason", "told"), [(0, "dismissed"), (1, "cleared")])
def test_why_one_is_gone_is_told(toasts: FakeToasts, reason: int, told: str) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show()
            (shown,) = toasts.shown.values()
            # It goes to the notification centre first.
            await asyncio.to_thread(shown.dismiss, 2)
            await asyncio.to_thread(shown.dismiss, reason)
            assert await session.heard() == ("closed", {"id": "n1", "tag": "", "reason": told})

    play(act)


def test_a_click_on_the_text_closes(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(actions=BUTTONS)
            (shown,) = toasts.shown.values()
            await session.answer(shown, "")
            assert (await session.heard())[1]["reason"] == "dismissed"

    play(act)


def test_one_whose_time_is_over_is_taken_away(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(timeout=0.01)
            assert (await session.heard())[1]["reason"] == "expired"
            assert toasts.shown == {}

    play(act)


def test_a_tag_replaces_and_clears(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(tag="t" * 100, id="first")
            (first,) = toasts.shown.values()
            await session.show(tag="t" * 100, id="second", message="Again")
            (second,) = toasts.shown.values()
            assert second.texts() == ["Door", "Again"]
            await asyncio.to_thread(first.dismiss, 1)
            await session.clear("t" * 100)
            assert (await session.heard())[1] == {
                "id": "second", "tag": "t" * 100, "reason": "cleared",
            }  # fmt: skip
            assert (toasts.shown, session.context.events) == ({}, [])

    play(act)


def test_an_image_is_a_file_until_it_is_answered(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show(image=base64.b64encode(PICTURE).decode())
            (shown,) = toasts.shown.values()
            image = shown.content.find(".//image")
            assert image is not None
            path = Path(image.attrib["src"].removeprefix("file://"))
            assert await asyncio.to_thread(path.read_bytes) == PICTURE
            await session.answer(shown, "")
            await session.heard()
            assert not await asyncio.to_thread(path.exists)

    play(act)


def test_one_that_windows_does_not_show_is_told(toasts: FakeToasts) -> None:
    async def act() -> None:
        async with started() as session:
            await session.show()
            (shown,) = toasts.shown.values()
            await asyncio.to_thread(shown.fail, -2147023836)
            assert (await session.heard())[1]["reason"] == "undefined"

    play(act)


def test_notifications_that_are_switched_off_are_an_error(toasts: FakeToasts) -> None:
    toasts.setting = 2

    async def act() -> None:
        async with started() as session:
            with pytest.raises(CommandError, match="switched all notifications off"):
                await session.show()

    play(act)


def test_a_windows_that_shows_none_says_so(toasts: FakeToasts) -> None:
    toasts.refuses = True

    async def act() -> None:
        with pytest.raises(Unavailable, match=r"shows no notifications: .*Class not registered"):
            async with started():
                pass

    play(act)


def test_a_missing_package_is_named(
    registry: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "winrt", None)

    async def act() -> None:
        with pytest.raises(Unavailable, match=r"winrt-Windows\.UI\.Notifications is not installed"):
            async with started():
                pass

    play(act)
