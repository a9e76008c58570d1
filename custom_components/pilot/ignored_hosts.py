"""The hosts that the user removed, and that discovery must not offer again."""

from contextlib import suppress
from typing import TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.singleton import singleton
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .storage import PilotStore, UnreadableFileError, texts

_SAVE_DELAY = 1


class _Stored(TypedDict):
    hosts: list[str]


class RemovedHosts:
    """Ids of removed hosts, kept over restarts.

    What is removed is still announced: the broker keeps the announce, and the agent may
    well be running. Only setting a host up by hand brings it back.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Prepare to load them."""
        self._store = PilotStore[_Stored, set[str]](
            hass, f"{DOMAIN}.removed_hosts", 1, 1, lambda stored: set(texts(stored["hosts"]))
        )
        self._hosts: set[str] = set()

    async def async_load(self) -> None:
        """Load them; where they cannot be read removed hosts are offered again."""
        with suppress(UnreadableFileError):
            self._hosts = await self._store.async_read() or set()

    def __contains__(self, host_id: object) -> bool:
        return host_id in self._hosts

    @callback
    def async_add(self, host_id: str) -> None:
        """Do not offer this host any more."""
        self._hosts.add(host_id)
        self._save()

    @callback
    def async_discard(self, host_id: str) -> None:
        """Offer this host again."""
        if host_id in self._hosts:
            self._hosts.discard(host_id)
            self._save()

    def _save(self) -> None:
        self._store.async_delay_save(lambda: {"hosts": sorted(self._hosts)}, _SAVE_DELAY)


_DATA: HassKey[RemovedHosts] = HassKey(f"{DOMAIN}_removed_hosts")


@singleton(_DATA, async_=True)
async def async_get_removed_hosts(hass: HomeAssistant) -> RemovedHosts:
    """Return the hosts that the user removed."""
    removed = RemovedHosts(hass)
    await removed.async_load()
    return removed
