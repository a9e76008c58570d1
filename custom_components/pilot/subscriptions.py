"""The one way in which Pilot subscribes to topics of the broker."""

import asyncio
from collections.abc import Callable
from typing import Final

from homeassistant.components import mqtt
from homeassistant.components.mqtt import ReceiveMessage
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .protocol.topics import Topics

type Handler = Callable[[ReceiveMessage], None]


class _Subscription:
    """A handler that is called until it is stopped, whatever the broker goes on sending.

    When the MQTT integration is reloaded, its new client takes up the subscriptions of the old
    one, but what unsubscribes them goes on belonging to the old client and does nothing more.
    """

    __slots__ = ("_handler", "_unsubscribe")

    def __init__(self, handler: Handler) -> None:
        self._handler: Handler | None = handler
        self._unsubscribe: CALLBACK_TYPE | None = None

    @callback
    def receive(self, message: ReceiveMessage) -> None:
        if self._handler is not None:
            self._handler(message)

    @callback
    def made(self, unsubscribe: CALLBACK_TYPE) -> None:
        if self._handler is None:
            unsubscribe()  # It was stopped while it was being made.
        else:
            self._unsubscribe = unsubscribe

    @callback
    def stop(self) -> None:
        # The MQTT integration may keep the subscription: it is not to keep what handled it too.
        self._handler = None
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()


async def async_subscribe(
    hass: HomeAssistant,
    topic: str,
    handler: Handler,
    *,
    qos: int = 0,
    entry: ConfigEntry | None = None,
) -> CALLBACK_TYPE:
    """Subscribe to a topic; payloads are passed on as bytes.

    Args:
        hass: Home Assistant.
        topic: A topic or a filter.
        handler: Is called in the event loop. Once stopped it is never called again.
        qos: The highest quality of service.
        entry: Stops it when it is unloaded.

    Returns:
        What stops it; it may be called more than once.

    Raises:
        HomeAssistantError: The MQTT integration is not set up, or disabled.
    """
    subscription = _Subscription(handler)
    if entry is not None:
        entry.async_on_unload(subscription.stop)
    subscription.made(
        await mqtt.async_subscribe(hass, topic, subscription.receive, qos=qos, encoding=None)
    )
    return subscription.stop


# --- Of all hosts --------------------------------------------------------------------------------
#
# Home Assistant subscribes to filters with a wildcard one by one, each when the broker has
# confirmed the one before, and compares topics with all of them whenever its subscriptions have
# changed. With filters of each host's own that takes minutes for a thousand hosts.

ANY_HOST: Final = "+"

type FilterOf = Callable[[Topics], str]
"""Returns the filter of what a host says on one more level: its events, or its results."""


class _OfAllHosts:
    """One subscription of all hosts below a prefix, and the handlers of the hosts."""

    def __init__(self) -> None:
        self.handlers: dict[str, list[Handler]] = {}
        self.lock = asyncio.Lock()
        self.made = False

    @callback
    def receive(self, message: ReceiveMessage) -> None:
        host_id = message.topic.rsplit("/", 3)[1]
        for handler in list(self.handlers.get(host_id, ())):
            handler(message)


_OF_ALL_HOSTS: HassKey[dict[str, _OfAllHosts]] = HassKey(f"{DOMAIN}_of_all_hosts")


async def async_subscribe_below(
    hass: HomeAssistant,
    topics: Topics,
    filter_of: FilterOf,
    handler: Handler,
    *,
    qos: int = 0,
    entry: ConfigEntry | None = None,
) -> CALLBACK_TYPE:
    """Subscribe to what a host says on many topics, by a filter that all hosts share.

    It stays while Home Assistant runs: the MQTT integration keeps it over its own reloads. Nothing
    that brokers retain is to be had by it, since some send none to such filters.

    Args:
        hass: Home Assistant.
        topics: The topics of the host.
        filter_of: Returns the filter, given topics of any host.
        handler: Is called in the event loop. Once stopped it is never called again.
        qos: The highest quality of service.
        entry: Stops it when it is unloaded.

    Returns:
        What stops it; it may be called more than once.

    Raises:
        HomeAssistantError: The MQTT integration is not set up, or disabled.
    """
    topic = filter_of(Topics(topics.prefix, ANY_HOST))
    shared = hass.data.setdefault(_OF_ALL_HOSTS, {}).setdefault(topic, _OfAllHosts())
    async with shared.lock:
        if not shared.made:
            await async_subscribe(hass, topic, shared.receive, qos=qos)
            shared.made = True
    handlers = shared.handlers.setdefault(topics.host, [])
    handlers.append(handler)

    @callback
    def stop() -> None:
        if handler in handlers:
            handlers.remove(handler)
        if not handlers and shared.handlers.get(topics.host) is handlers:
            del shared.handlers[topics.host]

    if entry is not None:
        entry.async_on_unload(stop)
    return stop
