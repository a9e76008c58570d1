"""What Home Assistant shares with hosts, and what it therefore believes of what they say."""

import base64
from dataclasses import dataclass, field
import secrets
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.singleton import singleton
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .protocol.announce import Announce
from .protocol.envelope import Envelope, open_envelope, verified_body
from .protocol.errors import ProtocolError
from .protocol.signing import Keys, derive
from .protocol.validation import FLEET, MAX_ANNOUNCE, Order, is_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VERSION: Final = 1
_SAVE_DELAY: Final = 1
_NOTHING: Final[Order] = (0, 0)


@dataclass(slots=True)
class HostRecord:
    """What is kept of a host that is paired.

    Attributes:
        secret: What only it and this Home Assistant know; None where it is the fleet key.
        announced: The sequence of the last announce that was accepted.
        event: The sequence of the last event that was accepted.
        said: The sequence of what the host said last about being there.
        states: The sequences of the last values of collectors that sign them.
        session: The host's session, as it said last.
    """

    secret: bytes | None = field(default=None, repr=False)
    announced: Order = _NOTHING
    event: Order = _NOTHING
    said: Order = _NOTHING
    states: dict[str, Order] = field(default_factory=dict)
    session: str = ""


class TrustStore:
    """This Home Assistant's id and secrets, kept in a file for its owner only.

    Attributes:
        controller: The id that hosts know this Home Assistant by.
        fleet: The secret that many hosts share.
        add_fleet: Whether hosts that prove the fleet key are added without a question.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to load."""
        self._hass = hass
        self._store = Store[dict[str, Any]](
            hass, _VERSION, f"{DOMAIN}.trust", private=True, atomic_writes=True
        )
        self.controller = ""
        self.fleet: bytes | None = None
        self.add_fleet = True
        self._hosts: dict[str, HostRecord] = {}
        self._counter = 0

    async def async_load(self) -> None:
        """Load what is kept, and draw an id if there is none."""
        stored = await self._store.async_load() or {}
        self.controller = stored.get("controller", "")
        self.fleet = _secret(stored.get("fleet"))
        self.add_fleet = stored.get("add_fleet", True)
        self._hosts = {host: _record(kept) for host, kept in stored.get("hosts", {}).items()}
        if not is_controller(self.controller):
            self.controller = secrets.token_hex(8)
            await self._store.async_save(self._data())
        self._hass.bus.async_listen_once(EVENT_HOMEASSISTANT_FINAL_WRITE, self._save_at_the_end)

    # --- Keys --------------------------------------------------------------------------------

    def record(self, host_id: str) -> HostRecord | None:
        """Return what is kept of a host; None if it is not paired."""
        return self._hosts.get(host_id)

    def keys(self, prefix: str, host_id: str) -> Keys | None:
        """Return the keys between this Home Assistant and a host; None if it is not paired."""
        if (record := self._hosts.get(host_id)) is None:
            return None
        if record.secret is not None:
            return derive(self.controller, record.secret, prefix, host_id)
        return self.fleet_keys(prefix, host_id)

    def fleet_keys(self, prefix: str, host_id: str) -> Keys | None:
        """Return the keys that a host of the fleet would have."""
        return None if self.fleet is None else derive(FLEET, self.fleet, prefix, host_id)

    def proves_fleet(self, prefix: str, host_id: str, topic: str, payload: bytes) -> bool:
        """Say whether an announce was written by a host that has the fleet key."""
        if (keys := self.fleet_keys(prefix, host_id)) is None:
            return False
        try:
            verified_body(keys, topic, open_envelope(payload, MAX_ANNOUNCE))
        except ProtocolError:
            return False
        return True

    async def async_pair(self, host_id: str, secret: bytes | None) -> None:
        """Keep what is shared with a host from now on; None means the fleet key."""
        # Nothing that was signed with an earlier secret verifies now, so the sequence may
        # begin anew.
        self._hosts[host_id] = HostRecord(secret)
        await self._store.async_save(self._data())

    async def async_forget(self, host_id: str) -> None:
        """Forget what is shared with a host."""
        if self._hosts.pop(host_id, None) is not None:
            await self._store.async_save(self._data())

    async def async_set_fleet(self, secret: bytes | None, *, add: bool) -> None:
        """Change the fleet key; hosts that have only an earlier one are not paired any more."""
        if secret != self.fleet:
            self._hosts = {
                host: record for host, record in self._hosts.items() if record.secret is not None
            }
        self.fleet = secret
        self.add_fleet = add
        await self._store.async_save(self._data())

    # --- What grows --------------------------------------------------------------------------

    def next_counter(self) -> int:
        """Return a number above all that were used, over restarts too as long as time goes on."""
        self._counter = max(int(time() * 1000), self._counter + 1)
        return self._counter

    def raise_counter(self, counter: int) -> None:
        """Go on above this number: a host has accepted it already."""
        self._counter = max(self._counter, counter)

    @callback
    def async_save_later(self) -> None:
        """Keep what has changed in a record."""
        self._store.async_delay_save(self._data, _SAVE_DELAY)

    async def _save_at_the_end(self, _: Event) -> None:
        """Keep what changes every minute: too often to be written each time."""
        await self._store.async_save(self._data())

    def _data(self) -> dict[str, Any]:
        return {
            "controller": self.controller,
            "fleet": _text(self.fleet),
            "add_fleet": self.add_fleet,
            "hosts": {
                host: {
                    "secret": _text(record.secret),
                    "announced": list(record.announced),
                    "event": list(record.event),
                    "said": list(record.said),
                    "states": {name: list(order) for name, order in record.states.items()},
                    "session": record.session,
                }
                for host, record in self._hosts.items()
            },
        }


