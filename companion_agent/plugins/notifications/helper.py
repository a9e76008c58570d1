"""Notifications in this session, shown by its notification server.

Source: Desktop Notifications Specification 1.2 (freedesktop.org), and what servers do beyond it:
the reply field is the action `inline-reply` with the signal `NotificationReplied` (KDE, swaync).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import MAX_TEXT, Offer
from companion_agent.errors import CommandError, Unavailable
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.desktop.messages import Thing
    from companion_agent.platforms.linux.async_bus import AsyncBus
    from companion_agent.platforms.linux.dbus import Signal

SERVICE = "org.freedesktop.Notifications"
GONE_AFTER = 10.0
"""Seconds without a server after which nothing is offered: one that is replaced takes less."""

_REPLY = "inline-reply"
_URGENCIES = {"low": 0, "normal": 1, "critical": 2}
_REASONS = {1: "expired", 2: "dismissed", 3: "cleared"}
# What a server has to say that it can, by the arguments that need it. That it shows images in a
# hint has no word of its own: both say that it shows icons, which such an image takes the place of.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "actions": ("actions",),
    "reply": (_REPLY,),
    "reply_title": (_REPLY,),
    "image": ("icon-static", "icon-multi", "body-images"),
    "sound": ("sound",),
}
# A desktop starts its own server within that many tries of `start()`; after it, one that D-Bus can
# start is started.
_TRIES = 2


class NotificationsDomain(Domain):
    """Shows notifications in this session, and tells of the answers."""

    name: ClassVar[str] = "notifications"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._bus: AsyncBus | None = None
        self._tries = 0
        self._capabilities: frozenset[str] = frozenset()
        self._shown: dict[int, Shown] = {}
        self._withdrawal: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Offer:
        """Ask the notification server what it can do."""
        bus = self._bus
        if bus is None:
            bus = self._bus = await self.context.bus("session")
            for member, called in (
                ("ActionInvoked", self._pressed),
                ("NotificationReplied", self._replied),
                ("NotificationClosed", self._closed),
            ):
                bus.subscribe(called, sender=SERVICE, interface=SERVICE, member=member)
            bus.on_owner(self._server_changed, SERVICE)
        self._tries += 1
        if not await bus.owner(SERVICE) and not await self._can_be_started(bus):
            raise Unavailable("no notification server runs in this session")
        return await self._offer(bus)

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Show a notification, or clear one."""
        from companion_agent.platforms.linux.dbus import BusError  # noqa: PLC0415

        bus = self._bus
        if bus is None:
            raise CommandError("failed", "there is no session bus")
        try:
            if command == CLEAR:
                for number in self._with_tag(args["tag"]):
                    await self._close(bus, number)
            else:
                await self._show(bus, args)
        except BusError as error:
            raise CommandError("failed", f"the notification server: {error.text}") from error

    async def stop(self) -> None:
        """Take the images away; what is shown stays."""
        for shown in self._shown.values():
            remove(shown.image)

    # --- The server ----------------------------------------------------------------------

    async def _can_be_started(self, bus: AsyncBus) -> bool:
        if self._tries <= _TRIES:
            return False
        from companion_agent.platforms.linux.dbus import Target  # noqa: PLC0415

        daemon = Target("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
        (names,) = await bus.call(daemon, "ListActivatableNames")
        return SERVICE in names

    async def _offer(self, bus: AsyncBus) -> Offer:
        from companion_agent.platforms.linux.dbus import BusError  # noqa: PLC0415

        try:
            name, _, version, _ = await bus.call(_target(), "GetServerInformation")
            (capabilities,) = await bus.call(_target(), "GetCapabilities")
        except BusError as error:
            reason = f"the notification server does not say what it can do: {error.text}"
            raise Unavailable(reason) from error
        self._capabilities = frozenset(capabilities)
        server = f"{name} {version}".strip()[:MAX_TEXT]
        self.context.read({SERVER: server})
        why = {
            argument: f"{server} does not offer it"
            for argument, wanted in _NEEDS.items()
            if self._capabilities.isdisjoint(wanted)
        }
        return Offer((SERVER,), (SHOW, CLEAR), f"{SERVICE} ({server})", why)

    def _server_changed(self, owner: str) -> None:
        if self._withdrawal:
            self._withdrawal.cancel()
            self._withdrawal = None
        # What the last one showed went with it.
        for number in list(self._shown):
            self._end(number, "server_ended")
        if owner:
            self._task = asyncio.ensure_future(self._ask_anew())
        else:
            loop = asyncio.get_running_loop()
            self._withdrawal = loop.call_later(GONE_AFTER, self._withdraw)

    async def _ask_anew(self) -> None:
        with suppress(Unavailable):
            if self._bus:
                self.context.offer(await self._offer(self._bus))

    def _withdraw(self) -> None:
        self.context.offer(Offer(why={"": "no notification server runs in this session"}))

    # --- Showing and clearing ------------------------------------------------------------

    async def _show(self, bus: AsyncBus, args: Mapping[str, Any]) -> None:
        actions: list[str] = []
        for number, one in enumerate(args.get("actions", ())):
            # Keys of our own: some mean something to a server ("default").
            actions += [str(number), one["title"]]
        hints: dict[str, tuple[str, object]] = {"urgency": ("y", _URGENCIES[args["urgency"]])}
        reply = args.get("reply", "")
        if reply:
            actions += [_REPLY, args.get("reply_title") or reply]
            hints["x-kde-reply-placeholder-text"] = ("s", args.get("reply_title") or reply)
        if sound := args.get("sound"):
            if sound == "none":
                hints["suppress-sound"] = ("b", True)
            else:
                hints["sound-name"] = ("s", sound)
        image = write_image(args["image"]) if args.get("image") else None
        if image:
            hints["image-path"] = ("s", image.as_uri())
        try:
            (number,) = await bus.call(
                _target(), "Notify", "susssasa{sv}i",
                APP, next(iter(self._with_tag(args["tag"])), 0), "", *self._texts(args), actions,
                hints, int(args["timeout"] * 1000) if args["timeout"] >= 0 else -1,
            )  # fmt: skip
        except BaseException:
            remove(image)
            raise
        if not number:
            remove(image)
            raise CommandError("failed", "the notification server gave it no number")
        before = self._shown.pop(number, None)
        remove(before.image if before else None)
        self._shown[number] = Shown.of(args, image)
        if len(self._shown) > MAX_SHOWN:
            remove(self._shown.pop(next(iter(self._shown))).image)

    def _texts(self, args: Mapping[str, Any]) -> tuple[str, str]:
        """Return summary and body; a server draws a summary without a body as well."""
        message = args["message"]
        if not args["title"]:
            return message, ""
        if "body-markup" in self._capabilities:
            message = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return args["title"], message

    def _with_tag(self, tag: str) -> list[int]:
        return [number for number, one in self._shown.items() if tag and one.tag == tag]

    async def _close(self, bus: AsyncBus, number: int) -> None:
        from companion_agent.platforms.linux.dbus import BusError  # noqa: PLC0415

        # One that the user has just closed is an error for some servers.
        with suppress(BusError):
            await bus.call(_target(), "CloseNotification", "u", number)

    # --- Answers -------------------------------------------------------------------------

    def _pressed(self, signal: Signal) -> None:
        number, key = signal.body[:2]
        shown = self._shown.get(number)
        # The reply field is a button that is followed by its text.
        if shown is None or not key.isdecimal() or int(key) >= len(shown.actions):
            return
        self._answered(number, "pressed", action=shown.actions[int(key)])

    def _replied(self, signal: Signal) -> None:
        number, text = signal.body[:2]
        shown = self._shown.get(number)
        if shown is None or not shown.reply:
            return
        self._answered(number, "replied", action=shown.reply, **reply_parts(text))

    def _closed(self, signal: Signal) -> None:
        # Some servers say it several times (swaync 0.11: three times).
        number, reason = signal.body[:2]
        self._end(number, _REASONS.get(reason, "undefined"))

    def _end(self, number: int, reason: str) -> None:
        if number in self._shown:
            self._tell(number, "closed", reason=reason)

    def _answered(self, number: int, event: str, **data: str) -> None:
        self._tell(number, event, **data)
        if self._bus:
            # The specification leaves it to the server whether an answered one stays.
            self._task = asyncio.ensure_future(self._close(self._bus, number))

    def _tell(self, number: int, event: str, **data: str) -> None:
        shown = self._shown.pop(number)
        remove(shown.image)
        self.context.happened(event, id=shown.id, tag=shown.tag, **data)


def _target() -> Any:  # noqa: ANN401  (its type is loaded with it)
    from companion_agent.platforms.linux.dbus import Target  # noqa: PLC0415

    return Target(SERVICE, "/org/freedesktop/Notifications", SERVICE)
