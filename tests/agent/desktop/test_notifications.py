"""Notifications, from the agent's plug-in through a session helper to a notification server."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import Happened, Thing
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.notifications.plugin import MAX_KEPT, NotificationsPlugin
from companion_agent.security.authorizer import check_arguments
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
from support.agent_host import FakePlatform
from support.agent_notifications import Dunst, PlayedServer
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.agent_logind import SystemBus

SHOW, CLEAR, SERVER = Thing("show"), Thing("clear"), Thing("server")
EVERYTHING = ("actions", "body", "body-markup", "icon-static", "inline-reply", "sound")
PNG = b"\x89PNG\r\n\x1a\n and the rest"
BUTTONS = [{"action": "OPEN", "title": "Open"}, {"action": "default", "title": "Leave it"}]


class Notifications:
    """The plug-in as the command layer uses it."""

    def __init__(self, plugin: NotificationsPlugin) -> None:
        self.plugin = plugin

    def arguments(self, name: str) -> Any:
        key = f"notifications.{name}"
        return next(one.args for one in self.plugin.commands() if one.key == key)

    def show(self, message: str = "The door is open", **args: Any) -> None:
        checked = check_arguments(self.arguments("show"), {"message": message, **args})
        self.plugin.run("notifications.show", checked)

    def clear(self, tag: str) -> None:
        self.plugin.run(
            "notifications.clear", check_arguments(self.arguments("clear"), {"tag": tag})
        )


@pytest.fixture
def notifications(agent: AgentEnd) -> Notifications:
    plugin = NotificationsPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]
    return Notifications(plugin)


@pytest.fixture
def admit_able(agent: AgentEnd, admit: Callable[[], HelperEnd]) -> Callable[[], HelperEnd]:
    """Connect a helper whose session shows notifications."""

    def admit_able() -> HelperEnd:
        agent.offered.clear()
        end = admit()
        end.offer("notifications", reads=(SERVER,), does=(SHOW, CLEAR), values={SERVER: "dunst"})
        agent.wait_for_offer("notifications")
        return end

    return admit_able


# --- In the agent ----------------------------------------------------------------------------


def test_what_the_server_lacks_is_no_argument(
    agent: AgentEnd, admit: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    admit().offer("notifications", does=(SHOW, CLEAR), reply="no field", reply_title="no field")
    agent.wait_for_offer("notifications")

    assert {"reply", "reply_title"}.isdisjoint(notifications.arguments("show"))
    with pytest.raises(CommandError, match="there is no argument reply"):
        notifications.show(reply="ANSWER")


def test_without_a_session_ever_there_is_nothing(notifications: Notifications) -> None:
    with pytest.raises(Unavailable, match="no user is logged in"):
        notifications.plugin.commands()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"urgency": "loud"}, "urgency is not one of low, normal, critical"),
        ({"when_absent": "drop"}, "when_absent is not one of error, keep"),
        ({"title": "x" * 256}, "title is not a text of up to 255 characters"),
        ({"message": 5}, "message is not a text of up to 2000"),
        ({"actions": BUTTONS * 3}, "actions is not a list of up to 5"),
        ({"actions": [{"title": "Open"}]}, "action is missing"),
        ({"actions": [{"action": "A", "title": "B", "uri": "C"}]}, "something else than action"),
        ({"image": "%"}, "image is not base64"),
        ({"image": "A" * 100_000}, "image is not a file of up to 65536 bytes"),
        ({"timeout": -2}, "timeout is not -1 to 86400 seconds"),
    ],
)
def test_a_wrong_argument_is_named(
    admit_able: Callable[[], HelperEnd],
    notifications: Notifications,
    given: dict[str, Any],
    complaint: str,
) -> None:
    admit_able()

    with pytest.raises(CommandError, match=complaint) as caught:
        notifications.show(**{"message": "x", **given})
    assert caught.value.reason == "bad_arguments"


def test_texts_lose_what_controls_a_screen(
    admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    admit_able()

    arguments = notifications.arguments("show")
    checked = check_arguments(
        arguments, {"message": "Grüße 🚪\r\nfrom\x1b[31m\u202e\there", "title": "two\nlines"}
    )

    assert checked["message"] == "Grüße 🚪\nfrom[31m here"
    assert checked["title"] == "two lines"


def log_out(agent: AgentEnd, end: HelperEnd, notifications: Notifications) -> None:
    # The agent asks whenever a helper offers something.
    notifications.plugin.commands()
    end.close()
    agent.follow()
    wait_until(lambda: not agent.sessions.able("notifications", SHOW))


def test_without_a_user_it_is_an_error_that_says_so(
    agent: AgentEnd, admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    log_out(agent, admit_able(), notifications)

    with pytest.raises(CommandError, match="no user is logged in"):
        notifications.show()


def test_what_is_kept_is_shown_when_a_user_logs_in(
    agent: AgentEnd, admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    log_out(agent, admit_able(), notifications)
    notifications.show("replaced", tag="door", when_absent="keep")
    notifications.show("The door was opened", tag="door", when_absent="keep")
    notifications.show("cleared", tag="bell", when_absent="keep")
    notifications.clear("bell")

    agent.follow(session())
    end = admit_able()
    shown: list[dict[str, Any]] = []

    def answer() -> None:
        shown.append(end.answer()["args"])

    probe(notifications, answer)
    assert [one["message"] for one in shown] == ["The door was opened"]


def probe(notifications: Notifications, answer: Callable[[], None]) -> None:
    """Have the plug-in say what it can do, as the agent does when a helper has come."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(notifications.plugin.commands)
        answer()
        asked.result()


