"""The unit of every kind in the catalogue of `docs/protocol.md`, for people who read a table."""

from __future__ import annotations

_KINDS_BY_UNIT = {
    "%": (
        "cpu.percent",
        "cpu.core_percent",
        "memory.percent",
        "memory.swap_percent",
        "disk.used_percent",
        "battery.level",
        "humidity",
        "i2c.humidity_offset",
    ),
    "MHz": ("cpu.frequency",),
    "°C": (
        "cpu.temperature",
        "temperature.sensor",
        "temperature",
        "i2c.temperature_offset",
    ),
    "1/s": ("cpu.context_switches",),
    "B": (
        "memory.used",
        "memory.available",
        "memory.total",
        "memory.swap_used",
        "memory.swap_total",
        "disk.used",
        "disk.free",
        "disk.total",
        "network.received",
        "network.sent",
        "agent.memory",
    ),
    "B/s": (
        "disk_io.read_rate",
        "disk_io.write_rate",
        "network.download_rate",
        "network.upload_rate",
    ),
    "rpm": ("fan.speed",),
    "s": (
        "battery.time_left",
        "agent.cpu_time",
        "i2c.interval",
    ),
    "V": ("voltage", "i2c.voltage_offset"),
    "A": ("current", "i2c.current_offset"),
    "W": (
        "battery.power",
        "power",
        "i2c.power_offset",
    ),
    "dBm": ("wifi.signal",),
    "hPa": ("pressure", "i2c.pressure_offset"),
    "lx": ("illuminance", "i2c.illuminance_offset"),
    "ppm": ("carbon_dioxide", "i2c.carbon_dioxide_offset"),
}

UNITS = {kind: unit for unit, kinds in _KINDS_BY_UNIT.items() for kind in kinds}
"""Units by kind; kinds without a unit are not in it."""
