"""What hosts announced last, kept over restarts of Home Assistant.

The broker keeps an announce as well, but it may be away, may have lost it, or may never have kept
any; and the host itself may be off. Its entities are there all the same, so that its power switch
can wake it, and its status says what is known.
"""

from contextlib import suppress
from typing import Final, NamedTuple, TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .storage import PilotStore, UnreadableFileError, text

_SAVE_DELAY: Final = 60
"""Seconds: announces of hosts that all start come together, and are as good a minute later."""


class KeptAnnounce(NamedTuple):
    """An announce that was accepted.

    Attributes:
        body: What it says.
        key_id: The id of the key that it was verified by; empty if the host was not paired.
    """

    body: str
    key_id: str


class _Stored(TypedDict):
    hosts: dict[str, dict[str, str]]


class KeptAnnounces:
    """The last announce of each host."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to load them."""
        self._store = PilotStore[_Stored, dict[str, KeptAnnounce]](
            hass, f"{DOMAIN}.announces", 1, 1, _parse, serialize_in_event_loop=False
        )
        self._hosts: dict[str, KeptAnnounce] = {}

    async def async_load(self) -> None:
        """Load them; where they cannot be read, hosts are shown once they announce themselves."""
        with suppress(UnreadableFileError):
            self._hosts = await self._store.async_read() or {}

    def get(self, host_id: str, key_id: str) -> bytes | None:
        """Return what a host announced last; None if that was not verified by this key."""
        kept = self._hosts.get(host_id)
        return kept.body.encode() if kept is not None and kept.key_id == key_id else None

    @callback
    def async_keep(self, host_id: str, body: bytes, key_id: str) -> None:
        """Keep what a host announces."""
        kept = KeptAnnounce(body.decode(), key_id)
        if self._hosts.get(host_id) != kept:
            self._hosts[host_id] = kept
            self._save()

    @callback
    def async_forget(self, host_id: str) -> None:
        """Forget a host that was removed."""
        if self._hosts.pop(host_id, None) is not None:
            self._save()

    def _save(self) -> None:
        self._store.async_delay_save(self._data, _SAVE_DELAY)

    def _data(self) -> _Stored:
        return {
            "hosts": {
                host_id: {"announce": kept.body, "key_id": kept.key_id}
                for host_id, kept in self._hosts.items()
            }
        }


def _parse(stored: _Stored) -> dict[str, KeptAnnounce]:
    return {
        text(host_id): KeptAnnounce(text(kept["announce"]), text(kept["key_id"]))
        for host_id, kept in stored["hosts"].items()
    }


_DATA: HassKey[KeptAnnounces] = HassKey(f"{DOMAIN}_kept_announces")


@singleton(_DATA, async_=True)
async def async_get_kept_announces(hass: HomeAssistant) -> KeptAnnounces:
    """Return what hosts announced last."""
    kept = KeptAnnounces(hass)
    await kept.async_load()
    return kept
