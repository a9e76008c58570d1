"""What happens to this machine, as logind tells it. Source: org.freedesktop.login1(5).

To be told of sleep and shutdown before they begin, and to have a moment left then, the agent
holds delay inhibitors, and closes them when it is ready. logind waits `InhibitDelayMaxSec` for
that (5 s unless configured), and never longer.
"""

from __future__ import annotations

from functools import partial
import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from companion_agent.platforms.control import HostEvent, HostEventType, HostWatch, Session
from companion_agent.platforms.linux.dbus import (
    BusError,
    BusGoneError,
    Listener,
    Signal,
    Target,
    take_descriptor,
)
from companion_agent.platforms.linux.logind import (
    MANAGER,
    SERVICE,
    SESSION_INTERFACE,
    session_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    import socket

_LOGGER = logging.getLogger(__name__)

# A system bus comes back with the system, or when it is restarted by hand.
BACKOFF_FIRST = 1.0
BACKOFF_MOST = 60.0

_BUS = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_SESSIONS = "/org/freedesktop/login1/session"


class Followed(NamedTuple):
    """What others than logind tell of, by signals.

    Attributes:
        collector: What is to be read then.
        signals: The match rules; each names the `path` of one object.
        subscribe: What has to be called to be told; `None` for nothing.
    """

    collector: str
    signals: tuple[Mapping[str, str], ...]
    subscribe: tuple[Target, str] | None = None


class _Opening:
    """The part of connecting that may block, in a thread of its own."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.listener: Listener | None = None
        self.error: BusGoneError | None = None
        self.done = False
        self._given_up = False
        self._wake = wake
        threading.Thread(target=self._run, name="system bus", daemon=True).start()

    def _run(self) -> None:
        try:
            self.listener = Listener()
        except BusGoneError as error:
            self.error = error
        self.done = True
        if self._given_up:
            self._close()
        self._wake()

    def give_up(self) -> None:
        """Let go of what comes too late."""
        self._given_up = True
        if self.done:
            self._close()

    def _close(self) -> None:
        if self.listener:
            self.listener.close()


class _Known:
    """A session of a person, and what is known of its lock."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.locked = session.locked
        self.active = session.active
        # Desktops that never say so themselves are believed to do as they are told.
        self.tells = session.locked

    @property
    def open(self) -> bool:
        """Whether it can be used without a login or an unlocking."""
        return self.now.open

    @property
    def now(self) -> Session:
        """The session as it is now."""
        return self.session._replace(locked=self.locked, active=self.active)

    @property
    def data(self) -> dict[str, str | bool]:
        """What events say of it."""
        data: dict[str, str | bool] = {"user": self.session.user, "remote": self.session.remote}
        if self.session.type not in {"", "unspecified"}:
            data["type"] = self.session.type
        return data


class LogindWatch(HostWatch):
    """Hears logind's signals, and holds its delay inhibitors.

    Args:
        clock: Monotonic seconds.
        followed: What else is listened to.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        followed: Sequence[Followed] = (),
    ) -> None:
        self._clock = clock
        self._followed = followed
        # Which collector an object is about.
        self._readers = {rule["path"]: one.collector for one in followed for rule in one.signals}
        self._wake: Callable[[], None] = lambda: None
        self._opening: _Opening | None = None
        self._listener: Listener | None = None
        self._due = math.inf
        self._failures = 0
        self._complaint = ""
        self._owner = ""  # logind's unique name; any program may send signals under another one
        self._inhibitors: list[int] = []
        self._falling_asleep = False
        self._refusal = ""  # why an inhibitor was not given, or could not be
        self._refused = False  # logind gives no inhibitors, and that was said
        self._sessions: dict[str, _Known] = {}  # by their path
        self._asked: set[str] | None = None  # sessions still to be looked at; `None`: all
        self._desktop = False
        self._locked: bool | None = None
        self._complete = False
        self._shown: tuple[Session, ...] = ()
        self._events: list[HostEvent] = []
        self._changed: set[str] = set()

    def start(self, wake: Callable[[], None]) -> None:
        """Connect to the system bus."""
        self._wake = wake
        self._opening = _Opening(wake)

    @property
    def socket(self) -> socket.socket | None:
        """The connection to the bus."""
        return self._listener.socket if self._listener else None

    def deadline(self) -> float:
        """Return when to connect again."""
        return self._due

    def step(self) -> list[HostEvent]:
        """Take what the bus brought."""
        try:
            self._step()
        except BusGoneError as error:
            self._lose(error)
        self._conclude()
        events, self._events = self._events, []
        return events

    @property
    def locked(self) -> bool | None:
        """Whether no session is open, once all are known."""
        return self._locked

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that signals have told of."""
        return self._shown

    @property
    def knows_sessions(self) -> bool:
        """Whether each that logind has told of was looked at."""
        return self._complete

    def take_changed(self) -> frozenset[str]:
        """Return what signals have told of."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed

    def let_go(self) -> None:
        """Close the inhibitors."""
        while self._inhibitors:
            os.close(self._inhibitors.pop())

    def close(self) -> None:
        """Hang up."""
        self.let_go()
        if self._opening:
            self._opening.give_up()
            self._opening = None
        self._due = math.inf
        if self._listener:
            self._listener.close()
            self._listener = None

    # --- The bus -------------------------------------------------------------------------

    def _step(self) -> None:
        if self._opening:
            if not self._opening.done:
                return
            opened, self._opening = self._opening, None
            if opened.error:
                raise opened.error
            self._listener = opened.listener
            self._set_up()
        elif self._listener is None and self._clock() >= self._due:
            self._due = math.inf
            self._opening = _Opening(self._wake)
        if self._listener:
            for signal in self._listener.pump():
                self._hear(signal)

    def _lose(self, error: BusGoneError) -> None:
        level = logging.DEBUG if self._complaint else logging.WARNING
        self._complaint = error.text
        _LOGGER.log(level, "Sleep, shutdown and sessions are not noticed: %s", error.text)
        self.close()
        self._stay_awake()
        self._owner = ""
        self._asked = None
        self._due = self._clock() + min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(self._failures, 8))
        self._failures += 1

    def _set_up(self) -> None:
        if self._listener is None:
            return
        listen = partial(self._listener.listen, sender=SERVICE)
        listen(interface=MANAGER.interface)
        listen(interface=SESSION_INTERFACE, path_namespace=_SESSIONS)
        listen(interface=_PROPERTIES, member="PropertiesChanged", path_namespace=_SESSIONS)
        self._listener.listen(
            sender=_BUS.service, interface=_BUS.interface, member="NameOwnerChanged", arg0=SERVICE
        )
        for one in self._followed:
            for rule in one.signals:
                self._listener.listen(**rule)
            if one.signals and one.subscribe:
                self._listener.call(None, *one.subscribe)
        # Asking for inhibitors starts logind where it starts on demand.
        self._inhibit()
        self._listener.call(self._take_owner, _BUS, "GetNameOwner", "s", SERVICE)

    def _take_owner(self, answer: tuple[Any, ...] | BusError) -> None:
        if isinstance(answer, BusError):
            self._complain("logind does not run")
        else:
            self._follow(answer[0])

    def _follow(self, owner: str) -> None:
        """Listen to logind as it is now."""
        if owner == self._owner or self._listener is None:
            return
        self._owner = owner
        if self._complaint:
            _LOGGER.info("Sleep, shutdown and sessions are noticed again")
            self._complaint = ""
        self._failures = 0
        self._tell_refusal()
        self._sessions.clear()
        self._asked = None
        self._listener.call(self._take_sessions, MANAGER, "ListSessions")

    def _complain(self, reason: str) -> None:
        if not self._complaint:
            _LOGGER.info("Sleep, shutdown and sessions are not noticed: %s", reason)
        self._complaint = reason

    # --- The inhibitors ------------------------------------------------------------------

    def _inhibit(self) -> None:
        """Ask for inhibitors, one for each thing.

        One for both would do, but logind asks polkit about such a one as if it were for a key
        of the keyboard, which only users at the machine may hold.
        """
        if self._listener is None or self._inhibitors:
            return
        self._refusal = ""
        for what in ("sleep", "shutdown"):
            asked = ("ssss", what, "Pilot", "Tells Home Assistant first", "delay")
            self._listener.call(self._take_inhibitor, MANAGER, "Inhibit", *asked)

    def _take_inhibitor(self, answer: tuple[Any, ...] | BusError) -> None:
        if not isinstance(answer, BusError):
            self._inhibitors.append(take_descriptor(answer[0]))
        else:
            self._refusal = answer.text
            self._tell_refusal()

    def _tell_refusal(self) -> None:
        """Say that logind gives no inhibitors, once it is known that there is a logind."""
        if self._owner and self._refusal and not self._refused:
            _LOGGER.info("logind does not wait for the agent before sleep: %s", self._refusal)
            self._refused = True

    # --- Signals -------------------------------------------------------------------------

    def _hear(self, signal: Signal) -> None:
        if signal.interface == _BUS.interface and signal.sender == _BUS.service:
            if signal.member == "NameOwnerChanged" and signal.body[0] == SERVICE:
                self._logind_changed(signal.body[2])
        elif reader := self._readers.get(signal.path):
            # Any sender will do: it is only read again.
            self._changed.add(reader)
        elif signal.sender != self._owner or not self._owner:
            return
        elif signal.interface == MANAGER.interface:
            self._hear_manager(signal)
        elif signal.interface == SESSION_INTERFACE:
            self._hear_request(signal)
        elif signal.interface == _PROPERTIES and signal.body[0] == SESSION_INTERFACE:
            self._hear_change(signal)

    def _logind_changed(self, owner: str) -> None:
        if owner:
            self.let_go()
            self._inhibit()
            self._follow(owner)
        else:
            # Restarted with an update, most likely; it keeps sessions and inhibitors.
            self._owner = ""
            self._asked = None
            self._stay_awake()

    def _hear_manager(self, signal: Signal) -> None:
        if signal.member == "PrepareForSleep":
            self._prepare("going_to_sleep" if signal.body[0] else "woke")
        elif signal.member == "PrepareForShutdown":
            self._prepare("shutting_down" if signal.body[0] else "carries_on")
        elif signal.member == "SessionNew":
            self._ask_session(signal.body[1], new=True)
        elif signal.member == "SessionRemoved":
            self._forget_session(signal.body[1])

    def _prepare(self, what: HostEventType) -> None:
        self._events.append(HostEvent(what))
        self._falling_asleep = what == "going_to_sleep"
        if what in {"woke", "carries_on"}:
            self._inhibit()

    def _stay_awake(self) -> None:
        """Take it that a sleep whose end will not be told does not come about.

        Not so for shutdown: the program that announced it ends before this machine does.
        """
        if self._falling_asleep:
            self._falling_asleep = False
            self._events.append(HostEvent("carries_on"))

    # --- Sessions ------------------------------------------------------------------------

    def _take_sessions(self, answer: tuple[Any, ...] | BusError) -> None:
        if not isinstance(answer, BusError):
            self._asked = set()
            for *_, path in answer[0]:
                self._ask_session(path, new=False)

    def _ask_session(self, path: str, *, new: bool) -> None:
        if self._listener:
            if self._asked is not None:
                self._asked.add(path)
            target = MANAGER.at(path, SESSION_INTERFACE)
            self._listener.ask_properties(partial(self._take_session, path, new), target)

    def _take_session(self, path: str, new: bool, properties: dict[str, Any]) -> None:
        if self._asked is not None:
            self._asked.discard(path)
        session = session_from(properties)
        # The desktop of a login screen counts as well: it is there, and not in use yet.
        self._desktop = self._desktop or session.graphical
        if path in self._sessions or not session.person or session.closing:
            return
        known = self._sessions[path] = _Known(session)
        if new:
            self._events.append(HostEvent("logged_in", known.data))

    def _forget_session(self, path: str) -> None:
        if self._asked is not None:
            # No answer comes any more for one that was still to be looked at.
            self._asked.discard(path)
        if known := self._sessions.pop(path, None):
            self._events.append(HostEvent("logged_out", known.data))

    def _hear_request(self, signal: Signal) -> None:
        """Take it that a desktop locks when logind tells it to, if it never says so itself."""
        known = self._sessions.get(signal.path)
        if known and not known.tells and signal.member in {"Lock", "Unlock"}:
            self._set_locked(known, signal.member == "Lock")

    def _hear_change(self, signal: Signal) -> None:
        known = self._sessions.get(signal.path)
        changed = signal.body[1]
        if known and "Active" in changed:
            known.active = bool(changed["Active"][1])
        if known and "LockedHint" in changed:
            known.tells = True
            locked = bool(changed["LockedHint"][1])
            if locked != known.locked:
                self._set_locked(known, locked)

    def _set_locked(self, known: _Known, locked: bool) -> None:
        known.locked = locked
        self._events.append(HostEvent("locked" if locked else "unlocked", known.data))

    def _conclude(self) -> None:
        """Keep what follows from all sessions, once each was looked at."""
        self._shown = tuple(known.now for known in self._sessions.values())
        self._complete = self._asked is not None and not self._asked
        opened = any(known.open for known in self._sessions.values())
        self._locked = not opened if self._complete and self._desktop else None
