"""What happens to a Windows machine, as the service's controls or a window's messages tell it.

Who is logged in, and whether a session is locked, is looked at after each of them and now and then
besides, since not every change is told: after waking least of all.
"""

from __future__ import annotations

from collections import deque
import logging
import math
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from companion_agent.errors import Unavailable
from companion_agent.platforms.control import HostEvent, HostWatch, Session
from companion_agent.platforms.windows import sessions
from companion_agent.platforms.windows.service_controls import (
    POWER_EVENT,
    PRESHUTDOWN,
    SESSION_CHANGE,
    SHUTDOWN,
    controls as controls_of_this_process,
)
from companion_agent.platforms.windows.window_messages import WindowMessages
from companion_agent.winapi import power, wts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from companion_agent.platforms.control import HostEventType
    from companion_agent.platforms.windows.service_controls import ServiceControl, ServiceControls
    from companion_agent.platforms.windows.sessions import Seen

_LOGGER = logging.getLogger(__name__)

LOOK_AGAIN = 60.0
"""Seconds until the sessions are looked at without a word from Windows."""

_FIRST_RETRY = 5.0
_BATTERY_READER = "battery"
_LOCKS = {wts.SESSION_LOCK: True, wts.SESSION_UNLOCK: False, wts.SESSION_LOGON: False}


class SessionNews(NamedTuple):
    """What Windows has told of a session: `WTS_*`, and the session's number."""

    type: int
    session: str


class _Look(NamedTuple):
    """The sessions as they were found after some news; `None` where Windows did not tell."""

    news: tuple[SessionNews, ...]
    found: list[Seen] | None


