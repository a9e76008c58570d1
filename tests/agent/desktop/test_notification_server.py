"""Notifications by a session helper, on a server that is played; both serve all tests here."""

from __future__ import annotations

from base64 import b64encode
import os
from pathlib import Path
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop import sessions as desktop_sessions
from companion_agent.errors import CommandError
from support.agent_desktop import AgentEnd, FakeControl, session
from support.agent_notifications import BUTTONS, SERVER, Notifications, PlayedServer, plug_in
from support.event_loop import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.agent_logind import SystemBus

EVERYTHING = ("actions", "body", "body-markup", "icon-static", "inline-reply", "sound")
PNG = b"\x89PNG\r\n\x1a\n and the rest"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentEnd]:
    folder = tmp_path_factory.mktemp("agent")
    with AgentEnd(folder, FakeControl(session())) as agent, pytest.MonkeyPatch.context() as patch:
        # A helper that is slow on a busy machine is not frozen.
        patch.setattr(desktop_sessions, "CALL_LIMIT", PATIENCE)
        yield agent


@pytest.fixture(scope="module")
def bus(can_play: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemBus]:
    from support.agent_logind import SystemBus

    bus = SystemBus(tmp_path_factory.mktemp("bus"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        bus.start()
        yield bus
        bus.stop()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's session, in which images lie."""
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="module")
def played(agent: AgentEnd, bus: SystemBus, images: Path) -> Iterator[PlayedServer]:
    """A server, and a session helper that knows it."""
    played = PlayedServer(bus, *EVERYTHING)
    command = [sys.executable, "-m", "companion_agent", "session", "--folder", str(agent.folder)]
    environment = {"DBUS_SESSION_BUS_ADDRESS": bus.address, "XDG_RUNTIME_DIR": str(images)}
    helper = subprocess.Popen(command, env={**os.environ, **environment})
    agent.wait_for_value("notifications", SERVER, "mock-notify 1.0")
    yield played
    helper.terminate()
    helper.wait(PATIENCE)


@pytest.fixture
def notifications(agent: AgentEnd) -> Notifications:
    return plug_in(agent)


@pytest.fixture
def server(
    played: PlayedServer, agent: AgentEnd, notifications: Notifications
) -> Iterator[PlayedServer]:
    """The server, which has shown nothing yet."""
    yield played
    for number in range(1, 4):
        played.close(number, 1)
    # What is told of these comes before this is done.
    notifications.show(tag="last")
    notifications.clear("last")
    agent.events.clear()
    played.forget()


def test_all_of_a_notification_reaches_the_server(
    server: PlayedServer, notifications: Notifications, images: Path
) -> None:
    notifications.show(
        "<b>5 < 6</b> & more",
        title="Door <b>",
        urgency="critical",
        timeout=90,
        actions=BUTTONS,
        reply="ANSWER",
        reply_title="Say something",
        image=b64encode(PNG).decode(),
        sound="bell",
    )

    [(app, replaces, icon, summary, body, actions, hints, timeout)] = server.asked()
    assert (app, replaces, icon) == ("Home Assistant", 0, "")
    assert (summary, body) == ("Door <b>", "&lt;b&gt;5 &lt; 6&lt;/b&gt; &amp; more")
    assert actions == ["0", "Open", "1", "Leave it", "inline-reply", "Say something"]
    assert timeout == 90_000
    found = {name: value for name, (_, value) in hints.items()}
    assert (found["urgency"], found["sound-name"]) == (2, "bell")
    image = Path(found["image-path"].removeprefix("file://"))
    assert image.parent == images
    assert image.read_bytes() == PNG
    assert image.stat().st_mode & 0o077 == 0

    server.close(1, 2)
    wait_until(lambda: not image.exists())


def test_a_button_is_told_once(
    agent: AgentEnd, server: PlayedServer, notifications: Notifications
) -> None:
    notifications.show(tag="door", id="n1", actions=BUTTONS)

    server.press(1, "1")
    # As swaync does.
    for _ in range(3):
        server.close(1, 2)
    notifications.show("after it", tag="door", id="n2")
    server.close(2, 1)

    wait_until(lambda: len(agent.events) == 2)
    assert agent.events == [
        (
            "notifications",
            "pressed",
            {"id": "n1", "tag": "door", "action": "default", "user": "anna"},
        ),
        (
            "notifications",
            "closed",
            {"id": "n2", "tag": "door", "reason": "expired", "user": "anna"},
        ),
    ]


def test_a_reply_of_any_length_arrives_whole(
    agent: AgentEnd, server: PlayedServer, notifications: Notifications
) -> None:
    notifications.show(reply="ANSWER", id="n1")

    server.press(1, "inline-reply")
    server.reply(1, "ja " * 100)

    wait_until(lambda: bool(agent.events))
    [(_, event, data)] = agent.events
    assert (event, data["action"]) == ("replied", "ANSWER")
    assert data["reply"] + data["reply_1"] == "ja " * 100


def test_a_tag_replaces_and_clears(server: PlayedServer, notifications: Notifications) -> None:
    notifications.show("first", tag="door")
    notifications.show("second", tag="door")
    notifications.show("other")

    notifications.clear("door")
    notifications.clear("never shown")

    assert [one[1] for one in server.asked()] == [0, 1, 0]
    assert server.asked("CloseNotification") == [(1,)]


def test_what_others_show_is_not_told(
    agent: AgentEnd, server: PlayedServer, notifications: Notifications
) -> None:
    notifications.show(id="ours")

    server.close(99, 2)
    server.close(1, 2)

    wait_until(lambda: bool(agent.events))
    assert [data["id"] for _, _, data in agent.events] == ["ours"]


def test_an_image_that_is_none_is_refused(
    server: PlayedServer, notifications: Notifications
) -> None:
    with pytest.raises(CommandError, match="neither PNG nor JPEG"):
        notifications.show(image=b64encode(b"<svg/>").decode())
