"""Idleness as a Wayland compositor tells it: wlroots, KDE, COSMIC and others.

Source: ext-idle-notify-v1.xml of wayland-protocols (staging), wayland.xml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.errors import Unavailable
from companion_agent.platforms.linux.wayland import WaylandClient, uint
from companion_agent.plugins.presence.idle import IdleWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_SEAT = "wl_seat"
_NOTIFIER = "ext_idle_notifier_v1"
_GET_NOTIFICATION, _GET_INPUT_NOTIFICATION = 1, 2
# From version 2 on a film that keeps the screen on is told from a hand on the mouse.
_INPUT_VERSION = 2
_IDLED, _RESUMED = 0, 1


class CompositorIdle(IdleWatch):
    """Asks the compositor for word of its first seat.

    Args:
        after: As for every way.
        changed: As for every way.
        ended: Called when the compositor has gone, with the reason.
    """

    def __init__(
        self, after: float, changed: Callable[[], None], ended: Callable[[str], None]
    ) -> None:
        super().__init__("ext-idle-notify", after, changed)
        self._client = WaylandClient(lambda _: None, ended)

    async def open(self) -> None:
        """Have it tell; what was before is not known, so it is in use from now on."""
        await self._client.open()
        try:
            await self._ask()
        except Unavailable:
            self._client.close()
            raise

    async def _ask(self) -> None:
        client = self._client
        found = {one.interface: one for one in client.globals.values()}
        if _NOTIFIER not in found:
            raise Unavailable("this compositor has no ext-idle-notify")
        if _SEAT not in found:
            raise Unavailable("this compositor has no keyboard and no mouse (no wl_seat)")
        seat = client.bind(found[_SEAT], 1, lambda *_: None)
        notifier = found[_NOTIFIER]
        manager = client.bind(notifier, _INPUT_VERSION, lambda *_: None)
        request = _GET_INPUT_NOTIFICATION
        if notifier.version < _INPUT_VERSION:
            request = _GET_NOTIFICATION
            self.name += " (a program that keeps the screen on counts as use)"
        made = client.make(self._event)
        client.request(manager, request, uint(made) + uint(round(self.after * 1000)) + uint(seat))
        await client.roundtrip()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _event(self, opcode: int, _: bytes) -> None:
        if opcode == _IDLED:
            self.take(idle=True, ago=self.after)
        elif opcode == _RESUMED:
            self.take(idle=False)
