"""The devices of a host and the title of its config entry, as its announce has them."""

from collections import Counter
from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.typing import UNDEFINED

from .const import CONF_AUTO_TITLE, CONF_HOST_NAME, DOMAIN
from .messages import one_line
from .protocol.announce import Device

if TYPE_CHECKING:
    from collections.abc import Collection

    from homeassistant.config_entries import ConfigEntry
    from homeassistant.const import Platform

    from .protocol.announce import Announce, Host

_MAC_LENGTH = len("00:00:00:00:00:00")


def host_identifier(host_id: str) -> tuple[str, str]:
    """Return the identifier of the device of a host."""
    return (DOMAIN, host_id)


def child_identifier(host_id: str, device: str) -> tuple[str, str]:
    """Return the identifier of a device below a host."""
    return (DOMAIN, f"{host_id}_{device}")


def unique_id(host_id: str, key: str) -> str:
    """Return the unique id of an entity, by its key below the host."""
    return f"{host_id}_{key}"


def model_of(host: Host) -> str | None:
    """Return the model of a host; agents before 0.2 leave it out where there is only a system."""
    model = host.model or (host.os and host.os.partition(" (")[0])
    return model and one_line(model)


def name_of(host: Host) -> str:
    """Return what a host is called; by its id where nothing of its name can be seen."""
    name = one_line(host.name)
    return name if name.strip() else host.id


def host_title(hass: HomeAssistant, host: Host) -> str:
    """Return a title for a host that no other config entry has."""
    name = name_of(host)
    others = {
        entry.title
        for entry in hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        if entry.unique_id != host.id
    }
    for title in (name, f"{name} ({model_of(host) or host.id[:6]})"):
        if title not in others:
            return title
    return f"{name} ({host.id})"


@callback
def async_get_device(
    hass: HomeAssistant, entry: ConfigEntry, device: str | None = None
) -> dr.DeviceEntry:
    """Return the device of the host, or the one with this key below it.

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
    # The coordinator creates devices before entities are made.
    assert child is not None
    return child


@callback
def async_update_devices(
    hass: HomeAssistant, entry: ConfigEntry, announce: Announce, previous: Announce | None
) -> None:
    """Update title and devices to an announce."""
    host, agent = announce.host, announce.agent
    if previous is not None and (
        (host, agent, announce.devices) == (previous.host, previous.agent, previous.devices)
    ):
        return
    _update_title(hass, entry, host)
    registry = dr.async_get(hass)
    connections = {(dr.CONNECTION_NETWORK_MAC, mac) for mac in host.macs if len(mac) == _MAC_LENGTH}
    device = async_get_device(hass, entry)
    registry.async_update_device(
        device.id,
        manufacturer=host.manufacturer and one_line(host.manufacturer),
        model=model_of(host),
        # Home Assistant calls it the firmware.
        sw_version=f"pilot-agent {agent.version}",
        # Earlier versions showed the architecture there.
        hw_version=None,
        new_connections=connections,
    )
    children = {
        key: Device(*(text and one_line(text) for text in child))
        for key, child in announce.devices.items()
    }
    unnamed = Counter(child.model for child in children.values() if not child.name)
    for key, child in children.items():
        which = child.model if child.model and unnamed[child.model] == 1 else key
        registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={child_identifier(host.id, key)},
            name=child.name or UNDEFINED,
            translation_key=_key_of_name(child, unnamed),
            translation_placeholders={"host": entry.data[CONF_AUTO_TITLE], "which": which},
            manufacturer=child.manufacturer,
            model=child.model,
            serial_number=child.serial,
            via_device_id=device.id,
        )


def _key_of_name(child: Device, unnamed: Counter[str | None]) -> str | None:
    """Return the translation that names a device below a host, unless it has a name."""
    if child.name:
        return None
    return "sensor" if unnamed.total() == 1 else "sensor_of_several"


def _update_title(hass: HomeAssistant, entry: ConfigEntry, host: Host) -> None:
    """Take over a new name of the host, unless the user has renamed the config entry."""
    if entry.data[CONF_HOST_NAME] == host.name:
        return
    auto_title = host_title(hass, host)
    renamed_by_user = entry.title != entry.data[CONF_AUTO_TITLE]
    hass.config_entries.async_update_entry(
        entry,
        title=entry.title if renamed_by_user else auto_title,
        data={**entry.data, CONF_HOST_NAME: host.name, CONF_AUTO_TITLE: auto_title},
    )


# --- Removal of what is not announced any more ----------------------------------------------------
#
# Home Assistant remembers removed entities and devices: when a disk is plugged in again, it has
# its ids, names, areas and history back.


@callback
def async_remove_stale_entities(
    hass: HomeAssistant, entry: ConfigEntry, platform: Platform, keys: Collection[str]
) -> None:
    """Remove all entities of a host on a platform, except those with these keys."""
    assert entry.unique_id is not None
    kept = {unique_id(entry.unique_id, key) for key in keys}
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        if entity.domain == platform and entity.unique_id not in kept:
            registry.async_remove(entity.entity_id)


@callback
def async_remove_stale_devices(hass: HomeAssistant, entry: ConfigEntry, announce: Announce) -> None:
    """Remove the devices below a host that it does not announce, with their entities."""
    registry = dr.async_get(hass)
    for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
        if not device_is_announced(announce, device):
            registry.async_remove_device(device.id)


def device_is_announced(announce: Announce, device: dr.BaseDeviceEntry) -> bool:
    """Return whether a device is the host, or below it."""
    host_id = announce.host.id
    known = {host_identifier(host_id)} | {
        child_identifier(host_id, key) for key in announce.devices
    }
    return not known.isdisjoint(device.identifiers)