class HostTrust:
    """What is believed of what comes in the name of one host.

    While it is not paired everything is, as there is nothing to tell it by. From then on
    only what it signed, in the order in which it was said.
    """

    def __init__(
        self, store: TrustStore, prefix: str, host_id: str, enrolled: Callable[[], None]
    ) -> None:
        """Look up the keys; `enrolled` is called when the host proves the fleet key."""
        self._store = store
        self._prefix = prefix
        self._host_id = host_id
        self._enrolled = enrolled
        self.keys = store.keys(prefix, host_id)
        self._record = store.record(host_id) or HostRecord()

    @property
    def paired(self) -> bool:
        """Whether the host can be commanded."""
        return self.keys is not None

    @property
    def by(self) -> str | None:
        """Return what it is paired by: `code`, `fleet_key` or not at all."""
        if self.keys is None:
            return None
        return "fleet_key" if self.keys.key_id == FLEET else "code"

    @property
    def session(self) -> str:
        """The host's session, as it said last."""
        return self._record.session

    def open(self, topic: str, payload: bytes, limit: int) -> bytes:
        """Return the body of a message.

        Raises:
            ProtocolError: It is not believed.
        """
        envelope = open_envelope(payload, limit)
        if self.keys is not None:
            return self.believe(topic, envelope)
        if FLEET in envelope.signatures and self._store.proves_fleet(
            self._prefix, self._host_id, topic, payload
        ):
            self._enrolled()
        return envelope.body

    def believe(self, topic: str, envelope: Envelope) -> bytes:
        """Return the body of a message that was opened.

        Raises:
            ProtocolError: It is not believed.
        """
        if self.keys is None:
            return envelope.body
        return verified_body(self.keys, topic, envelope)

    def accept_announce(self, announce: Announce) -> bool:
        """Take an announce in, and say whether it proves that the host has its key now.

        Raises:
            ProtocolError: It is older than the last one.
        """
        if self.keys is None:
            return False
        if announce.sequence is None:
            raise ProtocolError("sequence", "a signed announce without a sequence")
        if announce.sequence < self._record.announced:
            raise ProtocolError("replayed", "it is older than what the host said before")
        if announce.sequence == self._record.announced:
            return False  # The broker repeats what it kept, and so may anybody.
        self._record.announced, self._record.session = announce.sequence, announce.session
        self._store.async_save_later()
        return True

    def accept_said(self, order: Order | None) -> bool:
        """Take in what the host says about being there, and say whether it is news.

        Raises:
            ProtocolError: It is older than the last one: an old will, say.
        """
        if self.keys is None:
            return True
        if order is None:
            raise ProtocolError("unsigned", "it is not signed, and the host is paired")
        if order < self._record.said:
            raise ProtocolError("replayed", "it is older than what the host said before")
        if order == self._record.said:
            return False
        self._record.said = order
        self._store.async_save_later()
        return True

    def accept_state(self, collector: str, order: Order) -> None:
        """Take in the values of a collector that signs them.

        Raises:
            ProtocolError: They are older than the last ones.
        """
        last = self._record.states.get(collector, _NOTHING)
        if order < max(last, (self._record.announced[0], 0)):
            raise ProtocolError("replayed", "it is older than what the host said before")
        if order != last:
            self._record.states[collector] = order

    def accept_event(self, order: Order) -> None:
        """Take an event in; raise `ProtocolError` if it is not newer than the last one."""
        if order <= self._record.event:
            raise ProtocolError("replayed", "it is not newer than the last event")
        self._record.event = order
        if self.keys is not None:
            self._store.async_save_later()


def _text(secret: bytes | None) -> str | None:
    return None if secret is None else base64.b64encode(secret).decode()


def _secret(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _order(kept: Sequence[int]) -> Order:
    return kept[0], kept[1]


def _record(kept: dict[str, Any]) -> HostRecord:
    return HostRecord(
        secret=_secret(kept["secret"]),
        announced=_order(kept["announced"]),
        event=_order(kept["event"]),
        said=_order(kept.get("said", _NOTHING)),
        states={name: _order(order) for name, order in kept.get("states", {}).items()},
        session=kept["session"],
    )


_DATA: HassKey[TrustStore] = HassKey(f"{DOMAIN}_trust")


@singleton(_DATA, async_=True)
async def async_get_trust(hass: HomeAssistant) -> TrustStore:
    """Return what Home Assistant shares with hosts."""
    store = TrustStore(hass)
    await store.async_load()
    return store
