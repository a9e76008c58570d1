"""The devices of a host and the title of its entry, kept in step with its announce."""

from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .const import CONF_AUTO_TITLE, CONF_HOST_NAME, DOMAIN
from .descriptions import platform_of

if TYPE_CHECKING:
    from .coordinator import PilotConfigEntry
    from .protocol.announce import Announce, Host

_MAC_LENGTH = len("00:00:00:00:00:00")


def host_identifier(host_id: str) -> tuple[str, str]:
    """Return what a host's device is known by."""
    return (DOMAIN, host_id)


def child_identifier(host_id: str, device: str) -> tuple[str, str]:
    """Return what a device below a host is known by."""
    return (DOMAIN, f"{host_id}_{device}")


def unique_id(host_id: str, key: str) -> str:
    """Return what an entity is known by."""
    return f"{host_id}_{key}"


def model_of(host: Host) -> str | None:
    """Return what kind of machine a host is, in a word that fits into brackets."""
    return host.model or (host.os and host.os.partition(" (")[0]) or host.arch


def host_title(hass: HomeAssistant, host: Host) -> str:
    """Return a title for a host that no other host has."""
    others = {
        entry.title
        for entry in hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        if entry.unique_id != host.id
    }
    for title in (host.name, f"{host.name} ({model_of(host) or host.id[:6]})"):
        if title not in others:
            return title
    return f"{host.name} ({host.id})"


@callback
def async_get_device(
    hass: HomeAssistant, entry: PilotConfigEntry, device: str | None = None
) -> dr.DeviceEntry:
    """Return the host's device, or the one below it that a reading hangs on.

    Before the first announce the host's device is little more than a name.
    """
    assert entry.unique_id is not None
    registry = dr.async_get(hass)
    if device is None:
        return registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={host_identifier(entry.unique_id)},
            name=entry.data[CONF_AUTO_TITLE],
        )
    child = registry.async_get_device_by_identifier(
        child_identifier(entry.unique_id, device), entry.entry_id
    )
    # Devices are made before the readings that hang on them.
    assert child is not None
    return child


@callback
def async_follow_host(
    hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce, previous: Announce | None
) -> None:
    """Make title and devices say what the announce says."""
    host, agent = announce.host, announce.agent
    if previous is not None and (
        (host, agent, announce.devices) == (previous.host, previous.agent, previous.devices)
    ):
        return
    _follow_title(hass, entry, host)
    registry = dr.async_get(hass)
    connections = {(dr.CONNECTION_NETWORK_MAC, mac) for mac in host.macs if len(mac) == _MAC_LENGTH}
    device = async_get_device(hass, entry)
    registry.async_update_device(
        device.id,
        manufacturer=host.manufacturer,
        model=host.model,
        sw_version=agent.version,
        hw_version=host.arch,
        new_connections=connections,
    )
    for key, child in announce.devices.items():
        registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={child_identifier(host.id, key)},
            name=child.name or key,
            manufacturer=child.manufacturer,
            model=child.model,
            via_device_id=device.id,
        )


def _follow_title(hass: HomeAssistant, entry: PilotConfigEntry, host: Host) -> None:
    """Take up a host's new name, unless the user has found a better one."""
    if entry.data[CONF_HOST_NAME] == host.name:
        return
    auto_title = host_title(hass, host)
    renamed_by_user = entry.title != entry.data[CONF_AUTO_TITLE]
    hass.config_entries.async_update_entry(
        entry,
        title=entry.title if renamed_by_user else auto_title,
        data={**entry.data, CONF_HOST_NAME: host.name, CONF_AUTO_TITLE: auto_title},
    )


@callback
def async_forget_unannounced(
    hass: HomeAssistant, entry: PilotConfigEntry, announce: Announce
) -> None:
    """Remove what the host does not report any more.

    Home Assistant remembers removed entities and devices: when a disk is plugged in again,
    it has its ids, names, areas and history back.
    """
    entities = er.async_get(hass)
    start = len(unique_id(announce.host.id, ""))
    for entity in er.async_entries_for_config_entry(entities, entry.entry_id):
        key = entity.unique_id[start:]
        # The entities of the host itself have no dot in their key.
        if "." in key and (
            (reading := announce.readings.get(key)) is None or platform_of(reading) != entity.domain
        ):
            entities.async_remove(entity.entity_id)
    devices = dr.async_get(hass)
    for device in dr.async_entries_for_config_entry(devices, entry.entry_id):
        if not device_is_announced(announce, device):
            devices.async_remove_device(device.id)


def device_is_announced(announce: Announce, device: dr.BaseDeviceEntry) -> bool:
    """Say whether a device is the host or one that it has below it."""
    host_id = announce.host.id
    known = {host_identifier(host_id)} | {
        child_identifier(host_id, key) for key in announce.devices
    }
    return not known.isdisjoint(device.identifiers)
