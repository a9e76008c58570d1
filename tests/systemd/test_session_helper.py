"""Session helpers of real users, at the hardened service: systemd, logind and two people."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from commanding import FLEET_KEY, FakeHomeAssistant
import pytest

from companion_agent.service.unit import SERVICE, SESSION_SERVICE
from stack import nspawn
from stack.process import wait_for
from support.desktops import GNOME_SHELL, KWIN, MUTTER, SWAY, Desktops, gnome_press
from support.wayland_window import PROGRAM as PROGRAM_WITH_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.broker import Mosquitto
    from stack.nspawn import SystemdHost

pytestmark = pytest.mark.proves("notifications.*", "session.lock", "screen.on", "screen.time_out")

KEEP_AWAKE, TIME_OUT = "screen.keep_awake", "screen.time_out"
WINDOW, POINTER = "support.wayland_window", "support.wayland_pointer"
MUTTER_ON, MUTTER_OFF = 0, 3
BUTTONS = [{"action": "OPEN", "title": "Open"}, {"action": "LEAVE", "title": "Leave it"}]
_ANSWERS = "event/notifications"
RECORD = "/var/lib/pilot-agent/audit.log"


class NotificationServers:
    """Notification servers of anna's desktop, one after the other, and what is shown on them."""

    def __init__(self, desktops: Desktops, home_assistant: FakeHomeAssistant) -> None:
        self._desktops = desktops
        self._home_assistant = home_assistant
        self._before = 0

    def wait_for(self, name: str) -> None:
        """Wait until one is known, by the name that it has for itself."""
        wait_for(lambda: self._server().startswith(name), f"{name} to be known", timeout=60)
        self._before = len(self._home_assistant.said(_ANSWERS))

    def _server(self) -> str:
        return str(self._home_assistant.reading("notifications.server"))

    def wait_until_lacking(self, *arguments: str) -> None:
        """Wait until these alone are said not to be offered: the announce follows the reading."""
        optional = {"actions", "image", "reply", "reply_title", "sound"}

        def lacking() -> set[str]:
            return optional - self._home_assistant.commands()["notifications.show"]["args"].keys()

        wait_for(lambda: lacking() == set(arguments), f"only {arguments} to be missing")

    def show_and_press(self, *press: str) -> None:
        """Show one with two buttons, and press the second by the server's own tool."""
        self._show("n1", actions=BUTTONS)
        assert self._desktops.run_as("anna", *press).returncode == 0
        self._wait_to_hear("pressed", id="n1", action="LEAVE")

    def show_and_clear(self) -> None:
        """Show one and take it away; what was pressed before is told once."""
        self._show("n2")
        assert self._home_assistant.command("notifications.clear", tag="door")["status"] == "done"
        self._wait_to_hear("closed", id="n2", reason="cleared")
        assert [event["data"]["id"] for event in self._events()] == ["n1", "n2"]

    def _show(self, name: str, **more: Any) -> None:
        shown = self._home_assistant.command(
            "notifications.show", message="It rang", title="Door", tag="door", id=name, **more
        )
        assert shown["status"] == "done"

    def _wait_to_hear(self, event_type: str, **data: str) -> None:
        def told() -> bool:
            return any(
                event["type"] == event_type and data.items() <= event["data"].items()
                for event in self._events()
            )

        wait_for(told, f"{event_type} with {data}")

    def _events(self) -> list[dict[str, Any]]:
        return [message.body for message in self._home_assistant.said(_ANSWERS)[self._before :]]


@pytest.fixture
def desktops(make_desktops: Callable[..., Desktops]) -> Desktops:
    return make_desktops()


@pytest.fixture
def make_desktops(
    make_agent_host: Callable[..., SystemdHost], broker: Mosquitto
) -> Callable[..., Desktops]:
    def make(**options: Any) -> Desktops:
        config = {
            "broker": {"host": broker.host, "port": broker.port},
            "security": {"fleet_key": base64.b64encode(FLEET_KEY).decode()},
            "desktop": {"idle_after": 5, "window": True},
        }
        desktops = Desktops(make_agent_host(**options))
        desktops.install(config)
        return desktops

    return make


def test_two_users_and_a_stranger(desktops: Desktops) -> None:
    desktops.log_in("anna")
    wait_for(lambda: desktops.helpers() == {"anna": True}, "anna's helper", timeout=60)

    desktops.log_in("ben")
    wait_for(lambda: len(desktops.helpers()) == 2, "ben's helper", timeout=60)
    assert sum(desktops.helpers().values()) == 1

    before = desktops.pid("anna")
    desktops.manager("anna", "kill", "--signal=KILL", SESSION_SERVICE)
    wait_for(lambda: desktops.pid("anna") not in {"0", before}, "anna's helper again")

    desktops.host.add_user("carl")
    refused = desktops.host.run("timeout", "5", "pilot-agent", "session", user="carl", check=False)
    assert "works in no session" in refused.stderr
    record = [json.loads(line) for line in desktops.host.run("cat", RECORD).stdout.splitlines()]
    uid = int(desktops.uid("carl"))
    # It tries again as long as it runs.
    assert {(one["reason"], one["uid"]) for one in record} == {("no_session", uid)}
    wait_for(lambda: set(desktops.helpers()) == {"anna", "ben"}, "both helpers", timeout=60)


