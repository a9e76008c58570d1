"""A host that speaks to Home Assistant over MQTT, without an agent."""

import copy
import json
from time import time
from typing import TYPE_CHECKING, Any

from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_mqtt_message

if TYPE_CHECKING:
    from homeassistant.core import HomeAssistant

HOST_ID = "9c3f6f0e3a5b4d21"
NOW = "2026-11-05T12:00:00+00:00"
"""When most tests take place; the timestamps in tests/contract are near it."""

ANNOUNCE: dict[str, Any] = {
    "protocol": 2,
    "session": "5f1c0a9be3d24c77",
    "host": {
        "id": HOST_ID,
        "name": "office-pc",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "arch": "x86_64",
        "manufacturer": "LENOVO",
        "model": "ThinkPad X1",
        "macs": ["00:00:5e:00:53:01"],
    },
    "agent": {"version": "0.1.0", "python": "3.11.7"},
    "collectors": {"cpu": {"interval": 10}, "disk": {"interval": 60}, "i2c": {"interval": 30}},
    "devices": {"aht20-1-38": {"name": "AHT20", "manufacturer": "Aosong", "model": "AHT20"}},
    "readings": [
        {"key": "cpu.percent"},
        {"key": "cpu.load_1m"},
        {"key": "disk.root.used_percent", "kind": "disk.used_percent", "of": "/"},
        {"key": "i2c.aht20-1-38.temperature", "kind": "temperature", "device": "aht20-1-38"},
    ],
}


class FakeHost:
    """A host that speaks to Home Assistant as its agent would."""

    def __init__(self, hass: HomeAssistant, announce: dict[str, Any] | None = None) -> None:
        """Start as the usual host, or as another one."""
        self.hass = hass
        self.announced = copy.deepcopy(announce or ANNOUNCE)
        self.prefix = "pilot/v2"

    @property
    def id(self) -> str:
        """The host's id."""
        return str(self.announced["host"]["id"])

    async def send(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        """Publish anything below the host's topics; `state/cpu` is a collector's part of it."""
        if not isinstance(payload, (str, bytes)):
            payload = json.dumps(payload)
        if topic.startswith("state/"):
            topic, _, collector = topic.partition("/")
            part = payload.encode() if isinstance(payload, str) else payload
            payload = part and b'{"collectors":{"%s":%s}}' % (collector.encode(), part)
        async_fire_mqtt_message(
            self.hass, f"{self.prefix}/{self.id}/{topic}", payload, retain=retain
        )
        await self.hass.async_block_till_done()

    async def announce(self, *, retain: bool = False, **changes: Any) -> None:
        """Publish the announce; changes last."""
        self.announced.update(copy.deepcopy(changes))
        await self.send("announce", self.announced, retain=retain)

    async def availability(self, word: str = "online", *, retain: bool = False) -> None:
        """Say whether the host is there."""
        await self.send("availability", word, retain=retain)

    async def state(
        self, collector: str, ts: float | None = None, *, retain: bool = False, **values: Any
    ) -> None:
        """Publish what a collector read, just now; two underscores in a name stand for a dot."""
        ts = time() if ts is None else ts
        named = {name.replace("__", "."): value for name, value in values.items()}
        await self.send(f"state/{collector}", {"ts": ts, "values": named}, retain=retain)

    async def connect(self) -> None:
        """Come online as an agent does: availability, announce, then every state."""
        await self.availability()
        await self.announce()


def make_entry(hass: HomeAssistant, **changes: Any) -> MockConfigEntry:
    """Return the entry of a host, which is not set up yet."""
    name = changes.pop("name", "office-pc")
    fields: dict[str, Any] = {
        "domain": "pilot",
        "title": name,
        "unique_id": HOST_ID,
        "entry_id": "01JPILOT",
        "data": {"prefix": "pilot/v2", "host_name": name, "auto_title": name},
    }
    entry = MockConfigEntry(**(fields | changes))
    entry.add_to_hass(hass)
    return entry
