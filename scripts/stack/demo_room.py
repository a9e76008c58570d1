"""The demo's room sensor: simulated on this host's I²C bus, and carried from room to room."""

# ruff: noqa: ANN401  # What JSON holds is known to those who asked for it.

from __future__ import annotations

from datetime import UTC, datetime, timedelta
import json
import math
import os
from typing import TYPE_CHECKING, Any

from .paths import ROOT
from .process import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from .homeassistant import HomeAssistant
    from .host import Host

SENSOR = "aht20-1-38"
"""The device that an AHT20 at its first address on bus 1 is announced as."""
FIRST_ROOM, SECOND_ROOM = "Bedroom", "Living Room"
# Hours since the sensor came to each of them.
_CAME_FIRST, _CAME_SECOND = 168, 52
_SIMULATED_BUS = ROOT / "tests" / "e2e" / "harness" / "i2c"
_QUANTITIES = {"temperature": ("temperature", "°C"), "humidity": ("unitless", "%")}


class DemoRoom:
    """What a simulated AHT20 measures, and where it has stood for a week.

    Args:
        folder: For what the agent's process reads as the sensor's values.

    Attributes:
        settings: The agent's configuration of its bus.
        env: Environment variables that give the agent the simulated bus.

    """

    def __init__(self, folder: Path) -> None:
        self.settings = {"sensors": [{"type": "aht20", "name": "Room sensor"}]}
        self._values = folder / "room.json"
        self.env = {
            "PYTHONPATH": f"{_SIMULATED_BUS}{os.pathsep}{ROOT / 'tests'}",
            "PILOT_TEST_ROOM": str(self._values),
        }

    def measure(self) -> None:
        """Let the sensor's next measurement be that of the room at this moment."""
        self._values.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        values = {"celsius": _value("temperature", now, 0), "percent": _value("humidity", now, 0)}
        fresh = self._values.with_suffix(".new")
        fresh.write_text(json.dumps(values), encoding="utf-8")
        fresh.replace(self._values)

    def furnish(self, ha: HomeAssistant, host: Host) -> None:
        """Give Home Assistant two rooms, and a week in which the sensor stood in both."""
        device_id = _device(ha, host.id)
        rooms = {name: _area(ha, name) for name in (FIRST_ROOM, SECOND_ROOM)}
        for quantity in _QUANTITIES:
            entity_id = host.entity_id(f"i2c.{SENSOR}.{quantity}")
            if entity_id is not None:
                _import_history(ha, entity_id, quantity)
        ha.ws("config/device_registry/update", device_id=device_id, area_id=rooms[SECOND_ROOM])
        came = wait_for(
            lambda: next(iter(_placements(ha, device_id)), None), "the sensor in its room"
        )
        _do(
            ha,
            "move_placement",
            device_id=device_id,
            at=came["start"],
            start=_hours_ago(_CAME_SECOND).isoformat(),
        )
        _do(
            ha,
            "add_placement",
            device_id=device_id,
            area_id=rooms[FIRST_ROOM],
            start=_hours_ago(_CAME_FIRST).isoformat(),
            end=_hours_ago(_CAME_SECOND).isoformat(),
        )


def statistics_of_rooms() -> list[str]:
    """Return the statistics of the rooms' temperatures."""
    return [
        f"pilot:{name.lower().replace(' ', '_')}_temperature" for name in (FIRST_ROOM, SECOND_ROOM)
    ]


def _value(quantity: str, at: datetime, hours_ago: float) -> float:
    """Return what is measured at a time: bedrooms are cooler, days are warmer than nights."""
    day = math.sin((at.hour + at.minute / 60 - 9) / 24 * 2 * math.pi)
    in_first = hours_ago > _CAME_SECOND
    if quantity == "humidity":
        return round((52 if in_first else 44) - 3 * day, 1)
    return round((18.2 if in_first else 21.4) + 0.9 * day, 1)


def _import_history(ha: HomeAssistant, entity_id: str, quantity: str) -> None:
    unit_class, unit = _QUANTITIES[quantity]
    rows = []
    for hours in range(_CAME_FIRST, 0, -1):
        start = _hours_ago(hours)
        mean = _value(quantity, start, hours)
        rows.append(
            {"start": start.isoformat(), "mean": mean, "min": mean - 0.2, "max": mean + 0.2}
        )
    ha.ws(
        "recorder/import_statistics",
        metadata={
            "has_sum": False,
            "mean_type": 1,
            "name": None,
            "source": "recorder",
            "statistic_id": entity_id,
            "unit_class": unit_class,
            "unit_of_measurement": unit,
        },
        stats=rows,
    )


def _device(ha: HomeAssistant, host_id: str) -> str:
    identifier = ["pilot", f"{host_id}_{SENSOR}"]

    def found() -> str | None:
        devices = (one for one in ha.devices() if identifier in one["identifiers"])
        return next((str(one["id"]) for one in devices), None)

    return str(wait_for(found, "the device of the room sensor"))


def _area(ha: HomeAssistant, name: str) -> str:
    """Return the area of this name: a new Home Assistant has some by itself."""
    for area in ha.ws("config/area_registry/list"):
        if area["name"] == name:
            return str(area["area_id"])
    return str(ha.ws("config/area_registry/create", name=name)["area_id"])


def _placements(ha: HomeAssistant, device_id: str) -> list[dict[str, Any]]:
    return list(_do(ha, "get_placements", device_id=device_id)["placements"])


def _do(ha: HomeAssistant, action: str, **data: Any) -> Any:
    call = {"domain": "pilot", "service": action, "service_data": data, "return_response": True}
    return ha.ws("call_service", **call)["response"]


def _hours_ago(hours: float) -> datetime:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=hours)
