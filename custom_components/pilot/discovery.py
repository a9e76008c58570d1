"""Look around on the broker: which hosts announce themselves, and what is kept of one.

RabbitMQ keeps retained messages from subscriptions with a wildcard, so hosts are also asked live.
In a cluster of it a retained message stays on the node where it was published: where nothing is
heard of a host that is set up, hosts are asked once more.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from homeassistant.components import mqtt
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later, async_track_time_interval
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import (
    CONF_PREFIX,
    DOMAIN,
    LOGGER,
    SEARCH_ANSWERS,
    SEARCH_INTERVAL,
    SEARCH_PATIENCE,
    SEARCH_QUIET,
    SEARCH_RATE,
    SEARCH_SPREAD,
    SEARCH_TIME,
)
from .messages import payload_bytes
from .protocol.announce import Announce, parse_announce
from .protocol.errors import ProtocolError
from .protocol.messages import search_payload
from .protocol.topics import DEFAULT_PREFIX, Topics, split_announce_topic
from .subscriptions import async_subscribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from homeassistant.components.mqtt import ReceiveMessage
    from homeassistant.config_entries import ConfigEntry


MAX_FOUND: Final = 1000
"""Hosts that one search takes in: a client of the broker may announce any number."""
_AFTER_SEARCH: Final = SEARCH_SPREAD + SEARCH_PATIENCE
_EACH: Final = timedelta(seconds=1 / SEARCH_RATE)


@dataclass(slots=True)
class Found:
    """What a search heard.

    Attributes:
        hosts: The announces that were understood, by the host's id.
        refused: Why the others were not, by the host's id.
        payloads: What was announced, as it came.
        answered: Whether the broker confirmed that it listens for us.
    """

    hosts: dict[str, Announce] = field(default_factory=dict)
    refused: dict[str, ProtocolError] = field(default_factory=dict)
    payloads: dict[str, bytes] = field(default_factory=dict)
    answered: bool = True


@callback
def async_setup_search(hass: HomeAssistant) -> None:
    """Ask hosts what they are: now, when the broker is connected, and every some minutes."""

    async def ask(_: datetime | None = None) -> None:
        entries = hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        prefixes = {entry.data[CONF_PREFIX] for entry in entries}
        for prefix in sorted(prefixes | {DEFAULT_PREFIX}):
            await _async_ask(hass, prefix, SEARCH_SPREAD)

    @callback
    def on_connection(connected: bool) -> None:
        if connected:
            hass.async_create_task(ask(), "pilot search")

    mqtt.async_subscribe_connection_status(hass, on_connection)
    async_track_time_interval(hass, ask, SEARCH_INTERVAL, cancel_on_shutdown=True)
    hass.async_create_task(ask(), "pilot search")


class _Unheard:
    """Asks hosts what they are where one that is set up was not heard, once for all of them."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass
        self._hosts: dict[str, tuple[str, Callable[[], bool]]] = {}
        self._cancel: CALLBACK_TYPE | None = None
        mqtt.async_subscribe_connection_status(hass, self._on_connection)

    @callback
    def add(self, entry_id: str, prefix: str, is_unheard: Callable[[], bool]) -> CALLBACK_TYPE:
        """Follow a host; return what stops that."""
        self._hosts[entry_id] = (prefix, is_unheard)
        # Hosts have been asked when Home Assistant began to start, and are still answering.
        self._schedule(SEARCH_PATIENCE if self._hass.is_running else _AFTER_SEARCH)

        @callback
        def remove() -> None:
            del self._hosts[entry_id]
            if not self._hosts:
                self._stop()

        return remove

    @callback
    def _on_connection(self, connected: bool) -> None:
        self._stop()
        if connected and self._hosts:
            self._schedule(_AFTER_SEARCH)

    def _stop(self) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _schedule(self, delay: timedelta) -> None:
        self._stop()
        job = HassJob(self._ask, "Pilot search for hosts not heard", cancel_on_shutdown=True)
        self._cancel = async_call_later(self._hass, delay, job)

    async def _ask(self, _: datetime) -> None:
        self._cancel = None
        prefixes = {prefix for prefix, is_unheard in self._hosts.values() if is_unheard()}
        within = min(SEARCH_SPREAD, max(SEARCH_ANSWERS, len(self._hosts) * _EACH))
        for prefix in sorted(prefixes):
            await _async_ask(self._hass, prefix, within)


_UNHEARD: HassKey[_Unheard] = HassKey(f"{DOMAIN}_unheard")


@callback
@singleton(_UNHEARD)
def _async_get_unheard(hass: HomeAssistant) -> _Unheard:
    return _Unheard(hass)


