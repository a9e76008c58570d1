"""Global shortcuts by the desktop's portal: KDE, GNOME from 48 on, Hyprland.

The portal asks the user, who may choose other keys or none; that is waited for without an end.
Source: org.freedesktop.portal.GlobalShortcuts, org.freedesktop.portal.Request.
"""

from __future__ import annotations

import asyncio
from itertools import count
import os
from typing import TYPE_CHECKING, Any

from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.dbus import BusError, Target, plain
from companion_agent.plugins.naming import listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.dbus import Signal

PORTAL = Target(
    "org.freedesktop.portal.Desktop",
    "/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.GlobalShortcuts",
)
REQUEST = "org.freedesktop.portal.Request"
_SESSION = "org.freedesktop.portal.Session"
KEYS = Thing("keys")


class GlobalShortcuts:
    """A session at the portal, and the shortcuts that are bound in it.

    Args:
        context: What the helper does for the domain.
        bus: The session bus.
        wanted: The hotkeys, by the name that events have: `name` and `keys` of each.
    """

    def __init__(
        self, context: HelperContext, bus: AsyncBus, wanted: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._context = context
        self._bus = bus
        self._wanted = wanted
        self._offer = Offer()
        self._session = ""
        self._tokens = count(1)
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}  # by their token
        self._binding: asyncio.Task[None] | None = None

    async def start(self) -> Offer:
        """Ask the portal for a session, and begin to bind.

        Raises:
            Unavailable: This desktop has no portal for it.
        """
        if self._binding:
            return self._offer
        try:
            await self._bus.get(PORTAL, "version")
        except BusError as error:
            raise Unavailable(
                "this desktop has no portal for global shortcuts "
                f"(org.freedesktop.portal.GlobalShortcuts): {error.text}"
            ) from error
        for called, interface, member in (
            (self._answered, REQUEST, "Response"),
            (self._pressed, PORTAL.interface, "Activated"),
            (self._changed, PORTAL.interface, "ShortcutsChanged"),
        ):
            self._bus.subscribe(called, sender=PORTAL.service, interface=interface, member=member)
        self._offer = Offer(why={"": "the desktop has not bound the hotkeys yet: it asks the user"})
        self._binding = asyncio.create_task(self._bind())
        return self._offer

    def stop(self) -> None:
        """Give the keys back."""
        if self._binding:
            self._binding.cancel()
        if self._session:
            self._bus.tell(PORTAL.at(self._session, _SESSION), "Close")
            self._session = ""

    async def _bind(self) -> None:
        try:
            created = await self._ask(
                "CreateSession", "a{sv}", session_handle_token=("s", f"pilot_{os.getpid()}")
            )
            self._session = str(created.get("session_handle", ""))
            shortcuts = [
                (
                    name,
                    {
                        "description": ("s", hotkey["name"]),
                        **({"preferred_trigger": ("s", hotkey["keys"])} if hotkey["keys"] else {}),
                    },
                )
                for name, hotkey in self._wanted.items()
            ]
            bound = await self._ask(
                "BindShortcuts", "oa(sa{sv})sa{sv}", self._session, shortcuts, ""
            )
        except (BusError, Unavailable) as error:
            self._say(Offer(why={"": f"the desktop's portal binds no hotkeys: {error}"}))
        else:
            self._take(bound.get("shortcuts", []))

    async def _ask(
        self, method: str, signature: str, *args: object, **options: tuple[str, object]
    ) -> dict[str, Any]:
        """Call a method of the portal that answers by a signal.

        Raises:
            BusError: It was refused.
            Unavailable: The user, or the desktop, has declined it.
        """
        token = f"pilot_{os.getpid()}_{next(self._tokens)}"
        answer = self._answers[token] = asyncio.get_running_loop().create_future()
        try:
            options["handle_token"] = ("s", token)
            await self._bus.call(PORTAL, method, signature, *args, options)
            results: dict[str, Any] = await answer
            return results
        finally:
            del self._answers[token]

    def _answered(self, signal: Signal) -> None:
        answer = self._answers.get(signal.path.rpartition("/")[2])
        if answer is None or answer.done():
            return
        code, results = signal.body
        if code == 0:
            answer.set_result(plain(results))
        else:
            answer.set_exception(Unavailable("declined"))

    def _pressed(self, signal: Signal) -> None:
        session, name = signal.body[:2]
        if session == self._session and name in self._wanted:
            self._context.happened("pressed", hotkey=name)

    def _changed(self, signal: Signal) -> None:
        session, shortcuts = signal.body
        if session == self._session:
            self._take(shortcuts)

    def _take(self, shortcuts: list[tuple[str, dict[str, tuple[str, Any]]]]) -> None:
        """Take what is bound now."""
        bound = {
            name: str(plain(properties).get("trigger_description", ""))
            for name, properties in shortcuts
            if name in self._wanted
        }
        if not bound:
            self._say(Offer(why={"": "the desktop has bound none of the hotkeys"}))
            return
        why = {name: "the desktop has not bound it" for name in self._wanted if name not in bound}
        self._say(Offer((KEYS,), way="the desktop's portal", why=why))
        keys = listing(f"{name}: {trigger or 'no keys'}" for name, trigger in bound.items())
        self._context.read({KEYS: keys})

    def _say(self, offer: Offer) -> None:
        self._offer = offer
        self._context.offer(offer)
