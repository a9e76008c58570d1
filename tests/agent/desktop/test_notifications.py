"""Notifications, from the agent's plug-in through a session helper to a notification server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import errno
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop import sessions as desktop_sessions
from companion_agent.desktop.messages import Happened
from companion_agent.errors import CommandError, Unavailable
from companion_agent.plugins.notifications.kept import KEPT_FILE, MAX_KEPT, KeptNotifications
from companion_agent.security.authorizer import check_arguments
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
from support.agent_notifications import (
    BUTTONS,
    CLEAR,
    SERVER,
    SHOW,
    Dunst,
    Notifications,
    PlayedServer,
    plug_in,
)
from support.event_loop import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.agent_logind import SystemBus

pytestmark = pytest.mark.proves("notifications.*")


@pytest.fixture
def notifications(agent: AgentEnd) -> Notifications:
    return plug_in(agent)


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


def test_what_is_kept_outlasts_the_agent_until_it_was_shown(
    agent: AgentEnd, admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    log_out(agent, admit_able(), notifications)
    notifications.show("The bell rang", id="n1", when_absent="keep", actions=BUTTONS)
    notifications.show("replaced", tag="door", when_absent="keep")
    notifications.show("The door was opened", tag="door", when_absent="keep")
    notifications.show("cleared", tag="gate", when_absent="keep")
    notifications.clear("gate")

    after = plug_in(agent)
    agent.follow(session())
    end = admit_able()
    shown: list[dict[str, Any]] = []

    def answer() -> None:
        shown.extend(end.answer()["args"] for _ in range(2))

    probe(after, answer)
    assert [one["message"] for one in shown] == ["The bell rang", "The door was opened"]
    assert (shown[0]["id"], shown[0]["actions"]) == ("n1", BUTTONS)
    assert not list(KeptNotifications(agent.folder / "state").waiting())


def test_what_a_helper_that_ends_has_not_shown_waits_further(
    agent: AgentEnd, admit_able: Callable[[], HelperEnd], notifications: Notifications
) -> None:
    log_out(agent, admit_able(), notifications)
    notifications.show("The bell rang", when_absent="keep")
    agent.follow(session())
    end = admit_able()

    def end_it() -> None:
        end.hear()
        end.close()

    probe(notifications, end_it)

    [(_, waiting)] = KeptNotifications(agent.folder / "state").waiting()
    assert waiting["message"] == "The bell rang"
    again = admit_able()
    probe(notifications, again.answer)
    assert not list(KeptNotifications(agent.folder / "state").waiting())


def test_what_cannot_be_kept_is_an_error(
    agent: AgentEnd,
    admit_able: Callable[[], HelperEnd],
    notifications: Notifications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log_out(agent, admit_able(), notifications)
    monkeypatch.setattr("companion_agent.storage.state_file.write_private", fail)

    with pytest.raises(CommandError, match="cannot be written: No space left"):
        notifications.show("The bell rang", when_absent="keep")


def test_what_was_kept_and_is_damaged_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / KEPT_FILE).write_text('{"version": 1, "waiting": [{"message": 5}]}')

    assert not list(KeptNotifications(tmp_path).waiting())

    assert "damaged" in caplog.text
    assert (tmp_path / f"{KEPT_FILE}.damaged").exists()


def probe(notifications: Notifications, answer: Callable[[], object]) -> None:
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


# --- Servers that come and go ----------------------------------------------------------------


@pytest.fixture
def start(
    agent: AgentEnd,
    bus: SystemBus,
    run_command: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], None]:
    """Start a session helper, and wait until it knows its server."""
    agent.folder.chmod(0o755)

    # A helper that is slow on a busy machine is not frozen.
    monkeypatch.setattr(desktop_sessions, "CALL_LIMIT", PATIENCE)

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
    server = PlayedServer(bus, "actions", "body")
    start("mock-notify 1.0")
    return server


def test_a_server_without_markup_gets_the_text_as_it_is(
    bus: SystemBus, start: Callable[[str], None], notifications: Notifications
) -> None:
    server = PlayedServer(bus, "body")
    start("mock-notify 1.0")

    notifications.show("5 < 6", title="Sums")

    assert server.asked()[0][4] == "5 < 6"
    assert {"actions", "reply", "image", "sound"}.isdisjoint(notifications.arguments("show"))


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
