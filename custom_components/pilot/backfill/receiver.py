"""Takes what one host delivers of the time in which it was not heard."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from homeassistant.components import mqtt
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from ..const import LOGGER
from ..messages import payload_bytes
from ..protocol.announce import Announce
from ..protocol.backlog import Chunk, acknowledgement_body, parse_chunk
from ..protocol.envelope import seal
from ..protocol.errors import ProtocolError
from ..protocol.validation import MAX_CHUNK, MAX_CHUNK_ENVELOPE
from ..subscriptions import async_subscribe
from ..trust import async_get_trust
from .runtime import BACKLOG

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

    from ..coordinator import PilotCoordinator

type NumericUnits = Callable[[Announce], Mapping[str, str | None]]


class BacklogReceiver:
    """Chunks of one host, and their acknowledgement."""

    def __init__(self, coordinator: PilotCoordinator, numeric_units: NumericUnits) -> None:
        """Prepare to receive the chunks of a host.

        Args:
            coordinator: The coordinator of the host.
            numeric_units: Returns the units of numeric readings, by their keys.
        """
        self._coordinator = coordinator
        self._numeric_units = numeric_units
        self._hass = coordinator.hass
        self._told = False

    async def async_start(self) -> None:
        """Subscribe to chunks; unloading the config entry unsubscribes."""
        coordinator = self._coordinator
        topic = coordinator.topics.backlog
        await async_subscribe(
            self._hass, topic, self._on_chunk, qos=1, entry=coordinator.config_entry
        )

    @callback
    def _on_chunk(self, message: ReceiveMessage) -> None:
        coordinator = self._coordinator
        coordinator.received["backlog"] += 1
        payload = payload_bytes(message.payload)
        try:
            if message.retain:
                raise ProtocolError("retained", "a backlog is never kept by the broker")  # noqa: TRY301
            if len(payload) > MAX_CHUNK_ENVELOPE:
                raise ProtocolError("size", f"larger than {MAX_CHUNK_ENVELOPE} bytes")  # noqa: TRY301
            body = coordinator.auth.open(message.topic, payload, MAX_CHUNK)
            chunk = parse_chunk(body)
        except ProtocolError as err:
            coordinator.async_refuse("backlog", err)
            return
        coordinator.config_entry.async_create_task(self._hass, self._take(chunk), "Pilot backlog")

    async def _take(self, chunk: Chunk) -> None:
        """Keep a chunk, and tell the host that it may forget it.

        It is not told so while the chunk cannot be kept: then it delivers it again.
        """
        if (announce := self._coordinator.data) is None:
            return  # Only the announce has the units of the values.
        auth = self._coordinator.auth
        if not auth.readable and announce.trust is not None and announce.trust.controllers:
            return  # The host would not believe what is not signed, and keeps it.
        importer = self._hass.data.get(BACKLOG)
        if importer is None:
            if not self._told:
                LOGGER.warning(
                    "%s delivers what it measured during an outage, but there is no recorder to "
                    "keep it: the host keeps it, as long as it can",
                    self._coordinator.config_entry.title,
                )
            self._told = True
            return
        if await importer.async_take(
            self._coordinator.host_id, chunk, self._numeric_units(announce)
        ):
            await self._acknowledge(chunk)

    async def _acknowledge(self, chunk: Chunk) -> None:
        coordinator = self._coordinator
        topic = coordinator.topics.acknowledge
        trust = await async_get_trust(self._hass)
        keys = coordinator.auth.keys
        signing = {} if keys is None else {keys.key_id: keys.command}
        payload = seal(topic, acknowledgement_body(chunk.id, trust.controller), signing).encode()
        try:
            await mqtt.async_publish(self._hass, topic, payload, qos=1)
        except HomeAssistantError as err:
            # The host delivers it again, and is answered then.
            LOGGER.debug(
                "A chunk of %s is not acknowledged: %s", coordinator.config_entry.title, err
            )
