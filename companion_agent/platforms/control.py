"""What the agent can do to this machine, and hears of it: the other half of `platforms.base`.

`HostControl` is asked by the commands, in the worker, and may block. `HostWatch` belongs to the
event loop and never does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, NamedTuple

from companion_agent.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    import socket

    from companion_agent.models import Missing

PowerAction = Literal["shutdown", "reboot", "cancel", "suspend", "hibernate", "hybrid_sleep"]
SessionAction = Literal["lock", "log_out"]

DELAYED: tuple[PowerAction, ...] = ("shutdown", "reboot")
"""The actions that can be planned ahead; `cancel` calls them off."""

_GRAPHICAL = frozenset({"x11", "wayland", "mir", "windows"})


class Session(NamedTuple):
    """A user's session.

    Attributes:
        id: The system's name of it.
        uid: The user's number; -1 where users have none.
        user: The user's name.
        type: `wayland`, `x11`, `tty`, `windows`, …; `unspecified` where the login did not say.
        person: Whether a person works in it; login screens and services have sessions as well.
        seat: The seat that it is at; empty for those that come over the network.
        remote: Whether it comes over the network.
        active: Whether it is the one that its seat shows.
        locked: Whether its screen is locked, as far as its desktop tells.
        closing: Whether it ends.
    """

    id: str
    uid: int
    user: str
    type: str
    person: bool
    seat: str
    remote: bool
    active: bool
    locked: bool
    closing: bool

    @property
    def graphical(self) -> bool:
        """Whether it has windows."""
        return self.type in _GRAPHICAL

    @property
    def present(self) -> bool:
        """Whether it is a person's and at this machine."""
        return self.person and bool(self.seat) and not self.closing

    @property
    def open(self) -> bool:
        """Whether it can be used without a login or an unlocking."""
        return self.present and self.active and not self.locked


class HostControl(ABC):
    """Ends or pauses this machine's work, and its users' sessions."""

    @abstractmethod
    def power_actions(self) -> Mapping[PowerAction, Missing | None]:
        """Find out what this machine can do, and which of it the agent lacks a permission for.

        Raises:
            Unavailable: Nothing here can be asked.
        """

    @abstractmethod
    def session_actions(self) -> Mapping[SessionAction, Missing | None]:
        """Find out the same of its users' sessions.

        Raises:
            Unavailable: There is nothing to lock, or nothing here can be asked.
        """

    def withheld(self) -> Mapping[PowerAction | SessionAction, str]:
        """Say what such a system can do elsewhere and does not offer here, and why.

        Raises:
            Unavailable: Nothing here can be asked.
        """
        return {}

    @abstractmethod
    def power(self, action: PowerAction, delay: float = 0) -> None:
        """Do one of `power_actions()`; return when the system has accepted it.

        Args:
            action: What to do.
            delay: Seconds until then, for `DELAYED` ones; the users are warned meanwhile.

        Raises:
            CommandError: The system refused it, or it did not work.
        """

    @abstractmethod
    def session(self, action: SessionAction) -> None:
        """Do one of `session_actions()`.

        Raises:
            CommandError: The system refused it, or it did not work.
        """

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions of people that there are.

        Raises:
            Unavailable: Nothing here can be asked.
        """
        raise Unavailable("this operating system does not tell which sessions there are")

    def session_of(self, pid: int, uid: int) -> Session | None:
        """Return the session of a person that a process of theirs belongs to.

        A process that the user's service manager started is of none by itself: it gets the one
        that the user works in, with windows before others.

        Args:
            pid: The process.
            uid: Whose it is.

        Returns:
            The session; `None` where this user has none.

        Raises:
            Unavailable: Nothing here can be asked.
        """
        raise Unavailable("this operating system does not tell whose sessions there are")


HostEventType = Literal[
    "going_to_sleep",
    "woke",
    "shutting_down",
    "carries_on",
    "locked",
    "unlocked",
    "logged_in",
    "logged_out",
]


class HostEvent(NamedTuple):
    """Something that happened to this machine.

    Attributes:
        type: What it was. `carries_on`: sleep or shutdown does not come about, or who announced it
            is gone; it is told nowhere, but the agent has to come back.
        data: Who was concerned, for sessions: `user`, whether `remote`, and where the system
            knows it the `type` of the session (`wayland`, `x11`, `tty`, `windows`).
    """

    type: HostEventType
    data: Mapping[str, str | bool] = {}


class HostWatch(ABC):
    """Hears what happens to this machine, and holds up sleep and shutdown for a moment.

    `step()` is called when `socket` can be read, when `wake` was called, and at `deadline()`.
    After `going_to_sleep` and `shutting_down` the machine waits, a few seconds at most, until
    `let_go()` is called.
    """

    @abstractmethod
    def start(self, wake: Callable[[], None]) -> None:
        """Begin to listen.

        Args:
            wake: Has `step()` called; safe from any thread.
        """

    @property
    @abstractmethod
    def socket(self) -> socket.socket | None:
        """The socket to select on; `None` while there is none."""

    @abstractmethod
    def deadline(self) -> float:
        """Return when `step()` is due without an event; infinity for never."""

    @abstractmethod
    def step(self) -> list[HostEvent]:
        """Return what happened since the last call, in order."""

    @property
    @abstractmethod
    def locked(self) -> bool | None:
        """Whether this machine has to be unlocked or logged in to before it can be used.

        `None` while that is not known, and where there is no desktop. Safe from any thread.
        """

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of people that there are, as far as they are known."""
        return ()

    @property
    def knows_sessions(self) -> bool:
        """Whether `sessions` are all that there are. Safe from any thread."""
        return False

    def take_changed(self) -> frozenset[str]:
        """Return the collectors whose values have changed since the last call, and forget them."""
        return frozenset()

    @abstractmethod
    def let_go(self) -> None:
        """Let the machine sleep or shut down."""

    @abstractmethod
    def close(self) -> None:
        """Listen no more, and hold up nothing."""


class Watch(ABC):
    """Hears that something of this machine may have changed, for the event loop to wait for."""

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor that can be read when it has heard something."""

    @abstractmethod
    def changed(self) -> bool:
        """Tell whether something has changed since the last call; never blocks."""

    @abstractmethod
    def close(self) -> None:
        """Listen no more."""


class NetworkWatch(ABC):
    """Hears that a link, an address or a route of this machine has changed."""

    @property
    @abstractmethod
    def socket(self) -> socket.socket:
        """The socket to select on."""

    @abstractmethod
    def changed(self) -> bool:
        """Tell whether something has changed since the last call."""

    @abstractmethod
    def close(self) -> None:
        """Listen no more."""
