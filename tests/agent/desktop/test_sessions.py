"""Whose desktop is meant, and what becomes of it when users come, switch and go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop import sessions as desktop_sessions
from companion_agent.desktop.messages import Happened, Offer, Offered, Outcome, Thing, Values
from companion_agent.errors import CommandError, Unavailable
from companion_agent.models import Command, Reading
from companion_agent.plugins.desktop import DesktopPlugin
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
from support.agent_host import FakePlatform
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ON = Thing("on")
ANNA, BEN = session("1"), session("2", "ben", uid=1001)


class LampPlugin(DesktopPlugin):
    """A domain of a desktop."""

    name = "screen"
    declared_readings = (Reading("on"),)
    declared_commands = (Command("screen.on", state="screen.on"),)


@pytest.fixture
def lamp(agent: AgentEnd) -> LampPlugin:
    return LampPlugin(FakePlatform(), None, agent.sessions)  # type: ignore[arg-type]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def lit(end: HelperEnd, agent: AgentEnd, *, on: bool = True) -> None:
    """Offer the lamp."""
    agent.offered.clear()
    end.offer("screen", reads=(ON,), does=(ON,), values={ON: on})
    agent.wait_for_offer("screen")


@pytest.fixture
def anna(agent: AgentEnd, admit: Callable[[], HelperEnd]) -> HelperEnd:
    """The helper of anna, whose lamp is on."""
    agent.follow(ANNA)
    end = admit()
    lit(end, agent)
    agent.wait_for_value("screen", ON, True)
    return end


@pytest.fixture
def ben(
    agent: AgentEnd, control: FakeControl, anna: HelperEnd, admit: Callable[[], HelperEnd]
) -> HelperEnd:
    """The helper of ben, who has switched to his session beside anna's; his lamp is off."""
    control.answers[0] = BEN
    agent.follow(ANNA._replace(active=False), BEN)
    end = admit()
    lit(end, agent, on=False)
    agent.wait_for_value("screen", ON, False)
    return end


def test_a_helper_reads_and_does_what_the_plug_in_declares(
    lamp: LampPlugin, anna: HelperEnd, pool: ThreadPoolExecutor
) -> None:
    assert lamp.collect() == {"on": True}
    (command,) = lamp.commands()
    assert (command.key, command.state) == ("screen.on", "screen.on")

    running = pool.submit(lamp.run, "screen.on", {"session": ""})

    call = anna.answer()
    assert (call["domain"], call["command"], call["args"]) == ("screen", ["on", ""], {})
    running.result()


