"""From the topic of a message to what handles it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from companion_agent.mqtt.paho import topic_matches_sub

if TYPE_CHECKING:
    from collections.abc import Callable


class Handler(Protocol):
    """Takes the messages of a subscription."""

    def __call__(self, topic: str, payload: bytes, /, *, retained: bool) -> None:
        """Take a message.

        Args:
            topic: Where it was published.
            payload: What was published.
            retained: Whether the broker had kept it.
        """


class _Route(NamedTuple):
    subscription: str
    handler: Handler
    always: bool


class Router:
    """Hands messages to the handlers of their topics.

    Args:
        present: Whether this host is there: without it, what is asked of it is not heard.
    """

    def __init__(self, present: Callable[[], bool]) -> None:
        self._present = present
        self._routes: list[_Route] = []

    def add(self, subscription: str, handler: Handler, *, always: bool = False) -> None:
        """Add a handler; one topic may have several, which are called in this order.

        Args:
            subscription: A topic, which may have wildcards.
            handler: Takes its messages.
            always: Also while this host is not there.
        """
        self._routes.append(_Route(subscription, handler, always))

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to."""
        return list(dict.fromkeys(route.subscription for route in self._routes))

    def received(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Hand on a message."""
        for route in self._routes:
            if (route.always or self._present()) and topic_matches_sub(route.subscription, topic):
                route.handler(topic, payload, retained=retained)
