"""The screen's half in the session helper, as the tests of it start it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from companion_agent.desktop.messages import Thing
from companion_agent.platforms.linux.files import Files
from companion_agent.plugins.screen.helper import ScreenDomain
from support.agent_desktop import FakeContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from companion_agent.platforms.linux.async_bus import AsyncBus

ON, TIME_OUT = Thing("on"), Thing("time_out")


@asynccontextmanager
async def started(
    files: Files | None = None,
    **buses: Callable[[], AsyncBus],
) -> AsyncIterator[tuple[ScreenDomain, FakeContext]]:
    """A domain that has looked for what there is, on a machine without a built-in screen."""
    context = FakeContext(**buses)
    domain = ScreenDomain(context, files or Files("/nonexistent"))
    context.offer(await domain.start())
    try:
        yield domain, context
    finally:
        await domain.stop()
        context.close()


async def switch(domain: ScreenDomain, value: int, monitor: str = "") -> None:
    await domain.call(Thing("on", monitor), {"value": value})


async def set_time_out(domain: ScreenDomain, seconds: int) -> None:
    await domain.call(TIME_OUT, {"value": seconds})
