"""Takes what one host delivers of the time in which it was not heard."""

from typing import TYPE_CHECKING

from homeassistant.components import mqtt
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError

from ..const import LOGGER
from ..messages import payload_bytes
from ..protocol.backlog import Chunk, acknowledgement_body, parse_chunk
from ..protocol.catalogue import ReadingType
from ..protocol.envelope import seal
from ..protocol.errors import ProtocolError
from ..protocol.validation import MAX_CHUNK, MAX_CHUNK_ENVELOPE
from ..subscriptions import async_subscribe
from ..trust import async_get_trust
from .runtime import BACKLOG

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

    from ..coordinator import PilotCoordinator


class BacklogReceiver:
    """Chunks of one host, and their acknowledgement."""

    def __init__(self, coordinator: PilotCoordinator) -> None:
        """Prepare to listen."""
        self._coordinator = coordinator
        self._hass = coordinator.hass
        self._told = False

    async def async_start(self) -> None:
        """Begin to listen; it ends when the config entry is unloaded."""
        coordinator = self._coordinator
        topic = coordinator.topics.backlog
        await async_subscribe(self._hass, topic, self._on_chunk, qos=1, entry=coordinator.entry)

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
            body = coordinator.control.trust.open(message.topic, payload, MAX_CHUNK)
            chunk = parse_chunk(body)
        except ProtocolError as err:
            coordinator.async_refuse("backlog", err)
            return
        coordinator.entry.async_create_task(self._hass, self._take(chunk), "Pilot backlog")

    async def _take(self, chunk: Chunk) -> None:
        """Keep a chunk, and tell the host that it may forget it.

        It is not told so while the chunk cannot be kept: then it delivers it again.
        """
        units = self._units()
        if units is None:
            return  # Only the announce tells what the values are of.
        importer = self._hass.data.get(BACKLOG)
        if importer is None:
            if not self._told:
                LOGGER.warning(
                    "%s delivers what it measured during an outage, but there is no recorder to "
                    "keep it: the host keeps it, as long as it can",
                    self._coordinator.entry.title,
                )
            self._told = True
            return
        if await importer.async_take(self._coordinator.host_id, chunk, units):
            await self._acknowledge(chunk)

    def _units(self) -> dict[str, str | None] | None:
        """Return the units of the numeric readings that the host has."""
        # Imported late: the platform imports the coordinator, which imports this.
        from ..sensor import describe  # noqa: PLC0415

        if (announce := self._coordinator.announce) is None:
            return None
        return {
            reading.key: describe(reading).native_unit_of_measurement
            for reading in announce.readings.values()
            if reading.type is ReadingType.NUMBER
        }

    async def _acknowledge(self, chunk: Chunk) -> None:
        coordinator = self._coordinator
        topic = coordinator.topics.acknowledge
        trust = await async_get_trust(self._hass)
        keys = coordinator.control.trust.keys
        signing = {} if keys is None else {keys.key_id: keys.command}
        payload = seal(topic, acknowledgement_body(chunk.id, trust.controller), signing).encode()
        try:
            await mqtt.async_publish(self._hass, topic, payload, qos=1)
        except HomeAssistantError as err:
            # The host delivers it again, and is answered then.
            LOGGER.debug("A chunk of %s is not acknowledged: %s", coordinator.entry.title, err)
