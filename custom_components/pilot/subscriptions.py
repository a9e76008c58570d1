"""The one way in which Pilot subscribes to topics of the broker."""

from collections.abc import Callable

from homeassistant.components import mqtt
from homeassistant.components.mqtt import ReceiveMessage
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback

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
