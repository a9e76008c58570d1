"""A domain of the session helper without a helper, as tests of it start it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from companion_agent.desktop.messages import Offer
from companion_agent.errors import Unavailable
from support.agent_desktop import FakeContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from companion_agent.desktop.domain import Domain
    from companion_agent.platforms.linux.async_bus import AsyncBus


@asynccontextmanager
async def started(
    made: type[Domain],
    settings: Mapping[str, Any] | None = None,
    **buses: Callable[[], AsyncBus],
) -> AsyncIterator[FakeContext]:
    """A domain that has looked for what there is; what it lacks is the reason of its offer."""
    context = FakeContext(settings, **buses)
    domain = made(context)
    try:
        context.offer(await domain.start())
    except Unavailable as error:
        context.offer(Offer(why={"": error.reason}))
    try:
        yield context
    finally:
        await domain.stop()
        context.close()
