"""What Home Assistant asks of a host, and what it believes of it."""

from collections.abc import Callable, Mapping
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components import mqtt
from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later

from . import errors, issues
from .commands import CommandChannel, NoAnswerError
from .const import CONF_PAIRED, DOMAIN, LOGGER
from .messages import payload_bytes
from .protocol.announce import Announce, parse_announce
from .protocol.encoding import load_object
from .protocol.envelope import read_envelope
from .protocol.errors import ProtocolError
from .protocol.messages import Availability, HostEvent, Result, parse_availability, parse_event
from .protocol.validation import (
    MAX_ANNOUNCE,
    MAX_AVAILABILITY_BODY,
    MAX_EVENT,
    MAX_STATE,
    get_sequence,
)
from .subscriptions import async_subscribe
from .trust import HostTrust, async_get_trust

if TYPE_CHECKING:
    from datetime import datetime

    from homeassistant.components.mqtt import ReceiveMessage

    from .coordinator import PilotCoordinator

type EventListener = Callable[[HostEvent], None]

CLOCK_TOLERANCE: Final = 30.0
"""How far the clocks may differ before a host refuses what it is asked."""

DOUBT_DELAY: Final = 3.0
"""How long a host that seems to have lost its keys has to prove the contrary by itself."""
DOUBT_PATIENCE: Final = 5.0
VERIFY: Final = "trust.verify"
"""What every paired host answers with its signature, and with what it has refused."""
VERIFY_PATIENCE: Final = 2.0

# What makes Home Assistant doubt that the host still has its key, and what the user is told.
_DOUBTS: Final[Mapping[str, str]] = {
    "unsigned": "host_forgot",
    "not_signed_for_us": "host_revoked",
    "bad_signature": "host_other_key",
}


