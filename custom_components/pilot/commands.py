"""Commands of hosts: requests that are repeated until the host has answered.

Requests and results travel at QoS 0 and are repeated here: the host answers a repeat with the
result that it gave already, and never acts twice. Only a result that the host signed, for
the very request, ends the wait.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
import secrets
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components import mqtt
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from . import errors, repairs
from .const import CONF_PREFIX, DOMAIN
from .messages import payload_bytes
from .protocol.encoding import dump
from .protocol.envelope import open_envelope, seal, verified
from .protocol.errors import ProtocolError
from .protocol.messages import Request, Result, parse_result
from .protocol.topics import Separator, Topics
from .protocol.validation import (
    MAX_ARGUMENTS,
    MAX_COMMAND,
    MAX_RESULT,
    is_argument_name,
)
from .subscriptions import async_subscribe_below

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

    from .auth import HostAuth, Reauthentication, RefuseMessage
    from .protocol.announce import Announce
    from .protocol.signing import Keys
    from .trust import TrustStore

REPEATS: Final = (0.3, 1.0, 2.0, 4.0)
"""When a request is published again, in seconds after the first time."""
GIVE_UP: Final = 10.0
"""How long a host may take to answer, in seconds."""
VERIFY: Final = "trust.verify"
"""The command that every paired host answers, signed, with the counts of what it has refused."""
VERIFY_PATIENCE: Final = 2.0
CLOCK_TOLERANCE: Final = 30.0
"""How far the clocks may differ before a host refuses commands, in seconds."""

_TRIES: Final = 3
_ENVELOPE: Final = 1024
"""More than what is around the arguments of a request, in bytes."""
_NO_SESSION: Final = "unknown0"
"""For a host that has not been heard yet: it refuses that, and answers with the right one."""

_LOST_KEYS: Final = ("not_paired", "bad_signature")


class NoAnswerError(Exception):
    """No answer that the host signed came in time.

    Attributes:
        hint: The reason of an unsigned answer, if one came: `not_paired`, say.
    """

    def __init__(self, hint: str | None = None) -> None:
        """Keep the hint."""
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
        session: The session of the host, which every request is for.
        separator: What joins the segments of keys in the topics of requests.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        trust: TrustStore,
        keys: Keys,
        prefix: str,
        host_id: str,
        session: str,
        separator: Separator,
        *,
        refused: Callable[[ProtocolError], None] = lambda _: None,
        accepted: Callable[[Result], None] = lambda _: None,
    ) -> None:
        """Prepare to send requests.

        Args:
            hass: Home Assistant.
            trust: Has the id of this Home Assistant, and numbers its requests.
            keys: The keys that are shared with the host.
            prefix: The prefix of the topics.
            host_id: The host.
            session: The session of the host; empty where it is not known.
            separator: What the host has announced to hear in the topics of requests.
            refused: Is called with the reason for each answer that is not accepted.
            accepted: Is called with each answer that is.
        """
        self.session = session or _NO_SESSION
        self.separator = separator
        self._hass = hass
        self._trust = trust
        self._keys = keys
        self._topics = Topics(prefix, host_id)
        self._refused = refused
        self._accepted = accepted
        self._pending: dict[str, _Pending] = {}

    async def async_start(self, entry: ConfigEntry | None = None) -> CALLBACK_TYPE:
        """Subscribe to results; return what unsubscribes, as does unloading the entry."""
        return await async_subscribe_below(
            self._hass,
            self._topics,
            lambda topics: topics.result("+"),
            self._on_result,
            entry=entry,
        )

    async def async_request(
        self, key: str, args: Mapping[str, Any], limit: float | None = None
    ) -> Result:
        """Send a command, and return the result.

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
        request_id = secrets.token_hex(8)
        topic = self._topics.command(key, self.separator)
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
        # A result that no request waits for is a repeat, or an old one that is replayed.
        if pending is not None and not pending.future.done():
            self._accepted(result)
            pending.future.set_result(result)

    def _take_hint(self, payload: bytes) -> None:
        """Keep an unsigned answer of a host that seems to have lost its keys.

        Any client of the broker may have written it: it counts only if no signed one comes.
        """
        try:
            result = parse_result(open_envelope(payload, MAX_RESULT).body)
        except ProtocolError:
            return
        if result.reason in _LOST_KEYS and (pending := self._pending.get(result.id)) is not None:
            pending.hint = result.reason