class _Looker:
    """Looks at the sessions in a thread of its own: the service that knows them may hang."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.looks: deque[_Look] = deque()
        self._asked: queue.SimpleQueue[tuple[SessionNews, ...] | None] = queue.SimpleQueue()
        self._wake = wake
        threading.Thread(target=self._run, name="sessions", daemon=True).start()

    def look(self, news: tuple[SessionNews, ...] = ()) -> None:
        self._asked.put(news)

    def close(self) -> None:
        self._asked.put(None)

    def _run(self) -> None:
        while (news := self._asked.get()) is not None:
            try:
                found = sessions.look()
            except Unavailable as error:
                _LOGGER.debug("Sessions cannot be looked at: %s", error.reason)
                self.looks.append(_Look(news, None))
            else:
                self.looks.append(_Look(news, found))
            self._wake()


class WindowsWatch(HostWatch):
    """Hears the controls of the service, or the messages of a window where this is none.

    Args:
        falls_asleep: Set when sleep begins.
        controls: Where controls and messages come in.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        falls_asleep: threading.Event,
        controls: ServiceControls = controls_of_this_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._falls_asleep = falls_asleep
        self._controls = controls
        self._clock = clock
        self._looker: _Looker | None = None
        self._messages: WindowMessages | None = None
        self._due = math.inf
        self._retry = _FIRST_RETRY
        self._awake = True  # and that was said
        self._sessions: dict[str, Session] = {}
        self._ended: set[str] = set()  # logged out, and still listed
        self._complete = False
        self._shown: tuple[Session, ...] = ()
        self._events: list[HostEvent] = []
        self._changed: set[str] = set()

    def start(self, wake: Callable[[], None]) -> None:
        """Take controls from now on; where none come, those of an invisible window."""
        self._controls.subscribe(wake)
        if not self._controls.from_windows:
            self._messages = WindowMessages(self._controls)
            self._messages.start()
        self._looker = _Looker(wake)
        self._look()

    @property
    def socket(self) -> None:
        """Nothing: threads wake the event loop."""
        return

    def deadline(self) -> float:
        """Return when to look at the sessions again."""
        return self._due

    def step(self) -> list[HostEvent]:
        """Take what Windows has told, and what was found after it."""
        news = [found for one in self._controls.take() if (found := self._hear(one))]
        if news or self._clock() >= self._due:
            self._look(*news)
        while self._looker and self._looker.looks:
            self._follow(self._looker.looks.popleft())
        events, self._events = self._events, []
        return events

    @property
    def locked(self) -> bool | None:
        """Whether no session is open, once all are known."""
        if not self._complete:
            return None
        return not any(session.open for session in self._shown)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that were found last."""
        return self._shown

    @property
    def knows_sessions(self) -> bool:
        """Whether they could be looked at."""
        return self._complete

    def take_changed(self) -> frozenset[str]:
        """Return what Windows has told of."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed

    def let_go(self) -> None:
        """Let the handler of the service or the window return."""
        self._controls.let_go()

    def close(self) -> None:
        """Take no more controls."""
        self._controls.unsubscribe()
        self._due = math.inf
        if self._messages:
            self._messages.close()
            self._messages = None
        if self._looker:
            self._looker.close()
            self._looker = None

    def _look(self, *news: SessionNews) -> None:
        if self._looker:
            self._due = self._clock() + LOOK_AGAIN
            self._looker.look(news)

    def _tell(self, what: HostEventType, session: Session | None = None) -> None:
        self._events.append(HostEvent(what, _data(session) if session else {}))

    # --- Controls ------------------------------------------------------------------------

    def _hear(self, control: ServiceControl) -> SessionNews | None:
        """Take a control; return what it says of a session."""
        if control.control == POWER_EVENT:
            self._hear_power(control.event_type)
        elif control.control == SESSION_CHANGE:
            session = wts.session_in(control.data)
            return SessionNews(control.event_type, str(session))
        elif control.control in {PRESHUTDOWN, SHUTDOWN}:
            self._tell("shutting_down")
        return None

    def _hear_power(self, event_type: int) -> None:
        if event_type == power.APM_SUSPEND:
            self._awake = False
            self._falls_asleep.set()
            self._tell("going_to_sleep")
        elif event_type == power.APM_RESUME_AUTOMATIC or (
            # Follows the other when a user is there.
            event_type in {power.APM_RESUME_SUSPEND, power.APM_RESUME_CRITICAL} and not self._awake
        ):
            self._awake = True
            self._tell("woke")
            self._look()
        elif event_type == power.APM_POWER_STATUS_CHANGE:
            self._changed.add(_BATTERY_READER)

    # --- Sessions ------------------------------------------------------------------------

    def _follow(self, look: _Look) -> None:
        """Take the sessions as they are now, and tell what is new."""
        locks = {one.session: _LOCKS[one.type] for one in look.news if one.type in _LOCKS}
        for one in look.news:
            if one.type == wts.SESSION_LOGOFF:
                self._ended.add(one.session)
            elif one.type == wts.SESSION_LOGON:
                self._ended.discard(one.session)
        if look.found is None:
            self._complete = False
            self._due = self._clock() + self._retry
            self._retry = min(self._retry * 2, LOOK_AGAIN)
            return
        self._retry = _FIRST_RETRY
        self._ended &= {seen.session.id for seen in look.found}
        before, self._sessions = self._sessions, self._now(look.found, locks)
        if self._complete or before:
            self._tell_changes(before)
        self._complete = True
        self._shown = tuple(self._sessions.values())

    def _now(self, found: Sequence[Seen], locks: Mapping[str, bool]) -> dict[str, Session]:
        now = {}
        for session, tells_locked in found:
            if session.id in self._ended:
                continue
            locked = session.locked
            if session.id in locks:
                locked = locks[session.id]
            elif not tells_locked and (known := self._sessions.get(session.id)):
                locked = known.locked
            now[session.id] = session._replace(locked=locked)
        return now

    def _tell_changes(self, before: Mapping[str, Session]) -> None:
        for name, session in before.items():
            now = self._sessions.get(name)
            if now is None or now.user != session.user:
                self._tell("logged_out", session)
        for name, session in self._sessions.items():
            known = before.get(name)
            if known is None or known.user != session.user:
                self._tell("logged_in", session)
            elif known.locked != session.locked:
                self._tell("locked" if session.locked else "unlocked", session)


def _data(session: Session) -> dict[str, str | bool]:
    return {"user": session.user, "remote": session.remote, "type": session.type}