def test_users_are_switched_locked_and_work_from_afar(
    home_assistant: FakeHomeAssistant, desktops: Desktops
) -> None:
    def meant() -> list[str]:
        return [user for user, in_use in desktops.helpers().items() if in_use]

    for user in ("anna", "ben"):
        desktops.log_in(user)
        wait_for(lambda user=user: user in desktops.helpers(), f"{user}'s helper", timeout=60)
    desktops.host.add_user("carl")
    from_afar = desktops.log_in_from("carl", "192.0.2.7")
    wait_for(lambda: "carl" in desktops.helpers(), "carl's helper", timeout=60)

    # The seat has no virtual terminals: logind switches it itself.
    for user in ("anna", "ben", "anna"):
        desktops.host.run("loginctl", "activate", desktops.session(user))
        wait_for(lambda user=user: meant() == [user], f"{user} in front", timeout=60)

    desktops.host.run("loginctl", "lock-session", desktops.session("anna"))
    wait_for(lambda: home_assistant.body("event/session")["type"] == "locked", "the lock")
    assert home_assistant.body("event/session")["data"] == {
        "user": "anna",
        "remote": False,
        "type": "wayland",
    }
    assert meant() == ["anna"]

    for user in ("anna", "ben"):
        desktops.host.run("loginctl", "terminate-user", user)
    wait_for(lambda: meant() == ["carl"], "the remote session", timeout=60)
    desktops.host.run("systemctl", "stop", from_afar)
    wait_for(lambda: not desktops.helpers(), "carl's leaving", timeout=60)
    told = home_assistant.body("event/session")
    assert (told["type"], told["data"]) == (
        "logged_out",
        {"user": "carl", "remote": True, "type": "x11"},
    )


def test_helpers_outlast_the_agent_and_the_agent_outlasts_them(
    home_assistant: FakeHomeAssistant, desktops: Desktops
) -> None:
    desktops.log_in("anna")
    wait_for(lambda: KEEP_AWAKE in home_assistant.commands(), "anna's desktop", timeout=60)
    wait_for(lambda: home_assistant.reading(KEEP_AWAKE) is False, "its readings")
    helper = desktops.pid("anna")

    # The new agent announces the desktop at once, though its helper comes a second later.
    for way in ("reload", "restart"):
        before = home_assistant.body("announce")["session"]
        home_assistant.forget()
        desktops.host.run("systemctl", way, SERVICE)
        new = home_assistant.wait_for_another_session(before)
        wait_for(lambda new=new: home_assistant.reading(KEEP_AWAKE, new) is False, "its helper")
        assert desktops.pid("anna") == helper
        assert all(KEEP_AWAKE in commands for commands in home_assistant.all_commands())
    assert home_assistant.command(KEEP_AWAKE, value=1)["status"] == "done"

    desktops.manager("anna", "kill", "--signal=STOP", SESSION_SERVICE)
    frozen = home_assistant.command(KEEP_AWAKE, value=0)
    assert "did not answer within" in frozen["detail"]
    wait_for(lambda: home_assistant.reading(KEEP_AWAKE) is None, "its silence")
    desktops.manager("anna", "kill", "--signal=CONT", SESSION_SERVICE)
    # It does what it was asked, and says so.
    wait_for(lambda: home_assistant.reading(KEEP_AWAKE) is False, "its word")

    desktops.host.run("loginctl", "terminate-user", "anna")
    wait_for(lambda: home_assistant.reading(KEEP_AWAKE) is None, "anna's leaving")
    desktops.host.run("systemctl", "reboot", "--no-block")
    home_assistant.forget()
    desktops.host.wait_until_rebooted()
    assert KEEP_AWAKE in home_assistant.commands()
    screen = home_assistant.body("state")["collectors"]["screen"]
    assert screen["values"] == {"keep_awake": None}


trixie = pytest.mark.parametrize("suite", ["trixie"], indirect=True)


