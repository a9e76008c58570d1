"""The screen of this session: what the helper reads and does of it.

Ways are probed in the order of how much their answers can be trusted. What a way says that it
cannot do is left out with its reason.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.desktop.domain import Domain
from companion_agent.desktop.messages import Offer, Thing
from companion_agent.errors import CommandError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.desktop.domain import HelperContext
    from companion_agent.plugins.screen.keep_awake import KeepAwake

KEEP_AWAKE = Thing("keep_awake")


class ScreenDomain(Domain):
    """Reads and switches the screen of this session."""

    name: ClassVar[str] = "screen"

    def __init__(self, context: HelperContext) -> None:
        super().__init__(context)
        self._keep_awake: KeepAwake | None = None

    async def start(self) -> Offer:
        """Look for what this session has."""
        things: list[Thing] = []
        ways: list[str] = []
        why: dict[str, str] = {}
        try:
            ways.append(await self._start_keep_awake())
            things.append(KEEP_AWAKE)
        except Unavailable as error:
            why["keep_awake"] = error.reason
        return Offer(tuple(things), tuple(things), ", ".join(ways), why)

    async def call(self, command: Thing, args: Mapping[str, Any]) -> None:
        """Switch something, and read it back."""
        on = args["value"] == 1
        if command == KEEP_AWAKE and self._keep_awake:
            self.context.read({KEEP_AWAKE: await self._keep_awake.switch(on=on)})
        else:
            raise CommandError("failed", f"there is no {command.name} here")

    async def stop(self) -> None:
        """Let go of what is held."""
        if self._keep_awake:
            self._keep_awake.close()

    async def _start_keep_awake(self) -> str:
        from companion_agent.plugins.screen.keep_awake import KeepAwake  # noqa: PLC0415

        system = await self.context.bus("system")
        session = None
        with suppress(Unavailable):
            session = await self.context.bus("session")
        keep_awake = KeepAwake(system, session)
        way = await keep_awake.probe()
        self._keep_awake = keep_awake
        self.context.read({KEEP_AWAKE: await keep_awake.on()})
        return f"keep awake by {way}"
