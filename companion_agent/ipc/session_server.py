"""The agent's end of the socket that session helpers connect to.

Every user of the machine may connect, and is admitted by what the kernel and logind say: the
user that the process runs as has to work in a session. What a helper says of itself decides
nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
import logging
import time
from typing import TYPE_CHECKING, Any

from companion_agent import __version__
from companion_agent.desktop.messages import (
    MAX_MESSAGE,
    VERSION,
    Call,
    Hello,
    Refused,
    Welcome,
    encode_message,
    parse_from_helper,
)
from companion_agent.errors import Unavailable
from companion_agent.ipc.listener import MAX_CONNECTIONS
from companion_agent.ipc.peer import OVERFLOW_UID, Peer
from companion_agent.ipc.server import Connection
from companion_agent.platforms.control import Session
from companion_agent.protocol.errors import ProtocolError
from companion_agent.security.rate_limit import TokenBucket
from companion_agent.worker import HungError, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.desktop.messages import FromHelper
    from companion_agent.desktop.sessions import DesktopSessions, Helper
    from companion_agent.ipc.listener import Listener
    from companion_agent.platforms.control import HostControl
    from companion_agent.security.audit import AuditLog

_LOGGER = logging.getLogger(__name__)

# Of one user, so that none keeps the others out.
MAX_OF_USER = 4
# A helper says little; one that connects anew after a restart says everything at once.
RATE, BURST = 20.0, 200.0
# Connections of one user: a helper that is started again and again must not keep logind busy.
ADMISSION_RATE, ADMISSION_BURST = 0.5, 20.0
# The system answers in milliseconds, or not at all.
ADMISSION_LIMIT = 10.0

_TEXTS = {
    "unknown_peer": "the system does not say who connects",
    "hidden_users": (
        "the agent's service cannot see which user connects; "
        "`sudo pilot-agent setup` writes its unit anew"
    ),
    "no_session": "this user works in no session on this machine",
    "not_asked": "the system cannot be asked whose session it is",
    "duplicate": "a session helper of this session is connected already",
    "too_many": "too many connections",
    "flood": "too much at once",
    "malformed": "a message breaks a rule of the local protocol",
    "version": "agent and session helper are of different versions",
    "ended": "the session has ended",
}


class SessionServer:
    """Admits session helpers, and hands on what they say.

    Args:
        listener: Takes their connections; `None` where they have no place to connect at.
        sessions: Knows the helpers that were admitted.
        control: Returns what knows the sessions of users.
        audit: The record.
        clock: Monotonic seconds.
        user: The user that the agent runs as; found out when left out.
        domains: What helpers are told of the configuration, by domain; `None` for one that is not
            wanted.

    Attributes:
        refused: How many were refused, by reason.
        closed: Why no helper can connect; empty while they can.
    """

    def __init__(
        self,
        listener: Listener | None,
        sessions: DesktopSessions,
        control: Callable[[], HostControl],
        audit: AuditLog,
        clock: Callable[[], float] = time.monotonic,
        user: int | str | None = None,
        domains: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.closed = "the agent does not listen yet"
        self._listener = listener
        self._sessions = sessions
        self._control = control
        self._audit = audit
        self._clock = clock
        self._user = user
        self._domains = domains or {}
        self._worker = Worker()
        self._visits: dict[Connection, _Visit] = {}
        self._admissions: dict[int | str, TokenBucket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen where that is possible; `closed` says why it is not."""
        self._sessions.open()
        if self._listener is None:
            self.closed = "the service has no runtime folder; `sudo pilot-agent setup` mends it"
            return
        try:
            if self._user is None:
                self._user = self._listener.own_user()
            await self._listener.open(self._connect)
        except OSError as error:
            self.closed = f"{self._listener.place} cannot be used: {error.strerror}"
            _LOGGER.warning("No session helper can connect: %s", self.closed)
            return
        self.closed = ""

    def close(self) -> None:
        """Hang up and listen no more."""
        self.closed = "the agent has stopped"
        if self._listener:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._visits):
            connection.hang_up()
        self._worker.stop()

    def follow(self, sessions: Sequence[Session]) -> None:
        """Take what sessions there are now; helpers of those that ended are let go."""
        ended = self._sessions.follow(sessions)
        for connection, visit in list(self._visits.items()):
            if visit.helper in ended:
                # It may come again, for another session of its user.
                self._send(connection, Refused("ended", _TEXTS["ended"]))
                connection.hang_up()

    def describe(self) -> dict[str, Any]:
        """Say how it is, for `pilot-agent doctor`."""
        return {
            "closed": self.closed,
            "refused": dict(self.refused),
            "helpers": self._sessions.describe(),
            "lacking": self._sessions.lacking(),
        }

    # --- Connections ---------------------------------------------------------------------

    def received(self, connection: Connection, message: dict[str, Any]) -> None:
        """Take a message of a helper."""
        visit = self._visits[connection]
        if not visit.messages.take():
            self._refuse(connection, visit, "flood")
            return
        try:
            said = parse_from_helper(message)
        except ProtocolError as error:
            self._refuse(connection, visit, "malformed", str(error))
            return
        if said is not None:
            self._take(connection, visit, said)

    def gone(self, connection: Connection) -> None:
        """Forget a helper."""
        visit = self._visits.pop(connection, None)
        if visit and visit.helper:
            _LOGGER.info("The session helper of %s has gone", visit.helper.session.user)
            self._sessions.gone(visit.helper)

    def _connect(self) -> Connection:
        return Connection(
            self,
            "",
            trusted=True,
            opened=self._opened,
            closed=lambda _: None,
            limit=MAX_MESSAGE,
        )

    def _opened(self, connection: Connection) -> None:
        peer = connection.peer
        visit = _Visit(peer or Peer(0, -1), TokenBucket(RATE, BURST, self._clock))
        self._visits[connection] = visit
        if reason := self._doubt(peer):
            self._refuse(connection, visit, reason)
            return
        # Nothing of a stranger is read.
        connection.hold()
        task = asyncio.get_running_loop().create_task(self._admit(connection, visit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _doubt(self, peer: Peer | None) -> str:
        """Return why a peer is refused without asking logind; empty where it is not."""
        if peer is None or peer.pid <= 0:
            return "unknown_peer"
        if peer.uid == OVERFLOW_UID:
            return "hidden_users"
        own = sum(visit.peer.user == peer.user for visit in self._visits.values())
        if len(self._visits) > MAX_CONNECTIONS or own > MAX_OF_USER:
            return "too_many"
        if peer.user not in self._admissions and len(self._admissions) >= 1000:
            self._admissions.clear()
        bucket = self._admissions.setdefault(
            peer.user, TokenBucket(ADMISSION_RATE, ADMISSION_BURST, self._clock)
        )
        return "" if bucket.take() else "flood"

    async def _admit(self, connection: Connection, visit: _Visit) -> None:
        peer = visit.peer
        job = Job("session of a helper", lambda: self._ask(peer), ADMISSION_LIMIT)
        try:
            session = await self._worker.run(job)
        except (Unavailable, HungError, OSError) as error:
            session = None
            trouble = str(error)
        else:
            trouble = ""
        if connection not in self._visits:
            return
        if trouble:
            self._refuse(connection, visit, "not_asked", trouble)
        elif not isinstance(session, Session):
            self._refuse(connection, visit, "no_session")
        elif self._sessions.knows(session.id) or any(
            other.session and other.session.id == session.id for other in self._visits.values()
        ):
            self._refuse(connection, visit, "duplicate")
        else:
            visit.session = session
            connection.go_on()

    def _ask(self, peer: Peer) -> Session | None:
        """Return the session of a peer; in the worker."""
        # The agent's own user can do all that the agent can, with a session and without.
        own = own_session(peer) if peer.user == self._user else None
        assert self._listener
        try:
            return self._listener.session_of(peer, self._control()) or own
        except Unavailable:
            if own:
                return own
            raise

    def _take(self, connection: Connection, visit: _Visit, said: FromHelper) -> None:
        if isinstance(said, Hello):
            self._greet(connection, visit, said)
        elif visit.helper is None:
            self._refuse(connection, visit, "malformed", "something else than a hello came first")
        else:
            self._sessions.received(visit.helper, said)

    def _greet(self, connection: Connection, visit: _Visit, hello: Hello) -> None:
        if visit.session is None or visit.helper:
            self._refuse(connection, visit, "malformed", "a second hello")
            return
        if hello.protocol != VERSION:
            detail = f"the helper speaks version {hello.protocol}, the agent version {VERSION}"
            self._refuse(connection, visit, "version", detail)
            return
        session = visit.session
        visit.helper = self._sessions.admit(
            session,
            # Windows' users have no number, and names are not enough: domains share them.
            visit.peer.sid or session.uid,
            hello.version,
            lambda call: self._send(connection, call),
        )
        self._send(connection, Welcome(VERSION, __version__, session.id, self._domains))
        _LOGGER.info("The session helper of %s is there (session %s)", session.user, session.id)

    def _refuse(self, connection: Connection, visit: _Visit, reason: str, detail: str = "") -> None:
        self.refused[reason] += 1
        self._audit.write_stranger(
            "session_helper",
            reason,
            uid=visit.peer.user,
            pid=visit.peer.pid,
            session=visit.session.id if visit.session else "",
            detail=detail,
        )
        self._send(connection, Refused(reason, detail or _TEXTS[reason]))
        connection.hang_up()

    @staticmethod
    def _send(connection: Connection, message: Call | Refused | Welcome) -> None:
        connection.send(encode_message(message))


class _Visit:
    """A connection, and what is known of it.

    Attributes:
        peer: The process at the other end.
        messages: How much it may say.
        session: Whose session it is, once that is known.
        helper: It, once it has said what it speaks.
    """

    __slots__ = ("helper", "messages", "peer", "session")

    def __init__(self, peer: Peer, messages: TokenBucket) -> None:
        self.peer = peer
        self.messages = messages
        self.session: Session | None = None
        self.helper: Helper | None = None


def own_session(peer: Peer) -> Session:
    """Return the session of the agent's own user on a machine that has no sessions."""
    return Session(
        id=f"uid-{peer.uid}" if peer.uid >= 0 else str(peer.session),
        uid=peer.uid,
        user="",
        type="unspecified",
        person=True,
        seat="",
        remote=False,
        active=True,
        locked=False,
        closing=False,
    )
