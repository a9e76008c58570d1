"""Notifications as the agent announces them; the session helper shows them (`helper.py`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Thing
from companion_agent.desktop.sessions import DesktopSessions
from companion_agent.errors import CommandError
from companion_agent.models import (
    Argument,
    ChoiceArgument,
    Command,
    DataArgument,
    FreeTextArgument,
    ListArgument,
    Reading,
    TextArgument,
)
from companion_agent.plugins.desktop import DesktopPlugin
from companion_agent.plugins.desktop_settings import DesktopConfig
from companion_agent.plugins.notifications.kept import KeptNotifications

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext

_LOGGER = logging.getLogger(__name__)

SHOW = Thing("show")
CLEAR = Thing("clear")
ALL_USERS = "*"
"""As `session`: all sessions in which notifications can be shown."""
MAX_IMAGE = 64 * 1024
MAX_BUTTONS = 5
SERVERS_CHOICE = -1
"""As `timeout`: the notification server decides, as it does for other programs."""

_DAY = 86_400
_TAG = FreeTextArgument(longest=128)
_URGENCIES = ("low", "normal", "critical")
# What a server may lack, by the arguments that need it.
_OPTIONAL = frozenset({"actions", "reply", "reply_title", "image", "sound"})


class NotificationsPlugin(DesktopPlugin):
    """Shows notifications in the session that is meant, in another one, or in all."""

    name: ClassVar[str] = "notifications"
    events: ClassVar[tuple[str, ...]] = ("pressed", "replied", "closed")
    declared_readings: ClassVar[tuple[Reading, ...]] = (Reading("server"),)
    declared_commands: ClassVar[tuple[Command, ...]] = (
        Command(
            "notifications.show",
            {
                "message": FreeTextArgument(longest=2000, default=None, lines=True),
                "title": FreeTextArgument(longest=255),
                "urgency": ChoiceArgument(_URGENCIES, default="normal"),
                "timeout": Argument("seconds", SERVERS_CHOICE, _DAY, default=SERVERS_CHOICE),
                "tag": _TAG,
                "id": TextArgument(longest=64, default=""),
                "when_absent": ChoiceArgument(("error", "keep"), default="error"),
                "actions": ListArgument(
                    MAX_BUTTONS,
                    {
                        "action": FreeTextArgument(longest=255, default=None),
                        "title": FreeTextArgument(longest=128, default=None),
                    },
                ),
                "reply": FreeTextArgument(longest=255),
                "reply_title": FreeTextArgument(longest=128),
                "image": DataArgument(longest=MAX_IMAGE),
                "sound": FreeTextArgument(longest=64),
            },
            per_minute=60,
        ),
        Command(
            "notifications.clear",
            {"tag": _TAG._replace(default=None)},
            per_minute=60,
        ),
    )

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        sessions: DesktopSessions | None = None,
        config: DesktopConfig | None = None,
        kept: KeptNotifications | None = None,
    ) -> None:
        super().__init__(platform, selection, sessions, config)
        self.sessions.hear_all(self.name)
        self._kept = kept or KeptNotifications()

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with the helpers, and with what was kept."""
        return cls(
            context.platform,
            context.selection,
            context.get(DesktopSessions),
            context.get(DesktopConfig),
            context.get(KeptNotifications),
        )

    def commands(self) -> Sequence[Command]:
        """Return what the notification server of the session that is meant can do.

        It is asked when a session has come, so what was kept is shown here.

        Raises:
            Unavailable: There has been no session with a notification server.
        """
        lacking = _OPTIONAL & self.sessions.view(self.name).offer.why.keys()
        commands = [
            replace(
                command,
                args={name: one for name, one in command.args.items() if name not in lacking},
            )
            for command in super().commands()
        ]
        self._show_kept()
        return commands

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Show or clear a notification in the sessions that are asked for."""
        thing = Thing(key.removeprefix(f"{self.name}."))
        rest = {name: value for name, value in args.items() if name != "session"}
        session = str(args.get("session", ""))
        if thing == CLEAR:
            self._kept.forget(rest["tag"])
            if self._is_there(thing, session):
                self._call(thing, rest, session)
            return
        keep = rest.pop("when_absent", "error")
        if keep == "keep" and not self._is_there(thing, session):
            self._kept.keep({**rest, "session": session})
        else:
            self._call(thing, rest, session)

    def _is_there(self, thing: Thing, session: str) -> bool:
        if session == ALL_USERS:
            return bool(self.sessions.able(self.name, thing))
        return self.sessions.can(self.name, thing, session)

    def _call(self, thing: Thing, args: Mapping[str, Any], session: str) -> None:
        if session != ALL_USERS:
            self.sessions.call(self.name, thing, args, session)
            return
        names = self.sessions.able(self.name, thing)
        if not names:
            self.sessions.call(self.name, thing, args)
            return
        # One that hangs does not keep the others waiting.
        with ThreadPoolExecutor(len(names)) as pool:
            tries = [
                pool.submit(self.sessions.call, self.name, thing, args, name) for name in names
            ]
        errors = [error for one in tries if (error := one.exception())]
        if errors:
            raise errors[0]

    def _show_kept(self) -> None:
        for name, args in self._kept.waiting():
            session = args["session"]
            if not self._is_there(SHOW, session) or not self._kept.take(name):
                continue
            rest = {key: value for key, value in args.items() if key != "session"}
            try:
                self._call(SHOW, rest, session)
            except CommandError as error:
                if not self._is_there(SHOW, session):
                    self._kept.give_back(name)
                    continue
                _LOGGER.warning("A notification that was kept is not shown: %s", error)
            self._kept.shown(name, args)