@trixie
def test_sway_its_screen_who_is_at_it_and_its_notification_servers(
    home_assistant: FakeHomeAssistant, make_desktops: Callable[..., Desktops]
) -> None:
    desktops = make_desktops(layers=[nspawn.desktops("trixie")])
    desktops.log_in("anna", *SWAY)
    wait_for(lambda: "screen.on" in home_assistant.commands(), "the screen", timeout=60)
    assert desktops.power("anna") == [True]

    assert home_assistant.command("screen.on", value=0)["status"] == "done"
    assert desktops.power("anna") == [False]
    assert home_assistant.command("screen.on", value=1)["status"] == "done"
    assert desktops.power("anna") == [True]

    desktops.sway("anna", "output * power off")
    event = home_assistant.body("event/screen")
    assert (event["type"], event["data"]["user"]) == ("turned_off", "anna")

    # Nothing is touched, and then something is.
    wait_for(lambda: home_assistant.reading("presence.in_use") is False, "absence", timeout=60)
    desktops.play("anna", POINTER)
    wait_for(lambda: home_assistant.reading("presence.in_use"), "presence", timeout=60)

    assert home_assistant.reading("window.title") is None
    desktops.play("anna", WINDOW, "A letter")
    wait_for(lambda: home_assistant.reading("window.title") == "A letter", "a window", timeout=60)
    assert home_assistant.reading("window.program") == PROGRAM_WITH_WINDOW
    assert home_assistant.reading("window.full_screen") is False
    desktops.sway("anna", "fullscreen enable")
    wait_for(lambda: home_assistant.reading("window.full_screen"), "a full screen", timeout=60)

    servers = NotificationServers(desktops, home_assistant)
    # Debian starts it with the session.
    servers.wait_for("SwayNotificationCenter")
    servers.wait_until_lacking("sound")
    servers.show_and_press("swaync-client", "--action", "1")
    servers.show_and_clear()

    desktops.replace("anna", "swaync", "mako")
    servers.wait_for("mako")
    servers.wait_until_lacking("reply", "reply_title", "sound")
    servers.show_and_press("makoctl", "invoke", "1")
    servers.show_and_clear()


@trixie
def test_gnome_shell_and_the_no_of_kwin(
    home_assistant: FakeHomeAssistant, make_desktops: Callable[..., Desktops]
) -> None:
    desktops = make_desktops(layers=nspawn.large_desktops("trixie"))
    desktops.log_in("anna", *GNOME_SHELL)
    wait_for(
        lambda: {"screen.on", "notifications.show"} <= home_assistant.commands().keys(),
        "GNOME's shell",
        timeout=120,
    )

    assert home_assistant.command("screen.on", value=0)["status"] == "done"
    assert desktops.mutter_mode("anna") == MUTTER_OFF
    assert home_assistant.command("screen.on", value=1)["status"] == "done"
    assert desktops.mutter_mode("anna") == MUTTER_ON
    desktops.set_mutter_mode("anna", MUTTER_OFF)
    event = home_assistant.body("event/screen")
    assert (event["type"], event["data"]["user"]) == ("turned_off", "anna")

    assert home_assistant.command(TIME_OUT, value=600)["status"] == "done"
    wait_for(lambda: home_assistant.reading(TIME_OUT) == 600, "the time-out")
    desktops.run_as("anna", "gsettings", "set", "org.gnome.desktop.session", "idle-delay", "240")
    wait_for(lambda: home_assistant.reading(TIME_OUT) == 240, "the user's time-out")
    wait_for(lambda: home_assistant.reading("presence.in_use") is False, "absence", timeout=60)

    servers = NotificationServers(desktops, home_assistant)
    servers.wait_for("gnome-shell")
    servers.wait_until_lacking("reply", "reply_title")
    servers.show_and_press(*gnome_press("Door", "Leave it"))
    servers.show_and_clear()

    # Of its only monitor, a virtual one, KWin says that it cannot be switched.
    desktops.log_in("ben", *KWIN)
    refused = "the compositor says that it cannot be switched"
    wait_for(lambda: refused in desktops.helper_details().get("ben", ""), refused, timeout=120)


@trixie
def test_mutter_switches_the_screen_of_gnome(
    home_assistant: FakeHomeAssistant, make_desktops: Callable[..., Desktops]
) -> None:
    desktops = make_desktops(layers=[nspawn.desktops("trixie")])
    desktops.log_in("anna", *MUTTER)
    wait_for(lambda: "screen.on" in home_assistant.commands(), "the screen", timeout=60)

    assert home_assistant.command("screen.on", value=0)["status"] == "done"
    assert desktops.mutter_mode("anna") == MUTTER_OFF
    assert home_assistant.command("screen.on", value=1)["status"] == "done"
    assert desktops.mutter_mode("anna") == MUTTER_ON

    desktops.set_mutter_mode("anna", MUTTER_OFF)
    event = home_assistant.body("event/screen")
    assert (event["type"], event["data"]["user"]) == ("turned_off", "anna")
