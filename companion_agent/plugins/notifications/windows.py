"""Notifications in a Windows session."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from itertools import count
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer
from companion_agent.errors import CommandError
from companion_agent.plugins.notifications.shown import (
    APP,
    CLEAR,
    MAX_SHOWN,
    SERVER,
    SHOW,
    Shown,
    remove,
    reply_parts,
    write_image,
)
from companion_agent.plugins.notifications.toast import REPLY, toast
from companion_agent.plugins.notifications.toasts import Toasts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.desktop.messages import Thing

_LOGGER = logging.getLogger(__name__)

WAY = "ToastNotificationManager"


class WindowsNotificationsDomain(Domain):
    """Shows notifications in this session, and tells of the answers.

    One that has left the screen waits in the notification centre, and is closed when it was
    answered or dismissed there, or when its own time is over.
    """

    name: ClassVar[str] = "notifications"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._loop = asyncio.get_running_loop()
        self._toasts: Toasts | None = None
        # By a number of our own: Windows' objects are not told apart.
        self._shown: dict[int, Shown] = {}
        self._numbers = count()
        self._expiring: dict[int, asyncio.TimerHandle] = {}

    async def start(self) -> Offer:
        """Register the agent as what shows notifications.

        Raises:
            Unavailable: This Windows shows none, or a package is missing.
        """
        if self._toasts is None:
            self._toasts = Toasts(APP)
        self.context.read({SERVER: "Windows"})
        return Offer((SERVER,), (SHOW, CLEAR), WAY)

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Show a notification, or clear one."""
        assert self._toasts
        if command == CLEAR:
            for number in self._with_tag(args["tag"]):
                self._clear(number, "cleared")
        else:
            self._show(self._toasts, args)

    async def stop(self) -> None:
        """Take the images away; what is shown stays."""
        for timer in self._expiring.values():
            timer.cancel()
        for shown in self._shown.values():
            remove(shown.image)

    # --- Showing and clearing ------------------------------------------------------------

    def _show(self, toasts: Toasts, args: Mapping[str, Any]) -> None:
        image = write_image(args["image"]) if args.get("image") else None
        number = next(self._numbers)
        shown = Shown.of(args, image)
        try:
            toasts.show(
                toast(args, image),
                _tag(number, shown),
                activated=self._told(number, self._activated),
                dismissed=self._told(number, self._dismissed),
                failed=self._told(number, self._failed),
            )
        except BaseException:
            remove(image)
            raise
        for before in self._with_tag(shown.tag):
            self._forget(before)
        self._shown[number] = shown
        if args["timeout"] > 0:
            self._expiring[number] = self._loop.call_later(args["timeout"], self._expire, number)
        if len(self._shown) > MAX_SHOWN:
            self._forget(next(iter(self._shown)))

    def _with_tag(self, tag: str) -> list[int]:
        return [number for number, one in self._shown.items() if tag and one.tag == tag]

    def _clear(self, number: int, reason: str) -> None:
        assert self._toasts
        self._toasts.remove(_tag(number, self._shown[number]))
        self._tell(number, "closed", reason=reason)

    def _expire(self, number: int) -> None:
        with suppress(CommandError):
            self._clear(number, "expired")

    def _forget(self, number: int) -> Shown:
        if timer := self._expiring.pop(number, None):
            timer.cancel()
        shown = self._shown.pop(number)
        remove(shown.image)
        return shown

    # --- Answers -------------------------------------------------------------------------

    def _told(self, number: int, called: Callable[..., None]) -> Callable[..., None]:
        """Return what has something called in the event loop while a notification is known."""

        def call(*args: object) -> None:
            if number in self._shown:
                called(number, *args)

        def tell(*args: object) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(call, *args)

        return tell

    def _activated(self, number: int, argument: str, typed: Mapping[str, str]) -> None:
        shown = self._shown[number]
        if argument == REPLY and shown.reply:
            texts = reply_parts(typed.get(REPLY, ""))
            self._tell(number, "replied", action=shown.reply, **texts)
        elif argument.isdecimal() and int(argument) < len(shown.actions):
            self._tell(number, "pressed", action=shown.actions[int(argument)])
        else:
            # Its text was clicked, and with that it is gone.
            self._tell(number, "closed", reason="dismissed")

    def _dismissed(self, number: int, reason: str) -> None:
        # It went to the notification centre.
        if reason != "expired":
            self._tell(number, "closed", reason=reason)

    def _failed(self, number: int, why: str) -> None:
        _LOGGER.warning("Windows did not show a notification: %s", why)
        self._tell(number, "closed", reason="undefined")

    def _tell(self, number: int, event: str, **data: str) -> None:
        shown = self._forget(number)
        self.context.happened(event, id=shown.id, tag=shown.tag, **data)


def _tag(number: int, shown: Shown) -> str:
    """Return what Windows knows a notification by: a tag there has up to 64 characters."""
    return sha256(shown.tag.encode()).hexdigest() if shown.tag else str(number)