def test_a_helper_cannot_define_what_is_not_declared(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    secret = Thing("run_program")
    agent.offered.clear()
    anna.offer("screen", reads=(ON, secret), does=(secret,), values={ON: True, secret: "x"})
    agent.wait_for_offer("screen")

    assert lamp.collect() == {"on": True}
    assert lamp.commands() == []


def test_a_value_of_another_type_costs_only_itself(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    anna.say(Values("screen", {ON: "yes"}))
    agent.wait_for_value("screen", ON, "yes")

    assert lamp.collect() == {"on": None}


def test_several_of_a_kind_are_told_apart(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    left = Thing("on", "DP-1")
    agent.offered.clear()
    anna.offer("screen", reads=(ON, left), does=(left,), values={ON: True, left: False})
    agent.wait_for_offer("screen")
    agent.wait_for_value("screen", left, False)

    assert lamp.collect() == {"on": True, "on.dp-1": False}
    assert [(one.key, one.kind, one.of) for one in lamp.readings()] == [
        ("on", "screen.on", ""),
        ("on.dp-1", "screen.on", "DP-1"),
    ]
    (command,) = lamp.commands()
    assert (command.key, command.kind, command.state) == (
        "screen.on.dp-1",
        "screen.on",
        "screen.on.dp-1",
    )


def test_before_a_login_there_is_nothing(lamp: LampPlugin) -> None:
    with pytest.raises(Unavailable, match="no user is logged in"):
        lamp.collect()
    with pytest.raises(Unavailable):
        lamp.commands()


def test_a_user_without_a_helper_is_named(agent: AgentEnd, lamp: LampPlugin) -> None:
    agent.follow(ANNA)

    with pytest.raises(Unavailable, match="the session helper of anna does not run"):
        lamp.collect()
    assert agent.server.describe()["lacking"] == ["anna"]


def test_a_helper_that_is_killed_takes_its_values_along_and_nothing_else(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd, admit: Callable[[], HelperEnd]
) -> None:
    anna.close()
    wait_until(lambda: not agent.sessions.knows("1"))

    assert lamp.collect() == {"on": None}
    with pytest.raises(CommandError, match="the session helper of anna does not run"):
        lamp.run("screen.on", {})
    lit(admit(), agent)
    agent.wait_for_value("screen", ON, True)
    assert lamp.collect() == {"on": True}


def test_the_session_that_the_seat_shows_is_meant(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd, ben: HelperEnd
) -> None:
    assert lamp.collect() == {"on": False}

    agent.follow(ANNA, BEN._replace(active=False))

    assert lamp.collect() == {"on": True}


def test_another_session_can_be_named(
    lamp: LampPlugin, anna: HelperEnd, ben: HelperEnd, pool: ThreadPoolExecutor
) -> None:
    for name in ("anna", "1"):
        running = pool.submit(lamp.run, "screen.on", {"session": name})
        assert anna.answer()["command"] == ["on", ""]
        running.result()
    with pytest.raises(CommandError, match="no session helper runs for carl"):
        lamp.run("screen.on", {"session": "carl"})


def test_a_login_screen_in_front_is_no_desktop(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    agent.follow(ANNA._replace(active=False))

    assert lamp.collect() == {"on": None}
    with pytest.raises(CommandError, match="the login screen is shown"):
        lamp.run("screen.on", {})


def test_a_locked_session_is_meant_all_the_same(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    agent.follow(ANNA._replace(locked=True))

    assert lamp.collect() == {"on": True}


def test_a_remote_session_is_meant_while_no_user_sits_there(
    agent: AgentEnd, lamp: LampPlugin, control: FakeControl, admit: Callable[[], HelperEnd]
) -> None:
    far = session("c1", seat="", remote=True, type="x11")
    control.answers[0] = far
    agent.follow(far)
    lit(admit(), agent)
    agent.wait_for_value("screen", ON, True)

    assert lamp.collect() == {"on": True}

    agent.follow(far, BEN)
    assert lamp.collect() == {"on": None}


def test_a_session_that_ends_lets_its_helper_go(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    agent.follow()

    assert anna.hear()["refused"] == "ended"
    assert anna.hear() == {}
    wait_until(lambda: not agent.sessions.knows("1"))
    assert lamp.collect() == {"on": None}


def test_events_of_the_session_in_front_are_told(
    agent: AgentEnd, anna: HelperEnd, ben: HelperEnd
) -> None:
    anna.say(Happened("screen", "turned_off", {}))
    ben.say(Happened("screen", "turned_on", {"by": "hand"}))

    wait_until(lambda: agent.events)
    assert agent.events == [("screen", "turned_on", {"by": "hand", "user": "ben"})]


def test_what_a_helper_withdraws_is_gone(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd
) -> None:
    agent.offered.clear()
    anna.say(Offered("screen", Offer(why={"": "the monitor was taken away"})))
    agent.wait_for_offer("screen")

    with pytest.raises(Unavailable, match="the monitor was taken away"):
        lamp.collect()


def test_a_failure_is_told_with_its_words(
    lamp: LampPlugin, anna: HelperEnd, pool: ThreadPoolExecutor
) -> None:
    running = pool.submit(lamp.run, "screen.on", {})
    anna.answer("failed", "it is still off")

    with pytest.raises(CommandError, match="it is still off"):
        running.result()


def test_a_helper_that_ends_while_it_is_called_fails_the_call(
    lamp: LampPlugin, anna: HelperEnd, pool: ThreadPoolExecutor
) -> None:
    running = pool.submit(lamp.run, "screen.on", {})
    anna.hear()
    anna.close()

    with pytest.raises(CommandError, match="the session helper of anna has ended"):
        running.result()


def test_a_helper_that_is_frozen_is_believed_nothing_until_it_speaks(
    agent: AgentEnd, lamp: LampPlugin, anna: HelperEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop_sessions, "CALL_LIMIT", 0.1)
    with pytest.raises(CommandError, match="did not answer within"):
        lamp.run("screen.on", {})
    assert lamp.collect() == {"on": None}

    anna.say(Values("screen", {ON: False}))

    agent.wait_for_value("screen", ON, False)


def test_an_outcome_of_another_helpers_call_changes_nothing(
    lamp: LampPlugin, anna: HelperEnd, ben: HelperEnd, pool: ThreadPoolExecutor
) -> None:
    running = pool.submit(lamp.run, "screen.on", {"session": "anna"})
    call: dict[str, Any] = anna.hear()
    ben.say(Outcome(call["call"], "failed", "forged"))
    anna.say(Outcome(call["call"]))

    running.result()
