"""Sessions at this machine: who is logged in, whether it is locked, locking it and logging out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from companion_agent.errors import Unavailable
from companion_agent.models import Command, Reading, Selection, Value
from companion_agent.platforms.control import SessionAction
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import Session

_LOCKED, _USERS = "locked", "users"


class SessionPlugin(Collector, CommandProvider):
    """Reads who is logged in and whether the machine is locked; locks or ends local sessions.

    The agent reads it anew whenever a session changes.
    """

    name: ClassVar[str] = "session"
    events: ClassVar[tuple[str, ...]] = ("locked", "unlocked", "logged_in", "logged_out")
    interval: ClassVar[float] = 60

    def __init__(self, platform: Platform, selection: Selection | None = None) -> None:
        super().__init__(platform, selection)
        self._missing: dict[str, Unavailable] = {}

    def collect(self) -> Mapping[str, Value]:
        """Read whether it is locked, and who is logged in.

        Raises:
            Unavailable: Neither can be told.
        """
        values: dict[str, Value] = {}
        self._missing = {}
        try:
            values[_LOCKED] = self.platform.session_locked()
        except Unavailable as error:
            self._missing[_LOCKED] = error
        try:
            values[_USERS] = users_of(self.platform.sessions())
        except Unavailable as error:
            self._missing[_USERS] = error
        if not values:
            raise self._missing[_LOCKED]
        self.describe(tuple(values), lambda: [Reading(key) for key in values])
        return values

    def left_out(self) -> Mapping[str, str]:
        """Say what cannot be told or done, and why."""
        left_out = {key: error.reason for key, error in self._missing.items()}
        with suppress(Unavailable):
            withheld = self.platform.control().withheld()
            left_out |= {
                key: why for key, why in withheld.items() if key in get_args(SessionAction)
            }
        return left_out

    def commands(self) -> Sequence[Command]:
        """Ask the platform what can be done to sessions."""
        return [
            Command(f"{self.name}.{action}", missing=missing)
            for action, missing in self.platform.control().session_actions().items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the platform do it."""
        action = cast("SessionAction", key.removeprefix(f"{self.name}."))
        self.platform.control().session(action)


def users_of(sessions: Iterable[Session]) -> str:
    """Return who is logged in, as `session.users` says it."""
    return listing(
        f"{one.type or 'unspecified'} {'remote' if one.remote else 'local'} {one.user or one.uid}"
        for one in sorted(sessions, key=lambda one: (one.user, one.id))
    )
