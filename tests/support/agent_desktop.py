"""The two ends of the connection between agent and session helper, each for tests of the other."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from companion_agent.desktop.messages import (
    MAX_MESSAGE,
    VERSION,
    Hello,
    Offer,
    Offered,
    Outcome,
    Thing,
    Values,
    encode_message,
)
from companion_agent.desktop.offers import LastOffers
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import Unavailable
from companion_agent.ipc.lines import SESSION_SOCKET, LineDecoder, encode
from companion_agent.ipc.session_server import SessionServer
from companion_agent.ipc.unix_listener import UnixListener
from companion_agent.platforms.control import Session
from companion_agent.security.audit import AuditLog

from .event_loop import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from companion_agent.desktop.messages import FromHelper
    from companion_agent.models import Value
    from companion_agent.platforms.linux.async_bus import AsyncBus

# None of the users that tests run as, so that being the agent's own user opens nothing.
OTHER_UID = 4_242


def session(name: str = "1", user: str = "anna", **changes: Any) -> Session:
    """Return a session at the seat, unless told otherwise."""
    usual = Session(
        id=name, uid=1000, user=user, type="wayland", person=True, seat="seat0", remote=False,
        active=True, locked=False, closing=False,
    )  # fmt: skip
    return usual._replace(**changes)


class FakeControl:
    """Says whose sessions connecting processes belong to.

    Attributes:
        answers: What is said next; the last answer is said again.
    """

    def __init__(self, *answers: Session | Exception | None) -> None:
        self.answers = deque[Session | Exception | None](answers)

    def session_of(self, pid: int, uid: int) -> Session | None:
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class AgentEnd:
    """The agent's end, in a thread with an event loop of its own.

    Args:
        folder: A folder for the socket and the record; the agent's state is below it.
        control: Says whose sessions there are.
        clock: Monotonic seconds, for limits.
        uid: The user that the agent takes itself for.
        domains: What it tells helpers of the configuration.
        now: Seconds since 1970.

    Attributes:
        heard: What helpers have said, as it came.
        offered: The domains that it was told have changed.
        events: The events that were told.
    """

    def __init__(
        self,
        folder: Path,
        control: Any,
        clock: Callable[[], float] = time.monotonic,
        uid: int | None = OTHER_UID,
        domains: Mapping[str, Mapping[str, Any] | None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.heard: list[dict[str, Any]] = []
        self.sessions = DesktopSessions(LastOffers(folder / "state", now, clock), clock)
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.offered: list[str] = []
        self.sessions.offered = self.offered.append
        self.sessions.happened = lambda domain, event, data: self.events.append(
            (domain, event, dict(data))
        )
        audit = AuditLog(folder / "audit.log", time.time, clock)
        self.server = SessionServer(
            UnixListener(folder), self.sessions, lambda: control, audit, clock, uid, domains
        )
        received = self.server.received
        self.server.received = lambda *said: (  # type: ignore[method-assign]
            self.heard.append(said[1]),
            received(*said),
        )[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.open(), self._loop).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End, as an agent that is stopped; once more changes nothing."""
        if self._loop.is_closed():
            return

        async def close() -> None:
            self.server.close()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def follow(self, *sessions: Session) -> None:
        """Say what sessions there are now."""

        async def follow() -> None:
            self.server.follow(sessions)

        asyncio.run_coroutine_threadsafe(follow(), self._loop).result(PATIENCE)

    def record(self) -> str:
        return (self.folder / "audit.log").read_text("utf-8")

    def wait_for_offer(self, domain: str) -> None:
        wait_until(lambda: domain in self.offered)

    def wait_for_value(self, domain: str, thing: Thing, value: Value) -> None:
        def is_read() -> bool:
            with suppress(Unavailable):
                values = self.sessions.view(domain).values
                return thing in values and values[thing] == value
            return False

        wait_until(is_read)


class HelperEnd:
    """A helper's end, which says what a test wants.

    Args:
        folder: Where the agent's end listens.
    """

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(folder / SESSION_SOCKET))
        self._lines = LineDecoder(MAX_MESSAGE)
        self._heard: deque[dict[str, Any]] = deque()

    @classmethod
    def admitted(cls, folder: Path) -> Self:
        """Return one that was admitted."""
        end = cls(folder)
        end.say(Hello(VERSION, "1.0.0"))
        assert "welcome" in end.hear()
        return end

    def say(self, *messages: FromHelper) -> None:
        self.send(b"".join(encode(encode_message(message)) for message in messages))

    def send(self, data: bytes) -> None:
        # The agent may have hung up on it; `hear()` says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def offer(
        self,
        domain: str,
        *,
        reads: tuple[Thing, ...] = (),
        does: tuple[Thing, ...] = (),
        values: Mapping[Thing, Value] | None = None,
        **why: str,
    ) -> None:
        self.say(Offered(domain, Offer(reads, does, why=why)))
        if values is not None:
            self.say(Values(domain, values))

    def hear(self) -> dict[str, Any]:
        """Return the next message; an empty one says that the agent has hung up."""
        while not self._heard:
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                return {}
            if not data:
                return {}
            self._heard.extend(self._lines.feed(data))
        return self._heard.popleft()

    def answer(self, reason: str = "", detail: str = "") -> dict[str, Any]:
        """Answer the next call, and return it."""
        call = self.hear()
        self.say(Outcome(call["call"], reason, detail))
        return call

    def close(self) -> None:
        self._socket.close()


class FakeContext:
    """What a session helper does for a domain, noted for a test.

    Attributes:
        offered: The last offer.
        values: What is read, of what is offered.
        events: The events that were told.
        ended: Whether the domain has said that the session has ended.
        helpers_window: The helper's window, on Windows.

    Args:
        settings: What the agent says of the domain.
        buses: What makes the connections to buses that there are, by name.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, **buses: Callable[[], AsyncBus]
    ) -> None:
        self.settings = settings or {}
        self.offered = Offer()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.ended = False
        self.helpers_window: Any = None
        self._values: dict[Thing, Value] = {}
        self._buses = buses
        self._connections: dict[str, AsyncBus] = {}
        self._changed = asyncio.Event()

    @property
    def values(self) -> dict[Thing, Value]:
        return {thing: one for thing, one in self._values.items() if thing in self.offered.readings}

    def offer(self, offer: Offer) -> None:
        self.offered = offer
        self._changed.set()

    def read(self, values: Mapping[Thing, Value]) -> None:
        self._values |= values
        self._changed.set()

    def happened(self, event: str, **data: Any) -> None:
        self.events.append((event, data))
        self._changed.set()

    async def bus(self, name: str) -> Any:
        if name not in self._buses:
            raise Unavailable(f"there is no D-Bus {name} bus")
        if name not in self._connections:
            self._connections[name] = self._buses[name]()
        return self._connections[name]

    def window(self) -> Any:
        if self.helpers_window is None:
            raise Unavailable("this session has no windows")
        return self.helpers_window

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def session_has_ended(self) -> None:
        self.ended = True
        self._changed.set()

    async def until(self, done: Callable[[], object], patience: float = PATIENCE) -> None:
        """Wait until the domain has said something, for so many seconds at most."""
        async with asyncio.timeout(patience):
            while not done():
                self._changed.clear()
                await self._changed.wait()
