"""Power and sessions through logind. Source: org.freedesktop.login1(5)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from companion_agent.errors import CommandError, Unanswered, Unavailable
from companion_agent.platforms.control import (
    DELAYED,
    HostControl,
    PowerAction,
    Session,
    SessionAction,
)
from companion_agent.platforms.linux import polkit
from companion_agent.platforms.linux.dbus import (
    DENIED,
    NOT_THERE,
    UNANSWERED,
    Bus,
    BusError,
    BusGoneError,
    Target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from companion_agent.models import Missing

SERVICE = "org.freedesktop.login1"
MANAGER = Target(SERVICE, "/org/freedesktop/login1", f"{SERVICE}.Manager")
SESSION_INTERFACE = f"{SERVICE}.Session"

WALL_MESSAGE = "Asked for through Home Assistant"
_WALL = f"{SERVICE}.set-wall-message"

_BLOCKED = f"{SERVICE}.BlockedByInhibitorLock"
_NO_SESSION = f"{SERVICE}.NoSuchSession"
_NO_BUS_HINT = "install dbus and systemd-logind or elogind; in a container there are none"
_NO_LOGIND_HINT = "install systemd-logind or elogind (Debian: apt install libpam-systemd dbus)"


Action = PowerAction | SessionAction
_Some = TypeVar("_Some", PowerAction, SessionAction)


class _Verb(NamedTuple):
    """How something is done.

    Attributes:
        method: logind's method; the question whether it can has `Can` before it.
        polkit: What polkit must permit.
        inhibited_by: What an inhibitor that keeps it from happening names.
    """

    method: str
    polkit: frozenset[str]
    inhibited_by: str = ""


def _permission(name: str) -> frozenset[str]:
    # The second is asked for while others are logged in. Ignoring inhibitors is not wanted:
    # who updates packages has a reason to keep the machine running.
    return frozenset({f"{SERVICE}.{name}", f"{SERVICE}.{name}-multiple-sessions"})


_VERBS: dict[Action, _Verb] = {
    "shutdown": _Verb("PowerOff", _permission("power-off"), "shutdown"),
    "reboot": _Verb("Reboot", _permission("reboot"), "shutdown"),
    "cancel": _Verb("CancelScheduledShutdown", _permission("power-off") | _permission("reboot")),
    "suspend": _Verb("Suspend", _permission("suspend"), "sleep"),
    "hibernate": _Verb("Hibernate", _permission("hibernate"), "sleep"),
    "hybrid_sleep": _Verb("HybridSleep", _permission("hibernate"), "sleep"),
    "lock": _Verb("LockSession", frozenset({f"{SERVICE}.lock-sessions"})),
    "log_out": _Verb("TerminateSession", frozenset({f"{SERVICE}.manage"})),
}
_ASKED: tuple[PowerAction, ...] = ("shutdown", "reboot", "suspend", "hibernate", "hybrid_sleep")
POWER_ACTIONS: tuple[PowerAction, ...] = (*_ASKED, "cancel")
SESSION_ACTIONS: tuple[SessionAction, ...] = ("lock", "log_out")
"""What logind can be asked for, on one machine or another."""
_SCHEDULED: dict[PowerAction, str] = {"shutdown": "poweroff", "reboot": "reboot"}


def session_from(properties: Mapping[str, Any]) -> Session:
    """Make a session from its properties on the bus."""
    uid, _ = properties.get("User", (-1, ""))
    seat, _ = properties.get("Seat", ("", ""))
    return Session(
        id=str(properties.get("Id", "")),
        uid=uid,
        user=str(properties.get("Name", "")),
        type=str(properties.get("Type", "")),
        person=str(properties.get("Class", "")).split("-")[0] == "user",
        seat=seat,
        remote=bool(properties.get("Remote")),
        active=bool(properties.get("Active")),
        locked=bool(properties.get("LockedHint")),
        closing=properties.get("State") == "closing",
    )


class LogindControl(HostControl):
    """Asks logind, and beside it polkit, what this machine can do and the agent may.

    logind's own `Can…` answers mix three things: what the machine can, what the agent may, and
    what a program keeps from happening just now (a package update). They are told apart here,
    because only the first decides what is offered and only the second is mended by a rule.

    Args:
        uid: The user that the agent runs as; found out when left out.
        user: That user's name.
        clock: Seconds since 1970.
        also: Returns what else the agent needs of polkit: there is one rule for everything, so
            that one written over the other loses nothing.

    Attributes:
        user: The name of the user that the agent runs as.
    """

    def __init__(
        self,
        uid: int | None = None,
        user: str | None = None,
        clock: Callable[[], float] = time.time,
        also: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._uid = own_uid() if uid is None else uid
        self.user = user or user_name(self._uid)
        self._clock = clock
        self._also = also
        self._powers: tuple[PowerAction, ...] | None = None
        self._desktop = False

    @property
    def is_root(self) -> bool:
        """Whether the agent needs no permission."""
        return self._uid == 0

    @property
    def offered(self) -> frozenset[str]:
        """What polkit must permit for what was found; empty before `power_actions()`."""
        offered: list[Action] = [*(self._powers or ())]
        if self._desktop:
            offered += SESSION_ACTIONS
        return polkit_actions(offered)

    def permissions(self) -> frozenset[str]:
        """Return all that the agent needs of polkit: what one rule has to permit."""
        if self._powers is None:
            with suppress(Unavailable):
                self.power_actions()
        return self.offered | self._also()

    def power_actions(self) -> Mapping[PowerAction, Missing | None]:
        """Ask logind and polkit."""
        with _connected() as bus:
            self._look_for_desktop(_sessions(bus))
            return self._missing(bus, self._find_powers(bus))

    def session_actions(self) -> Mapping[SessionAction, Missing | None]:
        """Ask logind and polkit."""
        with _connected() as bus:
            sessions = _sessions(bus)
            self._look_for_desktop(sessions)
            if not self._desktop:
                raise Unavailable("there is no desktop on this machine")
            if self._powers is None:
                self._find_powers(bus)
            present = [session for session in sessions if session.present]
            if present and all(session.uid == self._uid for session in present):
                # Users may do everything to their own sessions.
                return dict.fromkeys(SESSION_ACTIONS)
            return self._missing(bus, SESSION_ACTIONS)

    def power(self, action: PowerAction, delay: float = 0) -> None:
        """Have logind do it."""
        with _commanded() as bus:
            if action == "cancel":
                (cancelled,) = _call(bus, action, _VERBS[action].method)
                if not cancelled:
                    raise CommandError("failed", "no shutdown or reboot is planned")
            elif delay > 0 and action in _SCHEDULED:
                self._schedule(bus, action, delay)
            else:
                _call(bus, action, _VERBS[action].method, "b", False)

    def session(self, action: SessionAction) -> None:
        """Have logind do it."""
        with _commanded() as bus:
            present = [session for session in _sessions(bus) if session.present]
            if action == "lock":
                present = [session for session in present if session.graphical]
            if not present:
                raise CommandError("failed", "no user is logged in at this machine")
            for session in present:
                try:
                    _call(bus, action, _VERBS[action].method, "s", session.id)
                except BusError as error:
                    # A session that has just ended needs neither.
                    if error.name != _NO_SESSION:
                        raise

    def locked(self) -> bool:
        """Tell whether this machine has to be unlocked or logged in to before it can be used.

        Raises:
            Unavailable: There is no desktop, or logind cannot be asked.
        """
        with _connected() as bus:
            sessions = _sessions(bus)
        self._look_for_desktop(sessions)
        if not self._desktop:
            raise Unavailable("there is no desktop on this machine")
        return not any(session.open for session in sessions)

    def sessions(self) -> tuple[Session, ...]:
        """Ask logind."""
        with _connected() as bus:
            sessions = _sessions(bus)
        return tuple(one for one in sessions if one.person and not one.closing)

    def session_of(self, pid: int, uid: int) -> Session | None:
        """Ask logind."""
        with _connected() as bus:
            own = [one for one in _sessions(bus) if one.person and one.uid == uid]
            own = [one for one in own if not one.closing]
            if len(own) > 1:
                # `NoSessionForPID`: the user's service manager started it.
                with suppress(BusError):
                    (path,) = bus.call(MANAGER, "GetSessionByPID", "u", pid)
                    found = session_from(bus.properties(MANAGER.at(path, SESSION_INTERFACE)))
                    own = [one for one in own if one.id == found.id] or own
        return max(own, key=_used, default=None)

    def planned_shutdown(self) -> float | None:
        """Return when this machine is to be shut down or rebooted, in seconds since 1970.

        `None` while nothing is planned.

        Raises:
            Unavailable: logind cannot be asked, or does not say it.
        """
        with _connected() as bus:
            kind, when = bus.properties(MANAGER).get("ScheduledShutdown", (None, 0))
        if kind is None:
            raise Unavailable("logind does not say what is planned")
        # What is only rehearsed (`dry-poweroff`) ends nothing.
        return None if not kind or kind.startswith("dry-") else when / 1_000_000

    def _find_powers(self, bus: Bus) -> tuple[PowerAction, ...]:
        found = [action for action in _ASKED if _can(bus, _VERBS[action].method)]
        if any(action in DELAYED for action in found):
            found.append("cancel")
        self._powers = tuple(found)
        return self._powers

    def _look_for_desktop(self, sessions: Iterable[Session]) -> None:
        # A login screen is a desktop that is not in use yet. It ends at a login, and
        # the desktop when they log out: what was seen once stays.
        self._desktop = self._desktop or any(session.graphical for session in sessions)

    def _missing(self, bus: Bus, actions: Sequence[_Some]) -> dict[_Some, Missing | None]:
        if self.is_root:
            return dict.fromkeys(actions)
        rule = self.offered | self._also()
        needed = {action: _VERBS[action].polkit for action in actions}
        try:
            permitted = polkit.permitted(bus, sorted(frozenset().union(*needed.values())))
        except polkit.NoPolkitError:
            return dict.fromkeys(actions, polkit.missing_polkit(self.user, rule))
        missing = polkit.missing_rule(self.user, rule)
        return {
            action: None if wanted <= permitted else missing for action, wanted in needed.items()
        }

    def _schedule(self, bus: Bus, action: PowerAction, delay: float) -> None:
        # Users are warned if that is permitted; without it the shutdown goes ahead all the same.
        with suppress(BusError):
            bus.call(MANAGER, "SetWallMessage", "sb", WALL_MESSAGE, True)
        when = round((self._clock() + delay) * 1_000_000)
        _call(bus, action, "ScheduleShutdown", "st", _SCHEDULED[action], when)


def polkit_actions(actions: Iterable[Action]) -> frozenset[str]:
    """Return what polkit must permit for some actions, and for warning the users of them."""
    wanted = list(actions)
    found = frozenset[str]().union(*(_VERBS[action].polkit for action in wanted))
    return found | {_WALL} if any(action in DELAYED for action in wanted) else found


def _used(session: Session) -> tuple[bool, bool, bool]:
    """Rank the sessions of one user by where the person is."""
    return session.graphical, session.active and bool(session.seat), session.active


def _can(bus: Bus, method: str) -> bool:
    try:
        (answer,) = bus.call(MANAGER, f"Can{method}")
    except BusError as error:
        # logind passes on that polkit did not answer it.
        if error.name in UNANSWERED:
            raise
        # Without polkit logind refuses to say more than that the machine could.
        return error.name in DENIED
    return bool(answer != "na")


def _sessions(bus: Bus) -> list[Session]:
    (listed,) = bus.call(MANAGER, "ListSessions")
    found = []
    for *_, path in listed:
        # A session may end while we look.
        with suppress(BusError):
            found.append(session_from(bus.properties(MANAGER.at(path, SESSION_INTERFACE))))
    return found


def _call(
    bus: Bus, action: Action, method: str, signature: str = "", *args: object
) -> tuple[Any, ...]:
    """Call a method of logind's, and explain when it refuses.

    Raises:
        CommandError: It refused.
        BusError: It did not work.
    """
    try:
        return bus.call(MANAGER, method, signature, *args)
    except BusError as error:
        if error.name not in DENIED and error.name != _BLOCKED:
            raise
        if blocker := _blocker(bus, _VERBS[action].inhibited_by):
            raise CommandError("failed", blocker) from error
        names = ", ".join(sorted(_VERBS[action].polkit))
        detail = f"polkit does not permit the agent {names}"
        raise CommandError("not_permitted", detail) from error


def _blocker(bus: Bus, what: str) -> str:
    """Return who keeps something from happening, in words; empty if nothing does."""
    if not what:
        return ""
    try:
        (inhibitors,) = bus.call(MANAGER, "ListInhibitors")
    except BusError:
        return ""
    for kinds, who, why, mode, _uid, _pid in inhibitors:
        if mode.startswith("block") and what in kinds.split(":"):
            return f"{who} keeps this machine from it: {why}"
    return ""


@contextmanager
def _connected() -> Iterator[Bus]:
    """Connect for a probe."""
    try:
        with Bus() as bus:
            yield bus
    except BusGoneError as error:
        raise Unavailable(error.text, _NO_BUS_HINT) from error
    except BusError as error:
        if error.name in NOT_THERE:
            raise Unavailable("logind does not run on this machine", _NO_LOGIND_HINT) from error
        if error.name in UNANSWERED:
            raise Unanswered(error.text, _NO_LOGIND_HINT) from error
        raise Unavailable(f"logind cannot be asked: {error.text}", _NO_LOGIND_HINT) from error


@contextmanager
def _commanded() -> Iterator[Bus]:
    """Connect for a command."""
    try:
        with Bus() as bus:
            yield bus
    except BusError as error:
        raise CommandError("failed", error.text) from error


if sys.platform == "linux":
    import pwd

    def own_uid() -> int:
        """Return the user that this process acts as."""
        return os.geteuid()

    def user_name(uid: int) -> str:
        """Return a user's name."""
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)

else:

    def own_uid() -> int:
        """Know nothing."""
        return -1

    def user_name(uid: int) -> str:
        """Know nothing."""
        return str(uid)
