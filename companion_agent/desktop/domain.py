"""A domain of the desktop as the session helper works on it.

`companion_agent.plugins.desktop` is its other half, in the agent: that declares what there may be,
this says what there is, reads it and does it. A domain's module is imported when the helper starts
it, and imports what it needs of the system when it knows that it needs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from companion_agent.errors import CommandError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    from companion_agent.desktop.messages import Offer, Thing
    from companion_agent.models import Value


class Way(Protocol):
    """One of the ways to the same: a protocol of compositors, say."""

    async def open(self) -> None:
        """Begin to use it.

        Raises:
            Unavailable: It is no way here.
        """


_Way = TypeVar("_Way", bound=Way)


async def open_first(ways: AsyncIterable[_Way]) -> _Way:
    """Return the first way that there is, open.

    Raises:
        Unavailable: There is none, and why not each.
    """
    reasons = []
    async for way in ways:
        try:
            await way.open()
        except Unavailable as error:
            reasons.append(error.reason)
        else:
            return way
    raise Unavailable("; ".join(dict.fromkeys(reasons)))


class HelperContext(Protocol):
    """What the helper does for a domain. All of it belongs to the event loop's thread.

    Attributes:
        settings: What the host's configuration says of the domain; empty of an agent that says
            nothing, an older one.
    """

    settings: Mapping[str, Any]

    def offer(self, offer: Offer) -> None:
        """Say that something else can be done from now on than `start()` has said."""

    def read(self, values: Mapping[Thing, Value]) -> None:
        """Say what is read now; only what differs from the last time travels."""

    def happened(self, event: str, **data: str | float | bool) -> None:
        """Tell of an event."""

    async def bus(self, name: str) -> Any:  # noqa: ANN401  (its type is loaded with it)
        """Return the connection to a D-Bus bus, `session` or `system`, that all domains share.

        Returns:
            A `companion_agent.platforms.linux.async_bus.AsyncBus`.
        """

    def window(self) -> Any:  # noqa: ANN401  (its type is loaded with it)
        """Return the helper's invisible window on Windows, which all domains share.

        Returns:
            A `companion_agent.platforms.windows.session_window.SessionWindow`.

        Raises:
            Unavailable: This session has no windows.
        """

    def session_has_ended(self) -> None:
        """End the helper: the display that it belongs to has gone."""


class Domain(ABC):
    """What one domain reads and does in this session.

    Class attributes:
        name: The plug-in's name in the agent.

    Args:
        context: What the helper does for it.
    """

    name: ClassVar[str]

    def __init__(self, context: HelperContext) -> None:
        self.context = context

    @abstractmethod
    async def start(self) -> Offer:
        """Find out what can be done here, and begin to listen for changes; nothing is polled.

        It is called again some times where it offered nothing, since services of a desktop start
        in any order.

        Raises:
            Unavailable: Nothing of it.
        """

    async def call(
        self, command: Thing, args: Mapping[str, Any]
    ) -> Mapping[str, str | float | bool] | None:
        """Carry out a command of the offer; return when it was read back.

        Raises:
            CommandError: It did not work: with what was seen.
        """
        raise CommandError("failed", f"there is no {command.name} here")

    async def stop(self) -> None:  # noqa: B027  (most domains hold nothing)
        """Listen no more."""