class HostCommands:
    """The commands of one host, for entities and actions.

    Attributes:
        clock_difference: By how many seconds the clock of the host is ahead, while that has it
            refuse commands; None otherwise.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        store: TrustStore,
        auth: HostAuth,
        reauthentication: Reauthentication,
        *,
        status: Callable[[], str],
        time_limit: Callable[[str], float | None] = lambda _: None,
        refuse: RefuseMessage,
    ) -> None:
        """Prepare to send commands to the host of a config entry.

        Args:
            hass: Home Assistant.
            entry: The config entry of the host.
            store: Has the id of this Home Assistant, and numbers its requests.
            auth: Has the keys that are shared with the host.
            reauthentication: Is told when the host seems to have lost its keys, or answers.
            status: Returns the status of the host, which explains why it does not answer.
            time_limit: Returns the seconds that the host grants a command; None for the usual.
            refuse: Counts answers that are not accepted.
        """
        assert entry.unique_id is not None
        self._hass = hass
        self._entry = entry
        self._host_id = entry.unique_id
        self._reauthentication = reauthentication
        self._status = status
        self._time_limit = time_limit
        self._readable = auth.readable
        self._channel: CommandChannel | None = None
        if auth.keys is not None:
            self._channel = CommandChannel(
                hass,
                store,
                auth.keys,
                entry.data[CONF_PREFIX],
                entry.unique_id,
                auth.session,
                auth.separator,
                refused=lambda err: refuse("result", err),
                accepted=self._on_result,
            )
        self.clock_difference: float | None = None

    async def async_start(self) -> None:
        """Subscribe to results; unloading the config entry unsubscribes."""
        if self._channel is not None:
            await self._channel.async_start(self._entry)

    @callback
    def async_follow_announce(self, announce: Announce) -> None:
        """Send commands as this announce asks for them from now on."""
        if self._channel is not None:
            self._channel.session = announce.session
            self._channel.separator = announce.separator

    async def async_do(
        self, key: str, args: Mapping[str, Any] | None = None, *, files: int = 0
    ) -> None:
        """Have the host carry out a command; a dry run is an error.

        Args:
            key: The command.
            args: Its arguments.
            files: How many characters of them are files, for which a message has more room.

        Raises:
            HomeAssistantError: It did not, and why.
        """
        if (await self.async_command(key, args, files=files)).dry_run:
            raise errors.local_error("command_rehearsed", self._entry.title, key)

    async def async_command(
        self, key: str, args: Mapping[str, Any] | None = None, *, files: int = 0
    ) -> Result:
        """Send a command, and return the result; the host may be set to dry runs.

        The arguments are those of `async_do()`.

        Raises:
            ServiceValidationError: The arguments cannot be sent.
            HomeAssistantError: The host did not carry it out, and why.
        """
        result = await self.async_ask(key, args, files=files)
        if result.status != "done":
            raise errors.command_error(self._entry.title, key, result)
        return result

    async def async_ask(
        self, key: str, args: Mapping[str, Any] | None = None, *, files: int = 0
    ) -> Result:
        """Send a command, and return its result, whatever became of it.

        The arguments are those of `async_do()`.

        Raises:
            ServiceValidationError: The arguments cannot be sent.
            HomeAssistantError: The host did not answer, and why.
        """
        name, status = self._entry.title, self._status()
        if not self._readable:
            raise HomeAssistantError(translation_domain=DOMAIN, translation_key="keys_unreadable")
        if self._channel is None:
            raise errors.not_paired(name, key)
        if (trouble := _trouble_with(args or {}, files)) is not None:
            raise errors.bad_arguments(name, key, trouble)
        if not mqtt.is_connected(self._hass):
            raise errors.local_error("no_broker", name, key)
        try:
            granted = self._time_limit(key)
            return await self._channel.async_request(
                key, args or {}, None if granted is None else GIVE_UP + granted
            )
        except NoAnswerError as err:
            if err.hint is not None:
                self._reauthentication.suspect("host_says_not_paired")
                raise errors.local_error("command_not_paired", name, key) from None
            translation_key = errors.BY_STATUS.get(status, "no_answer")
            raise errors.local_error(translation_key, name, key) from None
        except HomeAssistantError as err:
            raise errors.local_error("no_broker", name, key) from err

    async def async_verify(self, patience: float) -> bool:
        """Return whether the host gives a signed answer within so many seconds.

        Raises:
            HomeAssistantError: Nothing can be published.
        """
        assert self._channel is not None
        try:
            await self._channel.async_request(VERIFY, {}, patience)
        except NoAnswerError:
            return False
        return True

    async def async_surpass(self, start: int) -> None:
        """Have the host number what it says above a start, where it does not by itself.

        Nothing is told of an answer: with a higher number the host is heard.
        """
        if self._channel is not None:
            with suppress(HomeAssistantError, NoAnswerError):
                await self._channel.async_request(VERIFY, {"above": start}, VERIFY_PATIENCE)

    async def async_refusals(self) -> Mapping[str, int] | None:
        """Return how much the host has refused since its start; None where it does not answer."""
        if self._channel is None:
            return None
        try:
            result = await self._channel.async_request(VERIFY, {}, VERIFY_PATIENCE)
        except HomeAssistantError, NoAnswerError:
            return None
        return result.refused

    @callback
    def async_check_clock(self, host_time: float) -> None:
        """Withdraw the repair about the clocks once a time of the host shows that they agree."""
        if self.clock_difference is not None and abs(host_time - time()) < CLOCK_TOLERANCE:
            self.clock_difference = None
            repairs.async_forget_clock(self._hass, self._host_id)

    @callback
    def _on_result(self, result: Result) -> None:
        self._reauthentication.clear()
        difference = result.time - time()
        if result.reason == "too_old" and abs(difference) > CLOCK_TOLERANCE / 2:
            self.clock_difference = difference
            repairs.async_report_clock(self._hass, self._entry, difference)
        else:
            self.async_check_clock(result.time)


def _trouble_with(args: Mapping[str, Any], files: int) -> str | None:
    """Return why no host would read these arguments; None where one may."""
    if len(args) > MAX_ARGUMENTS or not all(is_argument_name(str(name)) for name in args):
        return f"more than {MAX_ARGUMENTS}, or with other names than a-z, 0-9 and _ make"
    try:
        # The body is a text within the envelope.
        size = len(dump(dump(dict(args))).encode())
    except ValueError, TypeError, RecursionError:
        return "not JSON, or with a number that is not finite"
    room = MAX_COMMAND - _ENVELOPE + files
    return None if size <= room else f"longer than {room}"
