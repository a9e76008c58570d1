"""The session helpers that are connected: what they offer and read, and how they are called.

Two kinds of threads are here. The event loop admits helpers and takes what they say; plug-ins look
and call from workers. A lock is held for as long as a look takes, never while anything waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
import concurrent.futures
from dataclasses import dataclass, field
from itertools import count
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.desktop.messages import (
    MAX_DOMAINS,
    Call,
    Happened,
    Offer,
    Offered,
    Outcome,
    Thing,
    Values,
)
from companion_agent.desktop.offers import LastOffers
from companion_agent.errors import CommandError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from companion_agent.models import Value
    from companion_agent.platforms.control import Session

CALL_LIMIT = 6.0
"""Seconds in which a helper answers; a command as a whole has 8 (`COMMAND_LIMIT`)."""

SETTLED = 120.0
"""Seconds without an offer after which it is withdrawn for good.

A helper offers nothing until the services of its desktop run, and nothing any more when they end
before it at logout.
"""

START_HINT = (
    "as that user: log out and in again, or run `pilot-agent session`"
    if sys.platform == "win32"
    else "as that user: systemctl --user status pilot-agent-session"
)
"""What to look at where a session has no helper."""
# Reasons that a helper may give; any other is its failure.
_REASONS = frozenset({"failed", "not_permitted", "bad_arguments"})


class View(NamedTuple):
    """A domain as the session that is meant shows it.

    Attributes:
        offer: What there is. It stays while no helper is there, so that nothing is forgotten.
        values: The readings; empty while no helper is there.
    """

    offer: Offer
    values: Mapping[Thing, Value]


@dataclass(eq=False, slots=True)
class Helper:
    """A helper that was admitted.

    Attributes:
        session: The session that it works in.
        user: Whose it is, as the system tells users apart: a number, or Windows' SID.
        version: Its version of the agent.
        send: Sends a call; only in the event loop's thread.
        offers: What it offers, by domain.
        values: What it reads, by domain.
        empty_since: Since when it offers nothing of a domain, monotonic seconds, by domain.
        withdrawn: The domains of which it offered something before that.
        silent: Whether it has not answered a call, and said nothing since.
        number: Grows with every helper.
    """

    session: Session
    user: int | str
    version: str
    send: Callable[[Call], None]
    offers: dict[str, Offer] = field(default_factory=dict)
    values: dict[str, Mapping[Thing, Value]] = field(default_factory=dict)
    empty_since: dict[str, float] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    silent: bool = False
    number: int = 0


_Answer = concurrent.futures.Future[Mapping[str, Any]]


class DesktopSessions:
    """Knows the helpers, and which of them is meant.

    That of the session which the seat shows is meant; on a machine at which no user sits, the
    remote session that came last.

    Args:
        last: What was last offered; kept for as long as this object when left out.
        clock: Monotonic seconds.

    Attributes:
        changed: Called with a domain whose readings may be others now, in the event loop's thread.
        offered: Called, after that, with one whose offer may be another.
        happened: Called with domain, type and data of an event, there too.
    """

    def __init__(
        self, last: LastOffers | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.changed: Callable[[str], None] = lambda _: None
        self.offered: Callable[[str], None] = lambda _: None
        self.happened: Callable[[str, str, Mapping[str, Any]], None] = lambda *_: None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._helpers: dict[str, Helper] = {}  # by their session's id
        self._sessions: tuple[Session, ...] = ()
        self._last = last or LastOffers()
        self._clock = clock
        self._calls: dict[int, tuple[Helper, _Answer]] = {}
        self._call_ids = count(1)
        self._of_all_sessions: set[str] = set()
        self._helper_numbers = count(1)

    # --- In the event loop ---------------------------------------------------------------

    def open(self) -> None:
        """Take calls from now on, by the running event loop."""
        self._loop = asyncio.get_running_loop()

    def knows(self, session: str) -> bool:
        """Tell whether the helper of a session is there."""
        return session in self._helpers

    def admit(
        self, session: Session, user: int | str, version: str, send: Callable[[Call], None]
    ) -> Helper:
        """Take a helper.

        Args:
            session: The session that it works in.
            user: Whose it is: a user's number, or Windows' SID.
            version: Its version of the agent.
            send: Sends it a call; only in the event loop's thread.
        """
        helper = Helper(session, user, version, send, number=next(self._helper_numbers))
        with self._lock:
            self._helpers[session.id] = helper
        return helper

    def gone(self, helper: Helper) -> None:
        """Forget a helper; its calls fail, and its readings are absent."""
        with self._lock:
            if self._helpers.get(helper.session.id) is helper:
                del self._helpers[helper.session.id]
            lost = [call for call, (other, _) in self._calls.items() if other is helper]
            answers = [self._calls.pop(call)[1] for call in lost]
        for answer in answers:
            answer.set_exception(CommandError("failed", f"{_name(helper.session)} has ended"))
        self._tell(helper.offers)

    def follow(self, sessions: Sequence[Session]) -> list[Helper]:
        """Take what sessions there are now; return the helpers whose session has ended."""
        known = {session.id: session for session in sessions}
        with self._lock:
            before = self._meant()
            # A session that has just been admitted may not be told of yet.
            past = {session.id for session in self._sessions}
            self._sessions = tuple(sessions)
            ended = []
            for name, helper in self._helpers.items():
                if session := known.get(name):
                    helper.session = session
                elif name in past:
                    ended.append(helper)
            after = self._meant()
        if before is not after:
            self._tell({*(before.offers if before else ()), *(after.offers if after else ())})
        return ended

    def received(self, helper: Helper, message: Offered | Values | Happened | Outcome) -> None:
        """Take what a helper says."""
        spoke, helper.silent = helper.silent, False
        match message:
            case Offered():
                self._take_offer(helper, message)
            case Values():
                self._take_values(helper, message)
            case Happened():
                # That of a session in the background is no news of this machine's desktop.
                if message.domain in self._of_all_sessions or self._is_meant(helper):
                    data = {**message.data, "user": helper.session.user}
                    self.happened(message.domain, message.type, data)
            case Outcome():
                self._take_outcome(helper, message)
        if spoke:
            self._tell(helper.offers)

    def _take_offer(self, helper: Helper, message: Offered) -> None:
        with self._lock:
            if message.domain not in helper.offers and len(helper.offers) >= MAX_DOMAINS:
                return
            before = helper.offers.get(message.domain, Offer())
            helper.offers[message.domain] = message.offer
            if not message.offer.empty:
                helper.empty_since.pop(message.domain, None)
                helper.withdrawn.discard(message.domain)
            else:
                helper.empty_since.setdefault(message.domain, self._clock())
                if not before.empty:
                    helper.withdrawn.add(message.domain)
            kept = helper.values.get(message.domain, {})
            shown = {thing: kept[thing] for thing in message.offer.readings if thing in kept}
            helper.values[message.domain] = shown
        self._tell([message.domain])

    def _take_values(self, helper: Helper, message: Values) -> None:
        offer = helper.offers.get(message.domain, Offer())
        offered = {thing: one for thing, one in message.values.items() if thing in offer.readings}
        with self._lock:
            before = helper.values.get(message.domain, {})
            helper.values[message.domain] = {**before, **offered}
        if self._is_meant(helper):
            self.changed(message.domain)

    def _take_outcome(self, helper: Helper, message: Outcome) -> None:
        with self._lock:
            found = self._calls.get(message.call)
            if found is None or found[0] is not helper:
                return
            del self._calls[message.call]
        if message.reason:
            reason = message.reason if message.reason in _REASONS else "failed"
            found[1].set_exception(CommandError(reason, message.detail))
        else:
            found[1].set_result(message.data)

    def _is_meant(self, helper: Helper) -> bool:
        with self._lock:
            return self._meant() is helper

    def _tell(self, domains: Iterable[str]) -> None:
        for domain in list(domains):
            self.changed(domain)
            self.offered(domain)

    def _send(self, helper: Helper, call: Call) -> None:
        if call.id in self._calls:
            helper.send(call)

    # --- From any thread -----------------------------------------------------------------

    def hear_all(self, domain: str) -> None:
        """Tell of the events of a domain whichever session they are of, from now on."""
        self._of_all_sessions.add(domain)

    def can(self, domain: str, command: Thing, session: str = "") -> bool:
        """Tell whether the session that is meant, or another one, can carry out a command."""
        with self._lock:
            helper = self._named(session) if session else self._meant()
            return bool(helper and _is_able(helper, domain, command))

    def able(self, domain: str, command: Thing) -> list[str]:
        """Return the ids of the sessions whose helper can carry out a command."""
        with self._lock:
            return [
                name for name, helper in self._helpers.items() if _is_able(helper, domain, command)
            ]

    def view(self, domain: str) -> View:
        """Return what there is of a domain.

        Raises:
            Unavailable: There is nothing, and never was.
        """
        with self._lock:
            found = self._view(domain) or self._why(domain)
        self._last.save()
        if isinstance(found, View):
            return found
        raise Unavailable(*found)

    def call(
        self,
        domain: str,
        command: Thing,
        args: Mapping[str, Any],
        session: str = "",
        within: float = CALL_LIMIT,
    ) -> Mapping[str, Any]:
        """Have a command carried out in a session, and wait for its outcome.

        Args:
            domain: Whose command it is.
            command: The command.
            args: Its arguments, checked.
            session: Another session than the one that is meant, by its id or its user's name.
            within: Seconds in which the helper answers.

        Returns:
            What came of it.

        Raises:
            CommandError: No helper can do it, it did not work, or there was no answer.
        """
        answer: _Answer = concurrent.futures.Future()
        if self._loop is None:
            raise CommandError("failed", "the agent does not run")
        with self._lock:
            helper = self._named(session) if session else self._meant()
            if helper is None or command not in helper.offers.get(domain, Offer()).commands:
                raise CommandError("failed", self._why(domain, session)[0])
            number = next(self._call_ids)
            self._calls[number] = (helper, answer)
        call = Call(number, domain, command, args, within)
        self._loop.call_soon_threadsafe(self._send, helper, call)
        try:
            return answer.result(within)
        except concurrent.futures.TimeoutError:
            self._give_up(helper, number)
            detail = f"{_name(helper.session)} did not answer within {within:.0f} s"
            raise CommandError("failed", detail) from None

    def describe(self) -> list[dict[str, Any]]:
        """Say which helpers there are, for `pilot-agent doctor`."""
        with self._lock:
            meant = self._meant()
            return [
                {
                    "session": helper.session.id,
                    "user": helper.session.user,
                    "type": helper.session.type,
                    "meant": helper is meant,
                    "silent": helper.silent,
                    "version": helper.version,
                    "domains": {
                        name: {"way": offer.way, "empty": offer.empty, "why": dict(offer.why)}
                        for name, offer in helper.offers.items()
                    },
                }
                for helper in self._helpers.values()
            ]

    @property
    def on_console(self) -> bool:
        """Whether the seat shows no desktop and no login screen with windows."""
        with self._lock:
            return not any(
                session.graphical and session.seat and not session.closing
                for session in (
                    *self._sessions,
                    *(helper.session for helper in self._helpers.values()),
                )
            )

    def lacking(self) -> list[str]:
        """Return the users who work in a session with windows that has no helper."""
        with self._lock:
            return [
                session.user
                for session in self._sessions
                if session.graphical and session.id not in self._helpers
            ]

    def _give_up(self, helper: Helper, number: int) -> None:
        with self._lock:
            self._calls.pop(number, None)
            helper.silent = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._tell, list(helper.offers))

    # --- With the lock held --------------------------------------------------------------

    def _view(self, domain: str) -> View | None:
        helper = self._meant()
        offer = helper.offers.get(domain, Offer()) if helper else Offer()
        if helper and not offer.empty:
            self._last.note(domain, helper.user, offer)
            return View(offer, {} if helper.silent else helper.values.get(domain, {}))
        last = self._last.of(domain)
        # Only who offered it withdraws it: another user's desktop may lack it.
        if last and not (
            helper and last.user == helper.user and self._is_withdrawn(helper, domain)
        ):
            return View(last.offer, {})
        return None

    def _is_withdrawn(self, helper: Helper, domain: str) -> bool:
        since = helper.empty_since.get(domain)
        if since is not None and self._clock() - since >= SETTLED:
            self._last.forget(domain)
            return True
        return domain in helper.withdrawn

    def _meant(self) -> Helper | None:
        session = self._meant_session()
        return self._helpers.get(session.id) if session else None

    def _meant_session(self) -> Session | None:
        # Without logind there is only the agent's own user, whose helper says so.
        sessions = self._sessions or tuple(one.session for one in self._helpers.values())
        seated = [session for session in sessions if session.present]
        if seated:
            return next((session for session in seated if session.active), None)
        remote = [one for one in sessions if one.id in self._helpers]
        return max(remote, key=lambda one: self._helpers[one.id].number, default=None)

    def _named(self, name: str) -> Helper | None:
        own = [one for one in self._helpers.values() if name in (one.session.id, one.session.user)]
        return max(own, key=lambda one: (one.session.active, one.number), default=None)

    def _why(self, domain: str, named: str = "") -> tuple[str, str]:
        if named:
            helper = self._named(named)
            if helper is None:
                return f"no session helper runs for {named}", START_HINT
        else:
            session = self._meant_session()
            if session is None:
                seated = any(one.present for one in self._sessions)
                return "the login screen is shown" if seated else "no user is logged in", ""
            helper = self._helpers.get(session.id)
            if helper is None:
                return f"{_name(session)} does not run", START_HINT
        offer = helper.offers.get(domain)
        if offer is None:
            return f"{_name(helper.session)} does not know it", "update the agent"
        return offer.why.get("") or "; ".join(offer.why.values()) or "not in this session", ""


def _is_able(helper: Helper, domain: str, command: Thing) -> bool:
    return not helper.silent and command in helper.offers.get(domain, Offer()).commands


def _name(session: Session) -> str:
    return f"the session helper of {session.user or session.id}"
