"""Writes what a Home Assistant with the previous version of the integration stores and sends.

Runs as a test of that version, `tests/integration/trust/test_write.py` in its tree, with its code
and its test doubles: see `tests/previous/write`.
"""

import json
import os
from pathlib import Path
from time import time
from typing import Any

from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from ..conftest import HOST_ID  # noqa: TID252
from .agent import Agent, Bus

STORED = (
    "core.area_registry",
    "core.device_registry",
    "core.entity_registry",
    "pilot.placements",
    "pilot.trust",
)


async def test_write(
    hass_storage: dict[str, Any],
    hass: HomeAssistant,
    paired: MockConfigEntry,
    agent: Agent,
    bus: Bus,
    area_registry: ar.AreaRegistry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """A paired host, whose sensor stands in a room, and whose entities were renamed."""
    target = Path(os.environ["PILOT_WRITE_TO"])
    heard: list[list[str]] = []
    fire = bus.fire

    def record(topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        heard.append([topic, payload if isinstance(payload, str) else payload.decode()])
        fire(topic, payload, retain=retain)

    bus.fire = record  # type: ignore[method-assign]
    agent.part("cpu", json.dumps({"ts": time(), "values": {"percent": 12.5}}))
    agent.state("session", locked=True)
    agent.happens("session", "locked", user="ada")
    await hass.async_block_till_done()
    attic = area_registry.async_create("Attic")
    device = device_registry.async_get_device_by_identifier(
        ("pilot", f"{HOST_ID}_aht20-1-38"), paired.entry_id
    )
    assert device is not None
    device_registry.async_update_device(device.id, area_id=attic.id)
    entity_registry.async_update_entity(
        "sensor.aht20_temperature", new_entity_id="sensor.under_the_roof"
    )
    entity_registry.async_update_entity("button.office_pc_suspend", name="Good night")
    await hass.async_block_till_done()
    for name in ("button.office_pc_suspend", "button.office_pc_lock"):
        await hass.services.async_call("button", "press", {"entity_id": name}, blocking=True)
    await hass.services.async_call(
        "switch", "turn_off", {"entity_id": "switch.office_pc_power"}, blocking=True
    )
    assert agent.done == ["power.suspend", "session.lock", "power.shutdown"]

    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await hass.async_block_till_done(wait_background_tasks=True)

    (target / "storage").mkdir()
    for key in STORED:
        content = json.dumps(hass_storage[key], indent=1)
        (target / "storage" / key).write_text(content, "utf-8")
    (target / "storage" / "config_entry.json").write_text(
        json.dumps(
            {
                "data": dict(paired.data),
                "options": dict(paired.options),
                "entry_id": paired.entry_id,
                "title": paired.title,
                "unique_id": paired.unique_id,
                "version": paired.version,
                "minor_version": paired.minor_version,
            },
            indent=1,
        ),
        "utf-8",
    )
    (target / "integration.json").write_text(
        json.dumps(
            {
                "recorded": time(),
                "session": agent.session,
                "heard": heard,
                "commands": [
                    [topic, payload.decode()]
                    for topic, payload in bus.published
                    if "/command/" in topic
                ],
            },
            indent=1,
        ),
        "utf-8",
    )
