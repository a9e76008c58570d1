"""Session helpers at the agent's named pipe, on a Windows that the tests play."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from companion_agent.desktop.messages import (
    MAX_MESSAGE,
    VERSION,
    Call,
    Happened,
    Hello,
    Offer,
    Offered,
    Refused,
    Thing,
    Welcome,
)
from companion_agent.desktop.sessions import SETTLED, DesktopSessions
from companion_agent.errors import Unavailable
from companion_agent.ipc.pipe_listener import PIPE, PipeListener
from companion_agent.ipc.session_server import SessionServer
from companion_agent.security.audit import AuditLog
from companion_agent.session_helper.link import AwayError, Link
from companion_agent.session_helper.pipe_link import connect
from companion_agent.storage.permissions import SERVICE_SID
from companion_agent.winapi import accounts, pipes
from support.agent_desktop import session
from support.clock import ManualClock
from support.event_loop import PATIENCE
from support.windows_api import FakeWindows
from support.windows_pipes import ANNA, BEN, FakePipes

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.desktop.messages import FromAgent
    from companion_agent.platforms.control import Session

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows is played here; tests/windows has real pipes"
)


class FakeControl:
    """Knows the sessions of a Windows machine."""

    def __init__(self) -> None:
        self.found: list[Session] = [session("1", uid=-1), session("2", "ben", uid=-1)]
        self.trouble = ""

    def sessions(self) -> list[Session]:
        if self.trouble:
            raise Unavailable(self.trouble)
        return self.found


class HelperEnd:
    """A session helper, which hears what the agent says."""

    def __init__(self, link: Link, heard: asyncio.Queue[FromAgent]) -> None:
        self.link = link
        self._heard = heard

    async def hear(self) -> FromAgent:
        async with asyncio.timeout(PATIENCE):
            return await self._heard.get()

    async def gone(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.link.gone.wait()

    async def admitted(self) -> None:
        self.link.send(Hello(VERSION, "1.0.0"))
        assert isinstance(await self.hear(), Welcome)

    def offer(self, *readings: Thing) -> None:
        why = {} if readings else {"": "no sound card"}
        self.link.send(Offered("sound", Offer(readings, why=why)))

    async def refusal(self) -> str:
        heard = await self.hear()
        await self.gone()
        assert isinstance(heard, Refused)
        return heard.reason


class AgentEnd:
    """The agent's end, in the test's event loop."""

    def __init__(self, folder: Path, control: FakeControl) -> None:
        self.clock = ManualClock()
        self.sessions = DesktopSessions(clock=self.clock)
        self._record = folder / "audit.log"
        audit = AuditLog(self._record, time.time, time.monotonic)
        self.server = SessionServer(
            PipeListener(),
            self.sessions,
            lambda: control,  # type: ignore[arg-type, return-value]
            audit,
            user="S-1-5-19",
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AgentEnd]:
        await self.server.open()
        yield self
        self.server.close()
        await until(lambda: not self.server.describe()["helpers"])

    def recorded(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._record.read_text("utf-8"))
        return found


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        # What is awaited is of a Windows that tells nothing.
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def helper() -> HelperEnd:
    heard: asyncio.Queue[FromAgent] = asyncio.Queue()
    return HelperEnd(await connect(heard.put_nowait), heard)


@pytest.fixture
def npfs(monkeypatch: pytest.MonkeyPatch) -> FakePipes:
    return FakePipes(FakeWindows().install(monkeypatch))


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def agent(npfs: FakePipes, tmp_path: Path, control: FakeControl) -> AgentEnd:
    return AgentEnd(tmp_path, control)


@pytest.fixture
def run(npfs: FakePipes, agent: AgentEnd) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Have something done while the agent listens; no pipe is left open afterwards."""

    def run(act: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            async with agent.running():
                await act()
            await until(lambda: not npfs.open)

        asyncio.run(main())

    return run


Run = Callable[[Callable[[], Awaitable[None]]], None]


def test_the_user_of_a_session_is_admitted_for_it(run: Run) -> None:
    async def act() -> None:
        end = await helper()
        end.link.send(Hello(VERSION, "1.0.0"))

        welcome = await end.hear()

        assert isinstance(welcome, Welcome)
        assert welcome.session == "1"
        end.link.hang_up()

    run(act)


def test_another_account_in_a_session_is_refused_counted_and_recorded(
    run: Run, npfs: FakePipes, agent: AgentEnd
) -> None:
    npfs.client = BEN

    async def act() -> None:
        assert await (await helper()).refusal() == "no_session"

    run(act)
    assert agent.server.refused == {"no_session": 1}
    assert agent.recorded() | {"time": ""} == {
        "time": "",
        "event": "session_helper",
        "reason": "no_session",
        "uid": BEN,
        "pid": 4_321,
        "session": "",
        "detail": "",
    }


def test_a_session_that_the_system_does_not_list_is_refused(run: Run, npfs: FakePipes) -> None:
    npfs.session = 7

    async def act() -> None:
        assert await (await helper()).refusal() == "no_session"

    run(act)


def test_what_one_user_has_another_users_desktop_does_not_withdraw(
    run: Run, npfs: FakePipes, agent: AgentEnd, control: FakeControl
) -> None:
    """Users of Windows have no numbers: their accounts tell them apart."""

    def at_the_screen(name: str) -> None:
        agent.server.follow([one._replace(active=one.id == name) for one in control.found])

    def offers(user: str, *, empty: bool) -> bool:
        (domains,) = (one["domains"] for one in agent.sessions.describe() if one["user"] == user)
        return bool("sound" in domains and domains["sound"]["empty"] is empty)

    async def act() -> None:
        at_the_screen("1")
        anna = await helper()
        await anna.admitted()
        anna.offer(Thing("volume"))
        await until(lambda: offers("anna", empty=False))
        announced = agent.sessions.view("sound").offer
        npfs.client, npfs.session, npfs.logged_in[2] = BEN, 2, BEN
        ben = await helper()
        await ben.admitted()
        at_the_screen("2")

        ben.offer()
        await until(lambda: offers("ben", empty=True))
        agent.clock.advance(SETTLED)

        assert agent.sessions.view("sound").offer == announced
        at_the_screen("1")
        anna.offer()
        await until(lambda: offers("anna", empty=True))
        agent.clock.advance(SETTLED)
        with pytest.raises(Unavailable, match="no sound card"):
            agent.sessions.view("sound")
        anna.link.hang_up()
        ben.link.hang_up()

    run(act)


def test_an_account_that_is_not_known_any_more_is_refused_with_the_reason(
    run: Run, npfs: FakePipes, agent: AgentEnd
) -> None:
    npfs.accounts.pop(ANNA)

    async def act() -> None:
        assert await (await helper()).refusal() == "not_asked"

    run(act)
    assert "1332" in str(agent.recorded()["detail"])


def test_a_client_that_does_not_say_who_it_is_is_refused(run: Run, npfs: FakePipes) -> None:
    npfs.identified = False

    async def act() -> None:
        assert await (await helper()).refusal() == "unknown_peer"

    run(act)


def test_without_a_list_of_sessions_only_the_agents_own_account_is_admitted(
    run: Run, npfs: FakePipes, control: FakeControl
) -> None:
    control.trouble = "the sessions cannot be listed"

    async def act() -> None:
        assert await (await helper()).refusal() == "not_asked"
        npfs.client = accounts.LOCAL_SERVICE
        end = await helper()
        await end.admitted()
        end.link.hang_up()

    run(act)


def test_a_second_helper_of_a_session_is_refused(run: Run) -> None:
    async def act() -> None:
        first = await helper()
        await first.admitted()

        assert await (await helper()).refusal() == "duplicate"

        first.link.hang_up()

    run(act)


def test_a_helper_takes_the_place_of_one_that_ended(run: Run, agent: AgentEnd) -> None:
    async def act() -> None:
        first = await helper()
        await first.admitted()
        first.link.hang_up()
        await until(lambda: not agent.sessions.knows("1"))

        second = await helper()
        await second.admitted()
        second.link.hang_up()

    run(act)


def test_one_account_does_not_keep_others_out(
    run: Run, npfs: FakePipes, control: FakeControl
) -> None:
    async def act() -> None:
        ends = []
        for number in range(10, 15):
            control.found.append(session(str(number)))
            npfs.session, npfs.logged_in[number] = number, ANNA
            ends.append(await helper())
            await until(lambda: npfs.waiting)
        assert await ends[-1].refusal() == "too_many"
        npfs.session, npfs.client, npfs.logged_in = 2, BEN, {2: BEN}
        other = await helper()
        await other.admitted()
        for end in (*ends, other):
            end.link.hang_up()

    run(act)


def test_the_longest_message_arrives_whole(run: Run, agent: AgentEnd) -> None:
    heard: list[str] = []
    agent.sessions.happened = lambda *said: heard.append(str(said[2]["text"]))
    agent.sessions.hear_all("screen")
    texts = {f"text{number}": "x" * 255 for number in range(10)}

    async def act() -> None:
        end = await helper()
        await end.admitted()
        for _ in range(100):
            end.link.send(Happened("screen", "said", {**texts, "text": "y" * 255}))
        await until(lambda: len(heard) == 100)
        end.link.hang_up()

    run(act)
    assert set(heard) == {"y" * 255}


def test_a_call_of_many_bytes_reaches_the_helper(run: Run, agent: AgentEnd) -> None:
    picture = "x" * (MAX_MESSAGE - 1000)

    async def act() -> None:
        end = await helper()
        await end.admitted()
        (known,) = agent.sessions._helpers.values()
        known.send(Call(1, "notifications", Thing("show"), {"image": picture}, 5))

        heard = await end.hear()

        assert isinstance(heard, Call)
        assert heard.args == {"image": picture}
        end.link.hang_up()

    run(act)


def test_an_agent_that_ends_hangs_up(run: Run, agent: AgentEnd) -> None:
    ends: list[HelperEnd] = []

    async def act() -> None:
        ends.append(await helper())
        await ends[0].admitted()
        agent.server.close()
        await ends[0].gone()

    run(act)


def test_a_helper_looks_for_an_agent_that_does_not_listen(npfs: FakePipes) -> None:
    with pytest.raises(AwayError, match="error 2"):
        asyncio.run(helper())


# Another service of the agent's account would be the second.
@pytest.mark.parametrize("owner", [BEN, accounts.LOCAL_SERVICE])
def test_a_helper_leaves_a_pipe_of_another_account_alone(
    run: Run, npfs: FakePipes, owner: str
) -> None:
    npfs.owner = owner

    async def act() -> None:
        with pytest.raises(AwayError, match=f"not the agent.*{owner}"):
            await helper()

    run(act)


@pytest.mark.parametrize("owner", [SERVICE_SID, accounts.SYSTEM, accounts.ADMINISTRATORS, ANNA])
def test_a_helper_trusts_the_service_the_system_and_its_own_account(
    run: Run, npfs: FakePipes, owner: str
) -> None:
    npfs.owner = owner

    async def act() -> None:
        end = await helper()
        await end.admitted()
        end.link.hang_up()

    run(act)


def test_clients_that_come_and_go_at_once_keep_no_other_out(
    run: Run, npfs: FakePipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user's program may do so, as often as it likes."""
    visits = 3
    make = pipes.create

    def visited(name: str, descriptor: Any, *, first: bool) -> int:
        nonlocal visits
        made = make(name, descriptor, first=first)
        if visits:
            visits -= 1
            pipes.close(pipes.open_client(name))
        return made

    monkeypatch.setattr(pipes, "create", visited)

    async def act() -> None:
        await until(lambda: npfs.waiting)
        end = await helper()
        await end.admitted()
        end.link.hang_up()

    run(act)


@pytest.mark.parametrize(("owner", "of_the_service"), [(BEN, False), (ANNA, True)])
def test_an_agent_does_not_listen_at_another_programs_pipe(
    npfs: FakePipes, agent: AgentEnd, owner: str, of_the_service: bool
) -> None:
    """Of a service's the account says nothing, which another service may have as well."""
    npfs.of_the_service = of_the_service
    npfs.squat(PIPE, owner)

    asyncio.run(agent.server.open())

    assert agent.server.closed.startswith(f"{PIPE} cannot be used: another program")


def test_an_agent_that_begins_anew_takes_the_pipe_that_a_client_still_holds(
    npfs: FakePipes, agent: AgentEnd
) -> None:
    npfs.squat(PIPE, npfs.own)

    async def main() -> str:
        await agent.server.open()
        closed = agent.server.closed
        agent.server.close()
        await until(lambda: len(npfs.open) == 1)
        return closed

    assert asyncio.run(main()) == ""


@pytest.mark.parametrize(
    ("of_the_service", "own"),
    [
        (False, ANNA),
        # As `sc showsid pilot-agent` says it.
        (True, "S-1-5-80-240748448-3534460488-3606495589-1850329226-1390654238"),
    ],
)
def test_every_user_may_connect_and_only_the_agent_makes_instances(
    run: Run, npfs: FakePipes, of_the_service: bool, own: str
) -> None:
    npfs.of_the_service = of_the_service

    async def act() -> None:
        assert npfs.rules[0] == (
            f"O:{own}D:P(A;;RC;;;S-1-3-4)(A;;GA;;;{own})(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;AU)"
        )

    run(act)