def test_no_more_is_kept_than_a_user_would_read(
    agent: AgentEnd, admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    log_out(agent, admit_able(), notifications)
    for number in range(MAX_KEPT + 1):
        notifications.show(str(number), when_absent="keep")

    agent.follow(session())
    end = admit_able()
    shown: list[str] = []

    def answer() -> None:
        shown.extend(end.answer()["args"]["message"] for _ in range(MAX_KEPT))

    probe(notifications, answer)
    assert shown == [str(number) for number in range(1, MAX_KEPT + 1)]


def test_every_session_shows_what_is_for_everyone(
    agent: AgentEnd,
    control: FakeControl,
    admit_able: Callable[[], HelperEnd],
    notifications: Notifications,
) -> None:
    anna = admit_able()
    control.answers.append(session("2", "bert", uid=1001, active=False))
    control.answers.popleft()
    bert = admit_able()
    shown: list[dict[str, Any]] = []

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: notifications.show(session="*"))
        shown += [anna.answer(), bert.answer()]
        asked.result()

    assert [call["command"] for call in shown] == [["show", ""], ["show", ""]]
    bert.say(Happened("notifications", "pressed", {"action": "OPEN"}))
    wait_until(lambda: bool(agent.events))
    assert agent.events == [("notifications", "pressed", {"action": "OPEN", "user": "bert"})]


# --- A server that is played -----------------------------------------------------------------


@pytest.fixture
def start(
    agent: AgentEnd,
    bus: SystemBus,
    run_command: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> Callable[[str], None]:
    """Start a session helper, and wait until it knows its server."""
    agent.folder.chmod(0o755)

    def start(server: str) -> None:
        run_command(
            "session",
            "--folder",
            str(agent.folder),
            DBUS_SESSION_BUS_ADDRESS=bus.address,
            XDG_RUNTIME_DIR=str(tmp_path),
        )
        agent.wait_for_value("notifications", SERVER, server)

    return start


@pytest.fixture
def server(bus: SystemBus, start: Callable[[str], None]) -> PlayedServer:
    server = PlayedServer(bus, *EVERYTHING)
    start("mock-notify 1.0")
    return server


def test_all_of_a_notification_reaches_the_server(
    server: PlayedServer, notifications: Notifications, tmp_path: Path
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
    assert image.parent == tmp_path
    assert image.read_bytes() == PNG
    assert image.stat().st_mode & 0o077 == 0

    server.close(1, 2)
    wait_until(lambda: not image.exists())


def test_a_server_without_markup_gets_the_text_as_it_is(
    bus: SystemBus, start: Callable[[str], None], notifications: Notifications
) -> None:
    server = PlayedServer(bus, "body")
    start("mock-notify 1.0")

    notifications.show("5 < 6", title="Sums")

    assert server.asked()[0][4] == "5 < 6"
    assert {"actions", "reply", "image", "sound"}.isdisjoint(notifications.arguments("show"))


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


def test_a_server_that_comes_later_is_found(
    agent: AgentEnd, bus: SystemBus, start: Callable[[str], None], server: PlayedServer,
    notifications: Notifications,
) -> None:  # fmt: skip
    notifications.show(id="n1")
    bus.stop_mock("org.freedesktop.Notifications")

    PlayedServer(bus, "body")
    wait_until(lambda: "actions" not in notifications.arguments("show"))

    assert agent.events == [
        (
            "notifications",
            "closed",
            {"id": "n1", "tag": "", "reason": "server_ended", "user": "anna"},
        )
    ]


# --- dunst -----------------------------------------------------------------------------------


@pytest.fixture
def dunst(
    bus: SystemBus, start: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dunst]:
    if missing := Dunst.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: apt install dunst xvfb)")
    dunst = Dunst(bus, tmp_path_factory.mktemp("dunst"))
    try:
        start(f"dunst {dunst_version()}")
        yield dunst
    finally:
        dunst.stop()


def dunst_version() -> str:
    said = subprocess.run(["dunst", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"notification-daemon (.+)", said.stdout)
    assert found
    return found[1]


def test_dunst_shows_replaces_answers_and_clears(
    agent: AgentEnd, dunst: Dunst, notifications: Notifications
) -> None:
    # It has buttons, and neither a reply field nor sounds.
    arguments = notifications.arguments("show").keys()
    assert {"actions", "image"} <= arguments
    assert {"reply", "reply_title", "sound"}.isdisjoint(arguments)

    notifications.show("5 < 6 & <b>Grüße</b>", title="Door", tag="door", id="n1", actions=BUTTONS)
    notifications.show("It rang & rang", title="Bell", tag="door", id="n2", actions=BUTTONS)
    wait_until(lambda: dunst.displayed() == 1)
    dunst.control("context")

    wait_until(lambda: bool(agent.events))
    assert agent.events == [
        (
            "notifications",
            "pressed",
            {"id": "n2", "tag": "door", "action": "default", "user": "anna"},
        )
    ]
    wait_until(lambda: dunst.displayed() == 0)

    notifications.show("5 < 6 & <b>Grüße</b>", title="Door", tag="sums", id="n3")
    wait_until(lambda: dunst.displayed() == 1)
    notifications.clear("sums")
    wait_until(lambda: len(agent.events) == 2)
    assert agent.events[1][2]["reason"] == "cleared"
    newest = dunst.history()[0]
    assert (newest["summary"], newest["appname"]) == ("Door", "Home Assistant")
    # It is what is read on the screen: dunst takes markup out of its history.
    assert newest["body"] == "5 < 6 & <b>Grüße</b>"
