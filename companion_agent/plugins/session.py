"""Sessions at this machine: who is logged in, whether it is locked, locking it and logging out."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

from companion_agent.desktop.messages import Thing
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import Unavailable
from companion_agent.models import Command, Reading, Selection, Value
from companion_agent.platforms.control import SessionAction
from companion_agent.plugins.base import Collector, CommandProvider
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Self

    from companion_agent.platforms.base import Platform
    from companion_agent.platforms.control import Session
    from companion_agent.plugins.base import PluginContext

_LOCKED, _USERS = "locked", "users"


class SessionPlugin(Collector, CommandProvider):
    """Reads who is logged in and whether the machine is locked; locks or ends local sessions.

    The agent reads it anew whenever a session changes. What the platform cannot do from where the
    agent runs, as on Windows, the session helper of the session that is meant does.
    """

    name: ClassVar[str] = "session"
    events: ClassVar[tuple[str, ...]] = ("locked", "unlocked", "logged_in", "logged_out")
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        helpers: DesktopSessions | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self._missing: dict[str, Unavailable] = {}
        self._helpers = helpers or DesktopSessions()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the session helpers."""
        return cls(context.platform, context.selection, context.get(DesktopSessions))

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
            helped = self._helped()
            left_out |= {
                key: why
                for key, why in withheld.items()
                if key in get_args(SessionAction) and key not in helped
            }
        return left_out

    def commands(self) -> Sequence[Command]:
        """Ask the platform what can be done to sessions, and the session helpers.

        Raises:
            Unavailable: There is nothing to lock, or nothing can be asked.
        """
        helped = self._helped()
        try:
            actions = dict(self.platform.control().session_actions())
        except Unavailable:
            if not helped:
                raise
            actions = {}
        actions |= {action: None for action in helped if action not in actions}
        return [
            Command(f"{self.name}.{action}", missing=missing) for action, missing in actions.items()
        ]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the platform do it, or the session helper."""
        action = cast("SessionAction", key.removeprefix(f"{self.name}."))
        control = self.platform.control()
        if action in self._helped() and action not in control.session_actions():
            self._helpers.call(self.name, Thing(action), {})
        else:
            control.session(action)

    def _helped(self) -> list[SessionAction]:
        """Return what session helpers do, or did when one was there last."""
        with suppress(Unavailable):
            offered = self._helpers.view(self.name).offer.commands
            return [action for action in get_args(SessionAction) if Thing(action) in offered]
        return []


def users_of(sessions: Iterable[Session]) -> str:
    """Return who is logged in, as `session.users` says it."""
    return listing(
        f"{one.type or 'unspecified'} {'remote' if one.remote else 'local'} {one.user or one.uid}"
        for one in sorted(sessions, key=lambda one: (one.user, one.id))
    )
