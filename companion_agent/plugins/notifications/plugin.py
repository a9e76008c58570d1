"""Notifications as the agent announces them; the session helper shows them (`helper.py`)."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.messages import Thing
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.desktop.sessions import DesktopSessions
    from companion_agent.models import Selection
    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.desktop_settings import DesktopConfig

_LOGGER = logging.getLogger(__name__)

SHOW = Thing("show")
CLEAR = Thing("clear")
EVERYONE = "*"
"""As `session`: all sessions in which notifications can be shown."""
MAX_IMAGE = 64 * 1024
MAX_BUTTONS = 5
MAX_KEPT = 20
"""Notifications that wait for a session; the oldest go first."""
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
            {"tag": replace(_TAG, default=None)},
            per_minute=60,
        ),
    )

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        sessions: DesktopSessions | None = None,
        config: DesktopConfig | None = None,
    ) -> None:
        super().__init__(platform, selection, sessions, config)
        self.sessions.hear_all(self.name)
        self._lock = threading.Lock()
        # By tag where they have one: a newer one replaces what was not shown yet.
        self._kept: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._number = 0

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
            self._forget(rest["tag"])
            if self._is_there(thing, session):
                self._call(thing, rest, session)
            return
        keep = rest.pop("when_absent", "error")
        if keep == "keep" and not self._is_there(thing, session):
            self._keep({**rest, "session": session})
        else:
            self._call(thing, rest, session)

    def _is_there(self, thing: Thing, session: str) -> bool:
        if session == EVERYONE:
            return bool(self.sessions.able(self.name, thing))
        return self.sessions.can(self.name, thing, session)

    def _call(self, thing: Thing, args: Mapping[str, Any], session: str) -> None:
        if session != EVERYONE:
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

    # --- What waits for a session --------------------------------------------------------

    def _keep(self, args: Mapping[str, Any]) -> None:
        with self._lock:
            self._number += 1
            name = args["tag"] and f"tag {args['tag']}"
            self._kept.pop(name, None)
            self._kept[name or str(self._number)] = args
            if len(self._kept) > MAX_KEPT:
                _LOGGER.warning("More than %d notifications wait for a session", MAX_KEPT)
                self._kept.popitem(last=False)

    def _forget(self, tag: str) -> None:
        with self._lock:
            self._kept.pop(f"tag {tag}", None)

    def _show_kept(self) -> None:
        with self._lock:
            kept = dict(self._kept)
        for name, args in kept.items():
            if not self._is_there(SHOW, args["session"]):
                continue
            with self._lock:
                self._kept.pop(name, None)
            rest = {key: value for key, value in args.items() if key != "session"}
            try:
                self._call(SHOW, rest, args["session"])
            except CommandError as error:
                _LOGGER.warning("A notification that was kept is not shown: %s", error)