class Control:
    """The paired side of a host: its commands and events, and whether it is itself."""

    def __init__(self, coordinator: PilotCoordinator) -> None:
        """Start without anything."""
        self._coordinator = coordinator
        self._hass: HomeAssistant = coordinator.hass
        self._entry = coordinator.entry
        self._channel: CommandChannel | None = None
        self._event_listeners: dict[str, list[EventListener]] = {}
        self._event_topic_start = len(coordinator.topics.event(""))
        self._opened: dict[str, tuple[object, Mapping[str, Any]]] = {}
        self._doubt: str | None = None
        self._cancel_doubt: CALLBACK_TYPE | None = None
        self.clock_difference: float | None = None
        self.trust: HostTrust

    async def async_start(self) -> None:
        """Look up the keys, and begin to listen for results and events."""
        coordinator, entry = self._coordinator, self._entry
        store = await async_get_trust(self._hass)
        self.trust = HostTrust(store, coordinator.prefix, coordinator.host_id, self._enroll)
        entry.async_on_unload(self._stop)
        if self.trust.keys is not None:
            self._channel = CommandChannel(
                self._hass,
                store,
                self.trust.keys,
                coordinator.prefix,
                coordinator.host_id,
                self.trust.session,
                refused=lambda err: coordinator.async_refuse("result", err),
                believed=self._believe,
            )
            await self._channel.async_start(entry)
            self._withdraw_question()
        elif entry.data.get(CONF_PAIRED):
            # Not while the entry is being reconfigured, which may be why it is set up just now.
            self._cancel_doubt = async_call_later(self._hass, DOUBT_DELAY, self._say_lost)
        topic = coordinator.topics.event("+")
        await async_subscribe(self._hass, topic, self._on_event, qos=1, entry=entry)

    @property
    def paired(self) -> bool:
        """Whether the host can be commanded."""
        return self.trust.paired

    # --- Announces ---------------------------------------------------------------------------

    def read_announce(self, payload: bytes) -> Announce | None:
        """Read an announce, if it is to be believed.

        Raises:
            ProtocolError: It is not.
        """
        coordinator = self._coordinator
        if not payload:
            if self.paired:
                # It cannot be signed. What follows is no more than a question to the user.
                coordinator.async_refuse("announce", ProtocolError("unsigned", "it is empty"))
            return None
        topic = coordinator.topics.announce
        try:
            body = self.trust.open(topic, payload, MAX_ANNOUNCE)
        except ProtocolError as err:
            if (doubt := _DOUBTS.get(err.kind)) is not None:
                self._begin_doubt(doubt)
            raise
        announce = parse_announce(body, coordinator.host_id)
        assert announce is not None
        if self.trust.accept_announce(announce):
            self._end_doubt()
        if self._channel is not None:
            self._channel.session = announce.session
            issues.async_follow_permissions(self._hass, self._entry, announce)
        return announce

    # --- What else is signed -----------------------------------------------------------------

    def read_said(self, topic: str, payload: bytes) -> tuple[Availability, bool]:
        """Read what the host says about being there, and whether it is news.

        Raises:
            ProtocolError: It is not to be believed.
        """
        if payload[:1] == b"{":
            payload = self.trust.open(topic, payload, MAX_AVAILABILITY_BODY)
        word, order = parse_availability(payload)
        return word, self.trust.accept_said(order)

    def open_part(self, collector: str, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what is in the part of a collector that signs; None if it is not believed."""
        # What was not read anew is said again with everything else.
        if (known := self._opened.get(collector)) is not None and known[0] == part.get("body"):
            return known[1]
        coordinator = self._coordinator
        topic = coordinator.topics.signed_state(collector)
        said = part.get("body")
        try:
            if "signatures" in part:
                envelope = read_envelope(part, MAX_STATE)
                body = self.trust.believe(topic, envelope)
                part = load_object(body, MAX_STATE)
            elif self.paired:
                raise ProtocolError("unsigned", "it is not signed, and the host is paired")  # noqa: TRY301
            if self.paired:
                self.trust.accept_state(collector, get_sequence(part))
        except ProtocolError as err:
            coordinator.async_refuse("state", err)
            return None
        if said is not None:
            self._opened[collector] = (said, part)
        return part

    @callback
    def _enroll(self) -> None:
        """Take note that the host proved the fleet key: from now on it has to."""

        async def enroll() -> None:
            LOGGER.info("%s proved the fleet key, and can be commanded now", self._entry.title)
            store = await async_get_trust(self._hass)
            await store.async_pair(self._coordinator.host_id, None)
            self._hass.config_entries.async_schedule_reload(self._entry.entry_id)

        self._entry.async_create_task(self._hass, enroll())

    # --- Commands ----------------------------------------------------------------------------

    async def async_command(self, key: str, args: Mapping[str, Any] | None = None) -> Result:
        """Have the host do something.

        Raises:
            HomeAssistantError: It did not, and why.
        """
        name, status = self._entry.title, self._coordinator.status
        if self._channel is None:
            raise errors.not_paired(name, key)
        if not mqtt.is_connected(self._hass):
            raise errors.told("no_broker", name, key)
        try:
            result = await self._channel.async_request(key, args or {})
        except NoAnswerError as err:
            if err.hint is not None:
                self._begin_doubt("host_says_not_paired")
                raise errors.told("command_not_paired", name, key) from None
            said = errors.BY_STATUS.get(status, "no_answer")
            raise errors.told(said, name, key) from None
        except HomeAssistantError as err:
            raise errors.told("no_broker", name, key) from err
        if result.status != "done":
            raise errors.command_error(name, key, result)
        return result

    async def async_refusals(self) -> Mapping[str, int] | None:
        """Ask the host what it has refused since its start; None where it does not say."""
        if self._channel is None:
            return None
        try:
            result = await self._channel.async_request(VERIFY, {}, VERIFY_PATIENCE)
        except HomeAssistantError, NoAnswerError:
            return None
        return result.refused

    async def async_do(self, key: str, args: Mapping[str, Any] | None = None) -> None:
        """Have the host do something really: a rehearsal is an error too."""
        if (await self.async_command(key, args)).dry_run:
            raise errors.told("command_rehearsed", self._entry.title, key)

    @callback
    def _believe(self, result: Result) -> None:
        """Take note that the host answered in person, and what its clock shows."""
        self._end_doubt()
        difference = result.time - time()
        if result.reason == "too_old" and abs(difference) > CLOCK_TOLERANCE / 2:
            self.clock_difference = difference
            issues.async_report_clock(self._hass, self._entry, difference)
        else:
            self.hear_clock(result.time)

    @callback
    def hear_clock(self, moment: float) -> None:
        """Withdraw that the clocks differ, once they do not any more."""
        if self.clock_difference is not None and abs(moment - time()) < CLOCK_TOLERANCE:
            self.clock_difference = None
            issues.async_forget_clock(self._hass, self._coordinator.host_id)

    # --- Events ------------------------------------------------------------------------------

    @callback
    def async_listen_event(self, key: str, listener: EventListener) -> CALLBACK_TYPE:
        """Call this whenever such an event happens."""
        listeners = self._event_listeners.setdefault(key, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    @callback
    def _on_event(self, message: ReceiveMessage) -> None:
        self._coordinator.received["event"] += 1
        try:
            if message.retain:
                raise ProtocolError("retained", "events are never kept by the broker")  # noqa: TRY301
            body = self.trust.open(message.topic, payload_bytes(message.payload), MAX_EVENT)
            event = parse_event(body)
            self.trust.accept_event(event.sequence)
        except ProtocolError as err:
            self._coordinator.async_refuse("event", err)
            return
        for listener in list(
            self._event_listeners.get(message.topic[self._event_topic_start :], ())
        ):
            listener(event)

    # --- Doubt -------------------------------------------------------------------------------
    #
    # A host that was installed anew has no key, and nothing that it says can prove that. What
    # looks like it may as well come from somebody else on the broker. So the host is asked
    # something that it has to sign; only when it stays silent the user is asked to pair again.

    @callback
    def _begin_doubt(self, reason: str) -> None:
        if self._doubt is not None or self._channel is None:
            return
        self._doubt = reason
        self._cancel_doubt = async_call_later(self._hass, DOUBT_DELAY, self._check_doubt)

    @callback
    def _end_doubt(self) -> None:
        if self._doubt is None:
            return
        self._stop()
        self._withdraw_question()

    @callback
    def _withdraw_question(self) -> None:
        """Do not ask the user to pair any more."""
        for flow in self._hass.config_entries.flow.async_progress_by_handler(
            DOMAIN,
            match_context={"source": SOURCE_REAUTH, "entry_id": self._entry.entry_id},
        ):
            self._hass.config_entries.flow.async_abort(flow["flow_id"])

    async def _check_doubt(self, _: datetime) -> None:
        self._cancel_doubt = None
        reason = self._doubt
        # Whatever ends the doubt takes back this call, too.
        assert self._channel is not None
        assert reason is not None
        try:
            await self._channel.async_request(VERIFY, {}, DOUBT_PATIENCE)
        except NoAnswerError:
            if self._doubt is not None:
                self._ask_to_pair(reason)
        except HomeAssistantError:
            self._doubt = None  # There is no broker: what it said counts for nothing now.

    @callback
    def _say_lost(self, _: datetime) -> None:
        self._cancel_doubt = None
        self._ask_to_pair("lost_here")

    @callback
    def _ask_to_pair(self, reason: str) -> None:
        self._entry.async_start_reauth(self._hass, data={"reason": reason})

    @callback
    def _stop(self) -> None:
        self._doubt = None
        if self._cancel_doubt is not None:
            self._cancel_doubt()
            self._cancel_doubt = None
