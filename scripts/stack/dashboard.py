"""The demo's dashboard, drawn from the readings that a host really has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .demo_room import SENSOR, statistics_of_rooms

if TYPE_CHECKING:
    from .host import Host

Card = dict[str, Any]

_SEVERITY = {"green": 0, "yellow": 75, "red": 90}


def dashboard(host: Host) -> dict[str, Any]:
    """Return a dashboard's configuration for a host."""
    sections = [
        _section("At a glance", "mdi:speedometer", _glance(host)),
        _section("Rooms", "mdi:floor-plan", _rooms(host), columns=2),
        _section("Commands (only simulated)", "mdi:power", _commands(host)),
        _section("Processor and memory", "mdi:memory", [*_processor(host), *_memory(host)]),
        _section("Storage", "mdi:harddisk", _storage(host)),
        _section("Network", "mdi:lan", _network(host)),
        _section("Battery", "mdi:battery", _battery(host)),
        _section("Temperatures and fans", "mdi:thermometer", _temperatures(host)),
        _section("System", "mdi:information-outline", _system(host)),
    ]
    return {
        "title": host.name,
        "views": [
            {
                "title": host.name,
                "path": "host",
                "icon": "mdi:desktop-tower-monitor",
                "type": "sections",
                "max_columns": 3,
                "dense_section_placement": True,
                "badges": _badges(host),
                "sections": [section for section in sections if section],
            }
        ],
    }


def _badges(host: Host) -> list[Card]:
    entities = [host.entity_id("status"), *_entities(host, "system.started", "wifi.ssid")]
    return [
        {
            "type": "entity",
            "entity": entity,
            "name": {"type": "entity"},
            "show_name": True,
            "show_icon": True,
        }
        for entity in entities
        if entity
    ]


def _glance(host: Host) -> list[Card]:
    disks = sorted(_entities(host, "disk.used_percent"), key=len)
    root = [host.entity_id(k) for k in host.keys("disk.used_percent") if host.of(k) == "/"]
    shown = [
        ("Processor", _entities(host, "cpu.percent")),
        ("Memory", _entities(host, "memory.percent")),
        ("Disk", [entity for entity in root if entity] or disks),
    ]
    gauges = [
        {
            "type": "gauge",
            "entity": entities[0],
            "name": name,
            "min": 0,
            "max": 100,
            "severity": _SEVERITY,
            "grid_options": {"columns": 4, "rows": 2},
        }
        for name, entities in shown
        if entities
    ]
    lines = [{"entity": e[0], "name": name} for name, e in shown[:2] if e]
    if lines:
        gauges.append(
            {
                "type": "history-graph",
                "entities": lines,
                "hours_to_show": 1,
                "grid_options": {"columns": "full", "rows": 4},
            }
        )
    return gauges


def _processor(host: Host) -> list[Card]:
    return [
        *_graphs(host, "cpu.percent", columns="full"),
        *_tiles(host, "cpu.temperature", "cpu.frequency", "cpu.load_1m", "cpu.load_5m"),
        *_bars(host, "cpu.core_percent"),
    ]


def _memory(host: Host) -> list[Card]:
    return [
        *_graphs(host, "memory.percent", columns="full"),
        *_tiles(host, "memory.used", "memory.available"),
        *_bars(host, "memory.swap_percent"),
    ]


def _storage(host: Host) -> list[Card]:
    return [
        *_bars(host, "disk.used_percent", columns="full"),
        *_graphs(host, "disk_io.read_rate", "disk_io.write_rate"),
        *_tiles(host, "disk.free", columns="full"),
    ]


def _network(host: Host) -> list[Card]:
    return [
        *_graphs(host, "network.download_rate", "network.upload_rate"),
        *_tiles(host, "wifi.ssid", "wifi.signal"),
        *_tiles(host, "network.ipv4", columns="full"),
    ]


def _battery(host: Host) -> list[Card]:
    return [
        *_bars(host, "battery.level", columns="full"),
        *_tiles(host, "battery.state", "battery.time_left", "battery.power", "battery.plugged"),
    ]


def _temperatures(host: Host) -> list[Card]:
    return [*_graphs(host, "temperature.sensor"), *_tiles(host, "fan.speed")]


def _system(host: Host) -> list[Card]:
    return [
        *_tiles(host, "system.os", "system.kernel", columns="full"),
        *_tiles(host, "system.started", "system.users", "system.processes"),
        *_tiles(host, "system.pending_reboot", "agent.memory", "agent.cpu_time"),
    ]


def _rooms(host: Host) -> list[Card]:
    if not host.entity_id(f"i2c.{SENSOR}.temperature"):
        return []
    return [
        {"type": "custom:pilot-rooms-card", "grid_options": {"columns": "full"}},
        {
            "type": "statistics-graph",
            "title": "Each room's own temperature",
            "entities": statistics_of_rooms(),
            "period": "hour",
            "days_to_show": 7,
            "stat_types": ["mean"],
            "hide_legend": False,
            "grid_options": {"columns": "full", "rows": 5},
        },
        *_tiles(host, "temperature", "humidity"),
    ]


def _commands(host: Host) -> list[Card]:
    keys = sorted(key for key in host.entities if key.startswith(("power.", "session.")))
    found = [host.entity_id(key) for key in keys if not host.announces(key)]
    return [_tile(host, entity, 6) for entity in found if entity]


def _section(title: str, icon: str, cards: list[Card], columns: int = 1) -> Card | None:
    if not cards:
        return None
    heading = {"type": "heading", "heading": title, "heading_style": "title", "icon": icon}
    return {"type": "grid", "column_span": columns, "cards": [heading, *cards]}


def _entities(host: Host, *kinds: str) -> list[str]:
    """Return the enabled entities of these kinds, most telling first within a kind."""
    found: list[str] = []
    for kind in kinds:
        keys = [key for key in host.keys(kind) if host.has_value(key)]
        found += [entity for key in keys if (entity := host.entity_id(key))]
    return found


def _tiles(host: Host, *kinds: str, columns: int | str = 6) -> list[Card]:
    return [_tile(host, entity, columns) for entity in _entities(host, *kinds)[:12]]


def _bars(host: Host, *kinds: str, columns: int | str = 6) -> list[Card]:
    bar = {"type": "bar-gauge", "min": 0, "max": 100}
    return [_tile(host, entity, columns, bar) for entity in _entities(host, *kinds)[:16]]


def _graphs(host: Host, *kinds: str, columns: int | str = 6) -> list[Card]:
    graph = {"type": "trend-graph", "hours_to_show": 1}
    by_kind = [_entities(host, kind) for kind in kinds]
    # What belongs together stands side by side: an interface's two directions.
    longest = max((len(entities) for entities in by_kind), default=0)
    mixed = [entities[i] for i in range(longest) for entities in by_kind if i < len(entities)]
    return [_tile(host, entity, columns, graph) for entity in mixed[:12]]


def _tile(host: Host, entity: str, columns: int | str, feature: Card | None = None) -> Card:
    tile: Card = {
        "type": "tile",
        "entity": entity,
        # Its own name only: the page says whose it is.
        "name": {"type": "entity"},
        "grid_options": {"columns": columns},
    }
    if feature is not None:
        tile["features"] = [feature]
    if status := host.entity_id("status"):
        # A disk that was unplugged shall leave no hole. What is unavailable because
        # the whole host is away stays.
        there = {"condition": "state", "entity": entity, "state_not": "unavailable"}
        away = {"condition": "state", "entity": status, "state_not": "online"}
        tile["visibility"] = [{"condition": "or", "conditions": [there, away]}]
    return tile
