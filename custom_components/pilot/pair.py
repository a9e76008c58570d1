"""Pair with a host over MQTT, and part from it."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components import mqtt
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from .commands import CommandChannel, NoAnswerError
from .const import LOGGER
from .messages import payload_bytes
from .protocol.envelope import open_envelope
from .protocol.errors import ProtocolError
from .protocol.messages import Availability, parse_availability
from .protocol.pairing import ControllerPairing, PairingError, controller_name
from .protocol.topics import Topics
from .protocol.validation import FLEET, MAX_AVAILABILITY_BODY
from .subscriptions import async_subscribe
from .trust import async_get_trust

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

PATIENCE: Final = (1, 2, 3, 4)
"""Seconds to wait for an answer before saying it again; a host answers a repeat alike."""
SUBSCRIBE_PATIENCE: Final = 2.0
REVOKE: Final = "trust.revoke"
REVOKE_PATIENCE: Final = 3.0

_NOT_THERE: Final = {
    Availability.ASLEEP: "host_asleep",
    Availability.OFF: "host_off",
    Availability.LOST: "host_lost",
}


class _Talk:
    """What is said below a host's pairing topic, to and fro."""

    def __init__(self, hass: HomeAssistant, pairing: ControllerPairing) -> None:
        """Keep who talks to whom."""
        self._hass = hass
        self._pairing = pairing
        self._said: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._availability: Availability | None = None

    async def async_ask(self, topic: str, payload: bytes, reply: str) -> dict[str, Any]:
        """Say something until it is answered.

        Raises:
            PairingError: The host does not go on, or there is no answer.
        """
        answer: asyncio.Future[dict[str, Any]] = self._hass.loop.create_future()
        self._said[reply] = answer
        for patience in PATIENCE:
            await mqtt.async_publish(self._hass, topic, payload, qos=1)
            done, _ = await asyncio.wait([answer], timeout=patience)
            if done:
                return await answer
        answer.cancel()
        raise PairingError(
            "no_answer"
            if self._availability is None
            else _NOT_THERE.get(self._availability, "no_answer")
        )

    @callback
    def heard(self, message: ReceiveMessage) -> None:
        """Take what the host says."""
        answer = self._said.get(message.topic.rpartition("/")[2])
        if answer is None or answer.done() or message.retain:
            return
        try:
            content = self._pairing.read(payload_bytes(message.payload))
        except PairingError as err:
            answer.set_exception(err)
            return
        if content is not None:
            answer.set_result(content)

    @callback
    def heard_availability(self, message: ReceiveMessage) -> None:
        """Note whether the host is there, to explain its silence."""
        try:
            # Nothing can be verified yet, and nothing depends on it but words.
            said = open_envelope(payload_bytes(message.payload), MAX_AVAILABILITY_BODY).body
            self._availability, _ = parse_availability(said)
        except ProtocolError:
            return


async def async_pair(hass: HomeAssistant, prefix: str, host_id: str, code: str) -> bytes:
    """Pair with a host by the code that it shows; return the secret, which is not kept yet.

    Raises:
        PairingError: That did not work, and why.
    """
    if not mqtt.is_connected(hass):
        raise PairingError("mqtt_not_connected")
    topics = Topics(prefix, host_id)
    controller = (await async_get_trust(hass)).controller
    name = controller_name(hass.config.location_name)
    pairing = await hass.async_add_executor_job(
        partial(ControllerPairing, code, controller, topics.base, name)
    )
    topic = partial(topics.pairing, controller)
    talk = _Talk(hass, pairing)
    # The host answers at once, and an answer before the subscription is lost.
    listening = asyncio.Event()
    unsubscribe = [
        await async_subscribe(hass, topic("+"), talk.heard, qos=1),
        mqtt.async_on_subscribe_done(hass, topic("+"), 1, listening.set),
        await async_subscribe(hass, topics.availability, talk.heard_availability, qos=1),
    ]
    try:
        with suppress(TimeoutError):
            # A broker that does not confirm may let us hear all the same; words are repeated.
            async with asyncio.timeout(SUBSCRIBE_PATIENCE):
                await listening.wait()
        answer = await talk.async_ask(topic("request"), pairing.request(), "answer")
        confirm = await hass.async_add_executor_job(pairing.confirm, answer)
        return pairing.finish(await talk.async_ask(topic("confirm"), confirm, "result"))
    except HomeAssistantError as err:
        raise PairingError("mqtt_not_connected") from err
    finally:
        for stop in unsubscribe:
            stop()


async def async_part(hass: HomeAssistant, prefix: str, host_id: str, name: str) -> None:
    """Have a host forget this Home Assistant, if it can be reached, and forget its secret."""
    trust = await async_get_trust(hass)
    keys, record = trust.keys(prefix, host_id), trust.record(host_id)
    if keys is not None and record is not None and keys.key_id != FLEET:
        channel = CommandChannel(
            hass, trust, keys, prefix, host_id, record.session, record.separator
        )
        try:
            stop = await channel.async_start()
            try:
                await channel.async_request(REVOKE, {}, REVOKE_PATIENCE)
            finally:
                stop()
        except HomeAssistantError, NoAnswerError:
            LOGGER.info(
                "%s could not be told that Home Assistant forgets it. Home Assistant has deleted "
                "the key; `pilot-agent pair revoke` on the host deletes the host's copy",
                name,
            )
    await trust.async_forget(host_id)
