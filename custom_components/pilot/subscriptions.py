"""The one way in which Pilot subscribes to topics of the broker."""

import asyncio
from collections.abc import Callable
from itertools import batched
from typing import TYPE_CHECKING, Final

from homeassistant.components import mqtt
from homeassistant.components.mqtt import ReceiveMessage
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN, LOGGER
from .pacing import async_get_pacer
from .protocol.topics import Topics

if TYPE_CHECKING:
    from datetime import datetime

type Handler = Callable[[ReceiveMessage], None]

RENEWALS: Final = (15.0, 30.0, 75.0)
"""Seconds from a connection to the first time that silent topics are subscribed to anew, and from
one time to the next. A cluster of NATS answers no subscription for up to half a minute after one of
its nodes has died."""
_BATCH: Final = 250
"""Topics that are subscribed to anew within one turn of the event loop."""


class _Subscription:
    """A handler that is called until it is stopped, whatever the broker goes on sending.

    When the MQTT integration is reloaded, its new client takes up the subscriptions of the old
    one, but what unsubscribes them goes on belonging to the old client and does nothing more.
    """

    __slots__ = ("_handler", "_renewal", "_unsubscribe", "heard", "qos", "topic")

    def __init__(self, topic: str, handler: Handler, qos: int) -> None:
        self.topic = topic
        self.qos = qos
        self.heard = False  # since Home Assistant has connected to the broker
        self._handler: Handler | None = handler
        self._renewal: _Renewal | None = None
        self._unsubscribe: CALLBACK_TYPE | None = None

    @callback
    def receive(self, message: ReceiveMessage) -> None:
        self.heard = True
        if self._handler is not None:
            self._handler(message)

    @callback
    def made(self, unsubscribe: CALLBACK_TYPE, renewal: _Renewal) -> None:
        if self._handler is None:
            unsubscribe()  # It was stopped while it was being made.
        else:
            self._unsubscribe = unsubscribe
            self._renewal = renewal
            renewal.subscriptions.add(self)

    @callback
    def stop(self) -> None:
        # The MQTT integration may keep the subscription: it is not to keep what handled it too.
        self._handler = None
        if self._renewal is not None:
            self._renewal.subscriptions.discard(self)
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()


class _Renewal:
    """Subscribes anew to what has been silent since Home Assistant connected to the broker.

    A broker may refuse a subscription, or not answer it, while a node of its cluster is missing.
    Home Assistant's client does not look at the answer and does not ask again, so all that can be
    seen of it is that nothing comes. Where that is as it should be, asking again costs next to
    nothing: of such topics the broker keeps nothing that it would repeat.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        self.subscriptions: set[_Subscription] = set()
        self._hass = hass
        self._cancel: CALLBACK_TYPE | None = None
        mqtt.async_subscribe_connection_status(hass, self._on_connection)
        self._on_connection(mqtt.is_connected(hass))

    @callback
    def _on_connection(self, connected: bool) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        if connected:
            for subscription in self.subscriptions:
                subscription.heard = False
            self._schedule(RENEWALS)

    def _schedule(self, delays: tuple[float, ...]) -> None:
        if not delays:
            return

        async def renew(_: datetime) -> None:
            self._schedule(delays[1:])
            await self._ask_again()

        self._cancel = async_call_later(
            self._hass, delays[0], HassJob(renew, "Pilot subscriptions", cancel_on_shutdown=True)
        )

    async def _ask_again(self) -> None:
        silent = {one.topic: one.qos for one in self.subscriptions if not one.heard}
        pacer = async_get_pacer(self._hass)
        for topics in batched(silent.items(), _BATCH, strict=False):
            await pacer.async_turn()
            for topic, qos in topics:
                try:
                    # The subscription that exists stays: only the broker is asked once more.
                    stop = await mqtt.async_subscribe(
                        self._hass, topic, _ignore, qos=qos, encoding=None
                    )
                except HomeAssistantError as err:
                    LOGGER.debug("Silent topics are not subscribed to anew: %s", err)
                    return  # The MQTT integration is disabled or reloaded just now.
                stop()


@callback
def _ignore(_: ReceiveMessage) -> None:
    """Take a message that goes to the subscription proper as well."""


_RENEWAL: HassKey[_Renewal] = HassKey(f"{DOMAIN}_renewal")


@callback
@singleton(_RENEWAL)
def _async_get_renewal(hass: HomeAssistant) -> _Renewal:
    return _Renewal(hass)


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
    subscription = _Subscription(topic, handler, qos)
    if entry is not None:
        entry.async_on_unload(subscription.stop)
    subscription.made(
        await mqtt.async_subscribe(hass, topic, subscription.receive, qos=qos, encoding=None),
        _async_get_renewal(hass),
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
