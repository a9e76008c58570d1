"""A host that reports everything in the catalogue."""

import copy
from typing import Any

from custom_components.pilot.protocol.catalogue import CATALOGUE, ReadingType, Several
from support.integration_host import ANNOUNCE

_VALUES: dict[str, Any] = {
    "number": 42,
    "boolean": True,
    "text": "words",
    "timestamp": "2026-11-05T08:00:00+01:00",
}
_NUMBERS = {"B": 8 * 1024**3, "B/s": 1_250_000, "MHz": 2400, "s": 5400, "h": 3149, "hPa": 1013.2}
_OF = {
    "disk": "/home",
    "network": "eth0",
    "wifi": "wlan0",
    "battery": "BAT0",
    "cpu": "3",
    "disk_io": "sda",
    "disk_health": "md0",
    "processes": "firefox",
    "services": "nginx",
}
_GRAPHICS_CARD = "graphics-0000-0b-00-0"
_BELOW = {"disk_health": "disk-0123456789ab", "graphics": _GRAPHICS_CARD, "ups": "ups-office"}
_UPS = {"name": "Office UPS", "manufacturer": "Eaton", "model": "5E 850i", "serial": "G095"}
_DISK = {"name": "SSD 980", "model": "Samsung SSD 980 1TB", "serial": "S649NX0R123456A"}


def key_of(kind: str) -> str:
    """Return a key for a kind; those of room sensors come from an I2C bus."""
    return kind if "." in kind else f"i2c.{kind}"


def device_of(kind: str) -> str | None:
    """Return the device below the host that a kind belongs to, where it has one of its own."""
    return None if CATALOGUE[kind].of else _BELOW.get(kind.partition(".")[0])


def all_kinds() -> dict[str, Any]:
    """Return an announce with one reading of each kind, and a second of those that may be many."""
    announce = copy.deepcopy(ANNOUNCE)
    announce["devices"][_GRAPHICS_CARD] = {"name": "AMD Radeon RX 5700", "manufacturer": "AMD"}
    readings = []
    for kind, says in CATALOGUE.items():
        key = key_of(kind)
        reading = {"key": key, "kind": kind}
        family = kind.partition(".")[0]
        if says.several is Several.OPTIONAL:
            readings.append({"key": f"{key}-2", "kind": kind, "of": _OF.get(family, "shelf")})
            if family == kind:
                reading["device"] = "aht20-1-38"
        elif says.several is Several.YES:
            reading["of"] = _OF.get(family, "coretemp Package id 0")
        if below := device_of(kind):
            reading["device"] = below
        if family == "disk":
            readings.append({"key": f"{key}-root", "kind": kind, "of": "/"})
        readings.append(reading)
    announce["devices"] |= {"disk-0123456789ab": _DISK, "ups-office": _UPS}
    announce["readings"] = readings
    announce["collectors"] = {
        reading["key"].partition(".")[0]: {"interval": 10} for reading in readings
    }
    return announce


def all_values() -> dict[str, dict[str, Any]]:
    """Return a value of each of these readings, by collector."""
    values: dict[str, dict[str, Any]] = {}
    for reading in all_kinds()["readings"]:
        says = CATALOGUE[reading["kind"]]
        collector, _, name = reading["key"].partition(".")
        if says.type is ReadingType.ENUM:
            value = says.options[0]
        else:
            value = _NUMBERS.get(says.unit, _VALUES[says.type])
        values.setdefault(collector, {})[name] = value
    return values
