"""Ask a host for something, until it has answered.

Requests and results travel at QoS 0 and are repeated here: the host answers a repeat with the
result that it gave already, and never acts twice. Only a result that the host signed, for
the very request, ends the wait.
"""

import asyncio
import secrets
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components import mqtt
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from .messages import payload_bytes
from .protocol.envelope import open_envelope, seal, verified
from .protocol.errors import ProtocolError
from .protocol.messages import Request, Result, parse_result
from .protocol.topics import Topics
from .protocol.validation import MAX_RESULT
from .subscriptions import async_subscribe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from homeassistant.components.mqtt import ReceiveMessage
    from homeassistant.config_entries import ConfigEntry

    from .protocol.signing import Keys
    from .trust import TrustStore

REPEATS: Final = (0.3, 1.0, 2.0, 4.0)
"""When a request is said again, in seconds after it was said first."""
GIVE_UP: Final = 10.0
_TRIES: Final = 3
_NO_SESSION: Final = "unknown0"
"""For a host that has not been heard yet: it refuses that, and says which one it has."""

_LOST_KEYS: Final = ("not_paired", "bad_signature")


class NoAnswerError(Exception):
    """The host did not answer, or not in a way that can be believed.

    Attributes:
        hint: What somebody answered in the host's name, unsigned: `not_paired`, say.
    """

    def __init__(self, hint: str | None = None) -> None:
        """Keep what was heard."""
        super().__init__(hint)
        self.hint = hint


class _Pending:
    """A request that waits for its result."""

    def __init__(self, future: asyncio.Future[Result]) -> None:
        self.future = future
        self.hint: str | None = None


class CommandChannel:
    """Requests to one host, and its results.

    Attributes:
        session: The host's session, which every request is for.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        trust: TrustStore,
        keys: Keys,
        prefix: str,
        host_id: str,
        session: str,
        *,
        refused: Callable[[ProtocolError], None] = lambda _: None,
        believed: Callable[[Result], None] = lambda _: None,
    ) -> None:
        """Prepare to ask; `refused` and `believed` are told of what is answered."""
        self.session = session or _NO_SESSION
        self._hass = hass
        self._trust = trust
        self._keys = keys
        self._topics = Topics(prefix, host_id)
        self._refused = refused
        self._believed = believed
        self._pending: dict[str, _Pending] = {}

    async def async_start(self, entry: ConfigEntry | None = None) -> CALLBACK_TYPE:
        """Begin to listen for results; return what ends it, as does unloading the entry."""
        topic = self._topics.result("+")
        return await async_subscribe(self._hass, topic, self._on_result, entry=entry)

    async def async_request(
        self, key: str, args: Mapping[str, Any], limit: float | None = None
    ) -> Result:
        """Have a host do something, and return what became of it.

        Args:
            key: The command.
            args: Its arguments.
            limit: Seconds to wait for an answer; :data:`GIVE_UP` when it is not given.

        Raises:
            HomeAssistantError: Nothing can be published.
            NoAnswerError: No answer came in time.
        """
        limit = GIVE_UP if limit is None else limit
        for _ in range(_TRIES):
            session = self.session
            result = await self._ask(key, args, limit)
            if result.reason == "wrong_session" and result.session not in ("", session):
                # The agent was started anew a moment ago, and its announce is on its way.
                self.session = result.session
            elif result.reason == "replayed" and result.counter is not None:
                # Home Assistant's clock was set back, or a later request overtook this one.
                self._trust.raise_counter(result.counter)
            else:
                break
        return result

    async def _ask(self, key: str, args: Mapping[str, Any], limit: float) -> Result:
        """Say one request until its result is there."""
        request_id = secrets.token_hex(8)
        topic = self._topics.command(key)
        request = Request(
            id=request_id,
            controller=self._trust.controller,
            session=self.session,
            counter=self._trust.next_counter(),
            time=time(),
            args=args,
        )
        keys = self._keys
        payload = seal(topic, request.body(), {keys.key_id: keys.command}).encode()
        loop = self._hass.loop
        pending = self._pending[request_id] = _Pending(loop.create_future())
        repeats = [loop.call_later(delay, self._repeat, topic, payload) for delay in REPEATS]
        try:
            async with asyncio.timeout(limit):
                await mqtt.async_publish(self._hass, topic, payload)
                return await pending.future
        except TimeoutError:
            raise NoAnswerError(pending.hint) from None
        finally:
            del self._pending[request_id]
            for repeat in repeats:
                repeat.cancel()

    @callback
    def _repeat(self, topic: str, payload: bytes) -> None:
        self._hass.async_create_task(self._publish_again(topic, payload), eager_start=True)

    async def _publish_again(self, topic: str, payload: bytes) -> None:
        try:
            await mqtt.async_publish(self._hass, topic, payload)
        except HomeAssistantError:
            return  # The broker is gone: the request ends without an answer.

    @callback
    def _on_result(self, message: ReceiveMessage) -> None:
        payload = payload_bytes(message.payload)
        try:
            if message.retain:
                raise ProtocolError("retained", "results are never kept by the broker")  # noqa: TRY301
            body = verified(self._keys, message.topic, payload, MAX_RESULT)
            result = parse_result(body)
        except ProtocolError as err:
            self._take_hint(payload)
            self._refused(err)
            return
        if result.controller != self._trust.controller:
            return  # For another Home Assistant with the same fleet key.
        pending = self._pending.get(result.id)
        # A result that nobody waits for is a repeat, or somebody plays an old one again.
        if pending is not None and not pending.future.done():
            self._believed(result)
            pending.future.set_result(result)

    def _take_hint(self, payload: bytes) -> None:
        """Remember that a host seems to have lost its keys.

        It cannot sign that, so anyone may have written it: it counts only if nothing else is
        heard.
        """
        try:
            result = parse_result(open_envelope(payload, MAX_RESULT).body)
        except ProtocolError:
            return
        if result.reason in _LOST_KEYS and (pending := self._pending.get(result.id)) is not None:
            pending.hint = result.reason