@callback
def async_ask_if_unheard(
    hass: HomeAssistant, entry: ConfigEntry, is_unheard: Callable[[], bool]
) -> None:
    """Ask hosts what they are if nothing is heard of one that is set up, or after a reconnection.

    Args:
        hass: Home Assistant.
        entry: The config entry of the host; it is asked for until that is unloaded.
        is_unheard: Tells whether the broker is there and nothing was heard of the host.
    """
    unheard = _async_get_unheard(hass)
    entry.async_on_unload(unheard.add(entry.entry_id, entry.data[CONF_PREFIX], is_unheard))


async def _async_ask(hass: HomeAssistant, prefix: str, within: timedelta) -> None:
    """Ask every host below a prefix to announce itself within some time."""
    payload = search_payload(within.total_seconds())
    try:
        await mqtt.async_publish(hass, Topics(prefix, "").search, payload)
    except HomeAssistantError as err:
        # It is asked again once the broker is connected.
        LOGGER.debug("Hosts below %s are not asked: %s", prefix, err)


async def async_search(hass: HomeAssistant, prefix: str, host_id: str = "+") -> Found:
    """Listen to what hosts have announced: retained, so they need not be there.

    Where nothing is retained those that are there are asked.
    """
    found = Found()

    @callback
    def heard(message: ReceiveMessage) -> None:
        try:
            _, announced_id = split_announce_topic(message.topic)
        except ProtocolError:
            return
        try:
            payload = payload_bytes(message.payload)
            announce = parse_announce(payload, announced_id)
        except ProtocolError as err:
            if len(found.refused) < MAX_FOUND:
                found.refused[announced_id] = err
            return
        if announce is None:
            found.hosts.pop(announced_id, None)
            found.payloads.pop(announced_id, None)
        elif announced_id in found.hosts or len(found.hosts) < MAX_FOUND:
            found.hosts[announced_id] = announce
            found.payloads[announced_id] = payload

    async def ask() -> None:
        await _async_ask(hass, prefix, SEARCH_ANSWERS)

    found.answered = await _async_listen(hass, Topics(prefix, host_id).announce, heard, ask)
    return found


async def async_clear_retained(hass: HomeAssistant, prefix: str, host_id: str) -> None:
    """Clear everything that the broker keeps of a host."""
    known = Topics(prefix, host_id)
    # RabbitMQ does not say by a wildcard that it keeps them.
    topics = {known.announce, known.availability, known.state}

    @callback
    def heard(message: ReceiveMessage) -> None:
        if message.retain and message.payload:
            topics.add(message.topic)

    try:
        await _async_listen(hass, f"{prefix}/{host_id}/#", heard)
        for topic in sorted(topics):
            await mqtt.async_publish(hass, topic, b"", qos=1, retain=True)
    except HomeAssistantError as err:
        LOGGER.warning("Could not clear what the broker keeps of %s: %s", host_id, err)


async def _async_listen(
    hass: HomeAssistant,
    topic: str,
    listener: Callable[[ReceiveMessage], None],
    nothing_kept: Callable[[], Awaitable[None]] | None = None,
) -> bool:
    """Listen until nothing new that is retained comes, or for as long as a search may take.

    Args:
        hass: Home Assistant.
        topic: A topic or a filter.
        listener: Takes what comes.
        nothing_kept: Is called when nothing retained came soon.

    Returns:
        Whether the broker has confirmed the subscription, or sent something. One that hangs stays
        connected until the keep-alive of Home Assistant's client has run out.
    """
    heard = asyncio.Event()
    answered = asyncio.Event()

    @callback
    def on_message(message: ReceiveMessage) -> None:
        listener(message)
        answered.set()
        if message.retain:
            heard.set()

    stop = await async_subscribe(hass, topic, on_message)
    stop_waiting = mqtt.async_on_subscribe_done(hass, topic, 0, answered.set)
    try:
        async with asyncio.timeout(SEARCH_TIME.total_seconds()):
            if nothing_kept is not None and not await _async_soon(heard):
                await nothing_kept()
            await heard.wait()
            while True:
                heard.clear()
                if not await _async_soon(heard):
                    return True
    except TimeoutError:
        return answered.is_set()
    finally:
        stop_waiting()
        stop()


async def _async_soon(heard: asyncio.Event) -> bool:
    """Wait a little for an event; tell whether it came."""
    try:
        async with asyncio.timeout(SEARCH_QUIET.total_seconds()):
            await heard.wait()
    except TimeoutError:
        return False
    return True
