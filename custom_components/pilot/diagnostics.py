"""Diagnostics for bug reports, without names, addresses and keys."""

from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from homeassistant.components.diagnostics import REDACTED, async_redact_data

from .backfill.runtime import BACKLOG
from .const import CONF_AUTO_TITLE, CONF_HOST_NAME
from .devices import child_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeassistant.core import HomeAssistant
    from homeassistant.helpers import device_registry as dr

    from .coordinator import PilotCoordinator
    from .data import PilotConfigEntry
    from .protocol.announce import Announce, Reading

TO_REDACT = {CONF_AUTO_TITLE, CONF_HOST_NAME, "id", "macs", "name", "pair", "serial", "session"}
KINDS_TO_REDACT = {
    "camera.programs",
    "media.album",
    "media.artist",
    "media.title",
    "network.ipv4",
    "network.ipv6",
    "session.users",
    "sound.microphone_programs",
    "usb.names",
    "wifi.ssid",
    "window.program",
    "window.title",
}


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: PilotConfigEntry
) -> dict[str, Any]:
    """Return status, announce, counts of messages and readings of a host."""
    coordinator = entry.runtime_data.coordinator
    announce, backlog = coordinator.data, hass.data.get(BACKLOG)
    return {
        "entry": {
            "data": async_redact_data(dict(entry.data), TO_REDACT),
            "options": dict(entry.options),
        },
        "status": coordinator.status,
        "since": coordinator.since.isoformat(),
        "received": dict(coordinator.received),
        "refused": dict(coordinator.refused),
        "announced_at": coordinator.announced_at and coordinator.announced_at.isoformat(),
        "announce": announce and _announce(announce),
        "trust": {
            **_trust(coordinator),
            # By the host, since its agent's start; by Home Assistant it is further up.
            "refused_by_host": await coordinator.commands.async_refusals(),
        },
        "collectors": _collectors(coordinator),
        "readings": announce and _readings(coordinator, announce.readings.values()),
        "backlog": None if backlog is None else backlog.async_diagnostics(coordinator.host_id),
    }


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: PilotConfigEntry, device: dr.AnyDeviceEntry
) -> dict[str, Any]:
    """Return the readings of the host's own device, or of one below it."""
    coordinator = entry.runtime_data.coordinator
    announce = coordinator.data
    if announce is None:
        return {"status": coordinator.status, "readings": None}
    below = {child_identifier(coordinator.host_id, key): key for key in announce.devices}
    keys = {below.get(identifier) for identifier in device.identifiers}
    readings = [reading for reading in announce.readings.values() if reading.device in keys]
    return {"status": coordinator.status, "readings": _readings(coordinator, readings)}


def _announce(announce: Announce) -> dict[str, Any]:
    """Return an announce without names and addresses; the readings are listed elsewhere."""
    return async_redact_data(
        {
            "session": announce.session,
            "host": announce.host._asdict(),
            "agent": announce.agent._asdict(),
            "devices": [device._asdict() for device in announce.devices.values()],
            "conflict": announce.conflict and announce.conflict._asdict(),
            "update": announce.update and announce.update._asdict(),
        },
        TO_REDACT,
    )


def _trust(coordinator: PilotCoordinator) -> dict[str, Any]:
    """Return the pairing of the host, without keys."""
    announce = coordinator.data
    trust = announce and announce.trust
    return {
        "paired_by": coordinator.auth.paired_by,
        "sequence": announce and announce.sequence,
        "controllers": trust and len(trust.controllers),
        "pairing": trust and trust.pairing,
        "commands": announce
        and {
            command.key: command.missing and command.missing.reason
            for command in announce.commands.values()
        },
        "events": announce and dict(announce.events),
        "clock_difference": coordinator.commands.clock_difference,
    }


def _collectors(coordinator: PilotCoordinator) -> dict[str, Any]:
    """Return interval and age of the collectors; the age in seconds."""
    now = monotonic()
    return {
        name: {
            "interval": collector.interval,
            "fresh": collector.fresh,
            "age": round(now - collector.measured, 1),
        }
        for name, collector in coordinator.readings.collectors.items()
    }


def _readings(coordinator: PilotCoordinator, readings: Iterable[Reading]) -> dict[str, Any]:
    """Return readings as announced, with their values."""
    described: dict[str, Any] = {}
    for reading in readings:
        value = coordinator.value(reading.key)
        described[reading.key] = {
            "kind": reading.kind,
            "type": reading.type,
            "unit": reading.unit,
            "value": value.isoformat() if isinstance(value, datetime) else value,
        }
        if value is not None and reading.kind in KINDS_TO_REDACT:
            described[reading.key]["value"] = REDACTED
    return described
