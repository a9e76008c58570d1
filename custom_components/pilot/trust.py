"""The store of the keys that are shared with hosts, and of the sequences of their messages."""

import base64
from dataclasses import dataclass, field
import secrets
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .protocol.envelope import open_envelope, verified_body
from .protocol.errors import ProtocolError
from .protocol.signing import Keys, derive
from .protocol.topics import Separator
from .protocol.validation import FLEET, MAX_ANNOUNCE, Order, is_controller
from .storage import PilotStore, UnreadableFileError, boolean, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION: Final = 1
_MINOR_VERSION: Final = 1
_SAVE_DELAY: Final = 1
NO_ORDER: Final[Order] = (0, 0)
"""Below every sequence: none was accepted yet."""


@dataclass(slots=True)
class HostRecord:
    """What is stored of a host that is paired.

    Attributes:
        secret: What only it and this Home Assistant know; None where it is the fleet key.
        announced: The sequence of the last announce that was accepted.
        event: The sequence of the last event that was accepted.
        availability: The sequence of the last availability that was accepted.
        states: The sequences of the last values of collectors that sign them.
        session: The session of the host in its last announce.
        separator: What joins the segments of keys in the topics of commands that it hears.
    """

    secret: bytes | None = field(default=None, repr=False)
    announced: Order = NO_ORDER
    event: Order = NO_ORDER
    availability: Order = NO_ORDER
    states: dict[str, Order] = field(default_factory=dict)
    session: str = ""
    separator: Separator = Separator.DOT

    @property
    def highest_start(self) -> int:
        """The highest start of the host of which something was accepted."""
        orders = (self.announced, self.event, self.availability, *self.states.values())
        return max(start for start, _ in orders)


class TrustStore:
    """This Home Assistant's id and secrets, kept in a file for its owner only.

    Attributes:
        readable: Whether the file could be read. Otherwise no host is paired as far as is known,
            and none can be.
        controller: The id that hosts know this Home Assistant by.
        fleet: The secret that many hosts share.
        add_fleet: Whether hosts that prove the fleet key are added without a question.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Create an empty store; `async_load` fills it."""
        self._hass = hass
        self._store = PilotStore[dict[str, Any], _Kept](
            hass, f"{DOMAIN}.trust", _VERSION, _MINOR_VERSION, _parse, private=True
        )
        self.readable = True
        self.controller = ""
        self.fleet: bytes | None = None
        self.add_fleet = True
        self._hosts: dict[str, HostRecord] = {}
        self._counter = 0

    async def async_load(self) -> None:
        """Load what is stored, and draw an id if there is none."""
        try:
            kept = await self._store.async_read()
        except UnreadableFileError:
            # Hosts are shown all the same; the id is for this run alone.
            self.readable = False
            self.controller = secrets.token_hex(8)
            return
        if kept is None:
            self.controller = secrets.token_hex(8)
            await self._store.async_save(self._data())
        else:
            self.controller = kept.controller
            self.fleet = kept.fleet
            self.add_fleet = kept.add_fleet
            self._hosts = kept.hosts
        self._hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, self._save_at_the_end)

    # --- Keys --------------------------------------------------------------------------------

    def record(self, host_id: str) -> HostRecord | None:
        """Return what is stored of a host; None if it is not paired."""
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
        """Keep what is shared with a host from now on; None means the fleet key.

        Raises:
            HomeAssistantError: The file cannot be read, and is not written to.
        """
        self._require_readable()
        # Nothing that was signed with an earlier secret verifies now, so the sequence may
        # begin anew.
        self._hosts[host_id] = HostRecord(secret)
        if secret is None:
            # The host can prove the fleet key again, and a whole fleet may do so at once.
            self.async_save_later()
        else:
            await self._store.async_save(self._data())

    async def async_forget(self, host_id: str) -> None:
        """Forget what is shared with a host."""
        if self._hosts.pop(host_id, None) is not None:
            await self._store.async_save(self._data())

    async def async_set_fleet(self, secret: bytes | None, *, add: bool) -> None:
        """Change the fleet key; hosts that have only an earlier one are not paired any more.

        Raises:
            HomeAssistantError: The file cannot be read, and is not written to.
        """
        self._require_readable()
        if secret != self.fleet:
            self._hosts = {
                host: record for host, record in self._hosts.items() if record.secret is not None
            }
        self.fleet = secret
        self.add_fleet = add
        await self._store.async_save(self._data())

    # --- Counters ----------------------------------------------------------------------------

    def next_counter(self) -> int:
        """Return a number above all that were used, over restarts too as long as time goes on."""
        self._counter = max(int(time() * 1000), self._counter + 1)
        return self._counter

    def raise_counter(self, counter: int) -> None:
        """Go on above this number: a host has accepted it already."""
        self._counter = max(self._counter, counter)

    @callback
    def async_save_later(self) -> None:
        """Save changed records soon."""
        self._store.async_delay_save(self._data, _SAVE_DELAY)

    @callback
    def _save_at_the_end(self, _: Event) -> None:
        # The sequences of values change every minute: too often to be written each time. What
        # waits now is written when all has stopped, as it is then.
        self.async_save_later()

    def _require_readable(self) -> None:
        if not self.readable:
            raise HomeAssistantError(translation_domain=DOMAIN, translation_key="keys_unreadable")

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
                    "said": list(record.availability),
                    "states": {name: list(order) for name, order in record.states.items()},
                    "session": record.session,
                    "separator": record.separator.value,
                }
                for host, record in self._hosts.items()
            },
        }


def _text(secret: bytes | None) -> str | None:
    return None if secret is None else base64.b64encode(secret).decode()


def _secret(kept: object) -> bytes | None:
    return None if kept is None else base64.b64decode(text(kept), validate=True)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file has."""

    controller: str
    fleet: bytes | None
    add_fleet: bool
    hosts: dict[str, HostRecord]


def _parse(stored: dict[str, Any]) -> _Kept:
    controller = text(stored["controller"])
    if not is_controller(controller):
        # Another id would not be the one that hosts are paired with.
        raise ValueError("it has no id of this Home Assistant")
    return _Kept(
        controller,
        _secret(stored.get("fleet")),
        boolean(stored.get("add_fleet", True)),
        {host: _record(kept) for host, kept in stored.get("hosts", {}).items()},
    )


def _order(kept: Sequence[object]) -> Order:
    start, count = kept
    return int(number(start)), int(number(count))


def _record(kept: dict[str, Any]) -> HostRecord:
    return HostRecord(
        secret=_secret(kept["secret"]),
        announced=_order(kept["announced"]),
        event=_order(kept["event"]),
        availability=_order(kept.get("said", NO_ORDER)),
        states={name: _order(order) for name, order in kept.get("states", {}).items()},
        session=text(kept["session"]),
        separator=Separator(kept.get("separator", Separator.DOT)),
    )


_DATA: HassKey[TrustStore] = HassKey(f"{DOMAIN}_trust")


@singleton(_DATA, async_=True)
async def async_get_trust(hass: HomeAssistant) -> TrustStore:
    """Return the store, which is loaded once."""
    store = TrustStore(hass)
    await store.async_load()
    return store
