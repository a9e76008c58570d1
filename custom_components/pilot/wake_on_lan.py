"""Wake a host over the network."""

from typing import TYPE_CHECKING, Final

from homeassistant.exceptions import HomeAssistantError

from .const import CONF_WAKE_ADDRESS, CONF_WAKE_PORT, DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeassistant.core import HomeAssistant

    from .coordinator import PilotCoordinator

DEFAULT_ADDRESS: Final = "255.255.255.255"
DEFAULT_PORT: Final = 9

_MAC_LENGTH = len("00:00:00:00:00:00")
_NO_MAC = "00:00:00:00:00:00"


def wakeable(macs: Iterable[str]) -> list[str]:
    """Return the addresses that a network card can be woken by."""
    return [mac for mac in macs if len(mac) == _MAC_LENGTH and mac != _NO_MAC]


async def async_wake(hass: HomeAssistant, coordinator: PilotCoordinator) -> None:
    """Send a magic packet to every address that a host announced.

    Raises:
        HomeAssistantError: It announced none, or the network does not take them.
    """
    announce, entry = coordinator.data, coordinator.config_entry
    macs = wakeable(announce.host.macs) if announce is not None else []
    address = entry.options.get(CONF_WAKE_ADDRESS, DEFAULT_ADDRESS)
    port = int(entry.options.get(CONF_WAKE_PORT, DEFAULT_PORT))
    if not macs:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="nothing_to_wake",
            translation_placeholders={"name": entry.title},
        )

    def send() -> None:
        from wakeonlan import send_magic_packet  # noqa: PLC0415  (needed once in a while)

        send_magic_packet(*macs, ip_address=address, port=port)

    try:
        await hass.async_add_executor_job(send)
    except OSError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="wake_failed",
            translation_placeholders={
                "name": entry.title,
                "address": f"{address}:{port}",
                "error": str(err),
            },
        ) from err
