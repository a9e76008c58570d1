"""Authentication of one host: which of its messages are accepted, and when it has to pair again."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later

from .const import CONF_PAIRED, CONF_PREFIX, DOMAIN, LOGGER
from .messages import repetition
from .protocol.announce import Announce, parse_announce
from .protocol.encoding import load_object
from .protocol.envelope import Envelope, open_envelope, read_envelope, verified_body
from .protocol.errors import ProtocolError
from .protocol.messages import Availability, HostEvent, parse_availability, parse_event
from .protocol.topics import Separator, Topics
from .protocol.validation import (
    FLEET,
    MAX_ANNOUNCE,
    MAX_AVAILABILITY_BODY,
    MAX_EVENT,
    MAX_STATE,
    Order,
    get_sequence,
)
from .trust import NO_ORDER, HostRecord, TrustStore

if TYPE_CHECKING:
    from datetime import datetime

    from .kept_announces import KeptAnnounces

type RefuseMessage = Callable[[str, ProtocolError], None]
"""Counts a refused message: the name of its topic, and why it is refused."""

MAX_KEYS: Final = 10_000
"""Different devices and readings that are taken of a host while any client of the broker may speak
in its name: several times what one announce may have."""

DOUBT_DELAY: Final = 3.0
"""How long a host that seems to have lost its keys has to prove the contrary by itself, in s."""
DOUBT_PATIENCE: Final = 5.0
"""How long it may take to answer when it is asked for a signature, in s."""

# Errors of an announce that make its host suspect of having lost its key, and the reason that the
# reauthentication flow shows for them.
_SUSPICIOUS: Final[Mapping[str, str]] = {
    "unsigned": "host_forgot",
    "not_signed_for_us": "host_revoked",
    "bad_signature": "host_other_key",
}


class Reauthentication:
    """Asks the user to pair again once a host has proved to be without its key.

    A host that was installed anew has no key, and no message of it can prove that: what looks
    like it may come from another client of the broker. The host is therefore asked for something
    that it has to sign; the user is asked only when no signed answer comes.
    """

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, verify: Callable[[float], Awaitable[bool]]
    ) -> None:
        """Start without a suspicion.

        Args:
            hass: Home Assistant.
            entry: The config entry of the host.
            verify: Asks the host for a signature for so many seconds, and returns whether it came.
                Raises `HomeAssistantError` where nothing can be published.
        """
        self._hass = hass
        self._entry = entry
        self._verify = verify
        self._reason: str | None = None
        self._cancel_timer: CALLBACK_TYPE | None = None

    @callback
    def async_start(self, *, has_keys: bool, readable: bool) -> None:
        """Withdraw the question of a host that has its keys, and ask for lost ones.

        Nothing is asked where the file of keys cannot be read: they are not lost.
        """
        self._entry.async_on_unload(self._stop)
        if has_keys or not readable:
            self._abort_flows()
        elif self._entry.data.get(CONF_PAIRED):
            # Not while the entry is being reconfigured, which may be why it is set up just now.
            self._cancel_timer = async_call_later(self._hass, DOUBT_DELAY, self._on_keys_lost)

    @callback
    def suspect(self, reason: str) -> None:
        """Check soon whether the host still has its key.

        Args:
            reason: What the user is told if it has not: a reason of the reauthentication flow.
        """
        if self._reason is None:
            self._reason = reason
            self._cancel_timer = async_call_later(self._hass, DOUBT_DELAY, self._check)

    @callback
    def clear(self) -> None:
        """Drop a suspicion: the host has signed something new."""
        if self._reason is not None:
            self._stop()
            self._abort_flows()

    async def _check(self, _: datetime) -> None:
        self._cancel_timer = None
        reason = self._reason
        # What clears the suspicion cancels this timer, too.
        assert reason is not None
        try:
            verified = await self._verify(DOUBT_PATIENCE)
        except HomeAssistantError:
            self._reason = None  # Without a broker the message that raised it may be outdated.
        else:
            if not verified and self._reason is not None:
                self._start_flow(reason)

    @callback
    def _on_keys_lost(self, _: datetime) -> None:
        self._cancel_timer = None
        self._start_flow("lost_here")

    @callback
    def _start_flow(self, reason: str) -> None:
        self._entry.async_start_reauth(self._hass, data={"reason": reason})

    @callback
    def _abort_flows(self) -> None:
        flows = self._hass.config_entries.flow
        context = {"source": SOURCE_REAUTH, "entry_id": self._entry.entry_id}
        for flow in flows.async_progress_by_handler(DOMAIN, match_context=context):
            flows.async_abort(flow["flow_id"])

    @callback
    def _stop(self) -> None:
        self._reason = None
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None


class HostAuth:
    """Accepts or refuses the messages of one host.

    While the host is not paired every message is accepted, as there is no key to check it by.
    From then on only what it signed, in the order of its sequences.

    Attributes:
        keys: The keys that Home Assistant and the host share; None while they share none.
        readable: Whether it is known if they share any: the file of keys can be read.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        store: TrustStore,
        kept: KeptAnnounces,
        reauthentication: Reauthentication,
        refuse: RefuseMessage,
        fell_behind: Callable[[int], None],
    ) -> None:
        """Look up the keys and sequences of the host of a config entry.

        Args:
            hass: Home Assistant.
            entry: The config entry of the host.
            store: The keys and sequences.
            kept: What the host announced before Home Assistant started.
            reauthentication: Is told of what makes the host suspect.
            refuse: Counts refused values.
            fell_behind: Is called with the highest start that was accepted, when the host has
                signed an announce of a lower one.
        """
        assert entry.unique_id is not None
        self._hass = hass
        self._entry = entry
        self._store = store
        self._kept = kept
        self._last_announce: tuple[bytes, Announce] | None = None
        self._reauthentication = reauthentication
        self._refuse = refuse
        self._fell_behind = fell_behind
        self._prefix: str = entry.data[CONF_PREFIX]
        self._host_id = entry.unique_id
        self._topics = Topics(self._prefix, self._host_id)
        self._record = store.record(self._host_id) or HostRecord()
        self._opened: dict[str, tuple[object, Mapping[str, Any]]] = {}
        self._keys_heard: set[str] = set()
        self.keys = store.keys(self._prefix, self._host_id)
        self.readable = store.readable

    @property
    def paired(self) -> bool:
        """Whether the host can be commanded."""
        return self.keys is not None

    @property
    def paired_by(self) -> str | None:
        """What the host is paired by: `code`, `fleet_key`, or None."""
        if self.keys is None:
            return None
        return "fleet_key" if self.keys.key_id == FLEET else "code"

    @property
    def session(self) -> str:
        """The session of the host in its last announce; empty before the first."""
        return self._record.session

    @property
    def separator(self) -> Separator:
        """What joins keys in topics, by its last announce; a dot before the first."""
        return self._record.separator

    # --- Messages ----------------------------------------------------------------------------

    def kept_announce(self) -> Announce | None:
        """Return what the host announced last, before this run; None where that is not known."""
        body = self._kept.get(self._host_id, self._key_id)
        if body is None:
            return None
        try:
            return self._parse_announce(body)
        except ProtocolError:
            return None  # Another version of Pilot accepted it.

    def read_announce(self, payload: bytes) -> Announce | None:
        """Parse an announce; None says that the host was removed.

        Raises:
            ProtocolError: It is malformed, or not accepted.
        """
        if not payload:
            if self.paired:
                # It cannot be signed, and does no more than ask the user.
                self._refuse("announce", ProtocolError("unsigned", "it is empty"))
            return None
        try:
            body = self.open(self._topics.announce, payload, MAX_ANNOUNCE)
        except ProtocolError as err:
            if self.paired and (reason := _SUSPICIOUS.get(err.kind)) is not None:
                self._reauthentication.suspect(reason)
            raise
        announce = self._parse_announce(body)
        self._accept_keys(announce)
        if self._accept_announce(announce):
            self._reauthentication.clear()
        self._kept.async_keep(self._host_id, body, self._key_id)
        return announce

    @property
    def _key_id(self) -> str:
        return "" if self.keys is None else self.keys.key_id

    def _parse_announce(self, body: bytes) -> Announce:
        if self._last_announce is not None and self._last_announce[0] == body:
            return self._last_announce[1]
        announce = parse_announce(body, self._host_id)
        if announce is None:
            raise ProtocolError("empty", "it says nothing")
        if self._last_announce is not None:
            # A thousand hosts repeat what they are at the same time. What stays the same object
            # is compared in no time, and kept once.
            repeated = repetition(self._last_announce[1], announce)
            announce = announce if repeated is None else repeated
        self._last_announce = body, announce
        return announce

    def read_availability(self, topic: str, payload: bytes) -> tuple[Availability, bool]:
        """Parse the availability of the host; also return whether it is newer than the last one.

        Raises:
            ProtocolError: It is malformed, or not accepted.
        """
        if payload[:1] == b"{":
            payload = self.open(topic, payload, MAX_AVAILABILITY_BODY)
        availability, order = parse_availability(payload)
        return availability, self._accept_availability(order)

    def open_part(self, collector: str, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the values of a collector that signs them; None if they are not accepted."""
        # A host repeats what it did not read anew, with everything else.
        if (known := self._opened.get(collector)) is not None and known[0] == part.get("body"):
            return known[1]
        topic = self._topics.signed_state(collector)
        signed = part.get("body")
        try:
            if "signatures" in part:
                envelope = read_envelope(part, MAX_STATE)
                body = self._verify(topic, envelope)
                part = load_object(body, MAX_STATE)
            elif self.paired:
                raise ProtocolError("unsigned", "it is not signed, and the host is paired")  # noqa: TRY301
            if self.paired:
                self._accept_state(collector, get_sequence(part))
        except ProtocolError as err:
            self._refuse("state", err)
            return None
        if signed is not None:
            self._opened[collector] = (signed, part)
        return part

    def read_event(self, topic: str, payload: bytes) -> HostEvent:
        """Parse an event.

        Raises:
            ProtocolError: It is malformed, or not accepted.
        """
        event = parse_event(self.open(topic, payload, MAX_EVENT))
        self._accept_event(event.sequence)
        return event

    def open(self, topic: str, payload: bytes, limit: int) -> bytes:
        """Return the body of a message.

        Args:
            topic: The topic, which is signed along with the body.
            payload: The body, or an envelope with the body and its signatures.
            limit: The longest body that is accepted, in bytes.

        Raises:
            ProtocolError: It is malformed, or not signed with the key of the host.
        """
        envelope = open_envelope(payload, limit)
        if self.keys is not None:
            return self._verify(topic, envelope)
        if FLEET in envelope.signatures and self._store.proves_fleet(
            self._prefix, self._host_id, topic, payload
        ):
            self._enroll()
        return envelope.body

    def _verify(self, topic: str, envelope: Envelope) -> bytes:
        if self.keys is None:
            return envelope.body
        return verified_body(self.keys, topic, envelope)

    @callback
    def _enroll(self) -> None:
        """Pair the host by the fleet key, which it has proved to have."""

        async def enroll() -> None:
            LOGGER.info("%s proved the fleet key, and can be commanded now", self._entry.title)
            await self._store.async_pair(self._host_id, None)
            self._hass.config_entries.async_schedule_reload(self._entry.entry_id)

        self._entry.async_create_task(self._hass, enroll())

    # --- Sequences ---------------------------------------------------------------------------

    def _accept_announce(self, announce: Announce) -> bool:
        """Return whether the announce is new, which proves that the host has its key now."""
        if self.keys is None:
            return False
        if announce.sequence is None:
            raise ProtocolError("sequence", "a signed announce without a sequence")
        if announce.sequence < self._record.announced:
            if announce.sequence[0] < self._record.announced[0]:
                # An old one that is replayed; or its clock was ahead once, and it lost its number.
                self._fell_behind(self._record.highest_start)
            raise ProtocolError("replayed", "it is older than what the host said before")
        self._record.separator = announce.separator
        if announce.sequence == self._record.announced:
            return False  # The broker repeats what it retained, and other clients may.
        self._record.announced, self._record.session = announce.sequence, announce.session
        self._store.async_save_later()
        return True

    def _accept_keys(self, announce: Announce) -> None:
        """Refuse what would fill the registries, which keep what is removed, by other names."""
        keys = self._keys_heard | announce.readings.keys() | announce.devices.keys()
        if not self.paired and len(keys) > MAX_KEYS:
            raise ProtocolError(
                "too_many_keys",
                f"without being paired, it has announced more than {MAX_KEYS} different devices "
                "and readings since it was set up; reload its entry if that is as it should be",
            )
        self._keys_heard = keys

    def _accept_availability(self, order: Order | None) -> bool:
        """Return whether the availability is new; an older one, such as an old will, is refused."""
        if self.keys is None:
            return True
        if order is None:
            raise ProtocolError("unsigned", "it is not signed, and the host is paired")
        if order < self._record.availability:
            raise ProtocolError("replayed", "it is older than what the host said before")
        if order == self._record.availability:
            return False
        self._record.availability = order
        self._store.async_save_later()
        return True

    def _accept_state(self, collector: str, order: Order) -> None:
        last = self._record.states.get(collector, NO_ORDER)
        if order < max(last, (self._record.announced[0], 0)):
            raise ProtocolError("replayed", "it is older than what the host said before")
        if order != last:
            self._record.states[collector] = order

    def _accept_event(self, order: Order) -> None:
        if order <= self._record.event:
            raise ProtocolError("replayed", "it is not newer than the last event")
        self._record.event = order
        if self.keys is not None:
            self._store.async_save_later()
