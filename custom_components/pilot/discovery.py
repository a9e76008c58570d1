"""Look around on the broker: which hosts announce themselves, and what is kept of one."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from homeassistant.components import mqtt
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from .const import LOGGER, SEARCH_QUIET, SEARCH_TIME
from .messages import payload_bytes
from .protocol.announce import Announce, parse_announce
from .protocol.errors import ProtocolError
from .protocol.topics import Topics, split_announce_topic
from .subscriptions import async_subscribe

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeassistant.components.mqtt import ReceiveMessage


MAX_FOUND: Final = 1000
"""Hosts that one search takes in: a client of the broker may announce any number."""


@dataclass(slots=True)
class Found:
    """What a search heard.

    Attributes:
        hosts: The announces that were understood, by the host's id.
        refused: Why the others were not, by the host's id.
        payloads: What was announced, as it came.
    """

    hosts: dict[str, Announce] = field(default_factory=dict)
    refused: dict[str, ProtocolError] = field(default_factory=dict)
    payloads: dict[str, bytes] = field(default_factory=dict)


async def async_search(hass: HomeAssistant, prefix: str, host_id: str = "+") -> Found:
    """Listen to what hosts have announced: retained, so they need not be there."""
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

    await _async_listen(hass, Topics(prefix, host_id).announce, heard)
    return found


async def async_clear_retained(hass: HomeAssistant, prefix: str, host_id: str) -> None:
    """Clear everything that the broker keeps of a host."""
    topics: set[str] = set()

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
    hass: HomeAssistant, topic: str, listener: Callable[[ReceiveMessage], None]
) -> None:
    """Listen until nothing new comes, or for as long as a search may take."""
    heard = asyncio.Event()

    @callback
    def on_message(message: ReceiveMessage) -> None:
        listener(message)
        heard.set()

    stop = await async_subscribe(hass, topic, on_message)
    try:
        async with asyncio.timeout(SEARCH_TIME.total_seconds()):
            await heard.wait()
            while True:
                heard.clear()
                try:
                    async with asyncio.timeout(SEARCH_QUIET.total_seconds()):
                        await heard.wait()
                except TimeoutError:
                    return
    except TimeoutError:
        return
    finally:
        stop()
