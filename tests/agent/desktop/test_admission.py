"""Who is admitted at the socket of session helpers, and what becomes of the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from companion_agent.desktop.messages import MAX_MESSAGE, VERSION, Hello, Offer, Offered, Thing
from companion_agent.errors import Unavailable
from companion_agent.ipc import session_server
from companion_agent.ipc.peer import OVERFLOW_UID, Peer
from support.agent_desktop import AgentEnd, FakeControl, HelperEnd, session
from support.event_loop import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELLO = Hello(VERSION, "1.0.0")


def refusal(end: HelperEnd) -> str:
    """Return why the agent has hung up."""
    heard = end.hear()
    assert end.hear() == {}
    return str(heard["refused"])


def test_a_user_of_this_machine_is_admitted(connect: Callable[[], HelperEnd]) -> None:
    end = connect()

    end.say(HELLO)

    welcome = end.hear()["welcome"]
    assert (welcome["protocol"], welcome["session"]) == (VERSION, "1")


def test_every_user_may_connect(agent: AgentEnd) -> None:
    assert (agent.folder / "session.sock").stat().st_mode & 0o777 == 0o666


def test_a_user_without_a_session_is_refused_counted_and_recorded(
    agent: AgentEnd, control: FakeControl, connect: Callable[[], HelperEnd]
) -> None:
    control.answers[0] = None

    reason = refusal(connect())

    assert reason == "no_session"
    assert agent.server.refused == {"no_session": 1}
    recorded = json.loads(agent.record())
    assert (recorded["event"], recorded["reason"]) == ("session_helper", "no_session")


def test_nothing_is_read_of_a_stranger(
    agent: AgentEnd, control: FakeControl, connect: Callable[[], HelperEnd]
) -> None:
    control.answers[0] = None
    end = connect()

    end.say(HELLO, Offered("screen", Offer((Thing("on"),))))

    assert refusal(end) == "no_session"
    assert agent.offered == []


def test_a_machine_whose_sessions_cannot_be_asked_admits_only_the_agents_own_user(
    tmp_path: Path,
) -> None:
    control = FakeControl(Unavailable("logind does not run on this machine"))
    with AgentEnd(tmp_path, control) as agent:
        assert refusal(HelperEnd(agent.folder)) == "not_asked"
    with AgentEnd(tmp_path, control, uid=None) as agent:
        HelperEnd.admitted(agent.folder).close()


def test_a_second_helper_of_a_session_is_refused(
    admit: Callable[[], HelperEnd], connect: Callable[[], HelperEnd]
) -> None:
    admit()

    assert refusal(connect()) == "duplicate"


def test_a_helper_takes_the_place_of_one_that_ended(
    agent: AgentEnd, admit: Callable[[], HelperEnd]
) -> None:
    admit().close()
    wait_until(lambda: not agent.sessions.knows("1"))

    admit()


def test_a_service_that_cannot_see_users_says_so(
    agent: AgentEnd, connect: Callable[[], HelperEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Peer(1234, OVERFLOW_UID)
    monkeypatch.setattr("companion_agent.ipc.server.peer_of", lambda _: hidden)

    heard = connect().hear()

    assert heard["refused"] == "hidden_users"
    assert "sudo pilot-agent setup" in heard["detail"]


def test_another_version_is_named(connect: Callable[[], HelperEnd]) -> None:
    end = connect()

    end.say(Hello(VERSION + 1, "9.0.0"))

    heard = end.hear()
    assert heard["refused"] == "version"
    assert str(VERSION + 1) in heard["detail"]


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b"x" * (MAX_MESSAGE + 1),
    ],
)
def test_what_is_no_message_ends_the_connection(
    agent: AgentEnd, admit: Callable[[], HelperEnd], line: bytes
) -> None:
    end = admit()

    end.send(line)

    assert end.hear() == {}
    wait_until(lambda: not agent.sessions.knows("1"))


@pytest.mark.parametrize(
    "line",
    [
        b'{"offer": "Screen", "readings": [], "commands": []}\n',
        b'{"offer": "screen", "readings": [["on"]], "commands": []}\n',
        b'{"offer": "screen", "readings": [["on", ""], ["on", ""]], "commands": []}\n',
        b'{"values": "screen", "of": [["on", "", {}]]}\n',
        b'{"values": "screen", "of": [["on", "", 1e400]]}\n',
        b'{"outcome": true}\n',
        b'{"event": "screen", "type": "turned_on", "data": {"of": []}}\n',
        b'{"hello": {"protocol": 1, "version": "1"}}\n',
    ],
)
def test_a_message_that_breaks_a_rule_ends_the_connection(
    agent: AgentEnd, admit: Callable[[], HelperEnd], line: bytes
) -> None:
    end = admit()

    end.send(line)

    assert end.hear() == {} or end.hear() == {}
    wait_until(lambda: not agent.sessions.knows("1"))


def test_what_a_newer_helper_says_besides_is_left_alone(
    agent: AgentEnd, admit: Callable[[], HelperEnd]
) -> None:
    end = admit()

    end.send(b'{"weather": "fine"}\n')
    end.offer("screen", reads=(Thing("on"),))

    agent.wait_for_offer("screen")


def test_a_flood_ends_the_connection(agent: AgentEnd, admit: Callable[[], HelperEnd]) -> None:
    end = admit()

    end.send(b'{"weather": "fine"}\n' * 2 * int(session_server.BURST))

    assert refusal(end) == "flood"
    assert agent.server.refused["flood"] == 1


def test_one_user_does_not_keep_others_out(
    agent: AgentEnd, control: FakeControl, connect: Callable[[], HelperEnd]
) -> None:
    control.answers.clear()
    control.answers.extend(session(str(number)) for number in range(20))

    ends = [connect() for _ in range(session_server.MAX_OF_USER + 1)]

    assert refusal(ends[-1]) == "too_many"


def test_a_helper_that_connects_again_and_again_is_refused_without_asking(
    tmp_path: Path,
) -> None:
    control = FakeControl(None)
    with AgentEnd(tmp_path, control, clock=lambda: 0.0) as agent:
        reasons = [
            refusal(HelperEnd(agent.folder)) for _ in range(int(session_server.ADMISSION_BURST) + 1)
        ]

    assert reasons == ["no_session"] * (len(reasons) - 1) + ["flood"]
