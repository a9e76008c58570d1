"""A hundred hosts with forty readings each, in the three ways that a host can tell Home Assistant.

The readings are the same in all of them: names, units, classes and values. What
differs is who describes the entities and how the values travel.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Message = tuple[str, str]
"""A topic and a payload."""


@dataclass(frozen=True)
class Sensor:
    """One reading of a host.

    Attributes:
        key: Its name, as in Pilot's protocol.
        kind: What it is, from the protocol's catalogue.
        of: Which one, where there are several.
        base: Its lowest value.
        step: By how much it changes.
        unit: For Home Assistant's MQTT discovery, as the three below: Pilot's
            integration knows them from the kind.
        device_class: See ``unit``.
        state_class: See ``unit``.
        precision: See ``unit``.
    """

    key: str
    kind: str
    base: float
    step: float
    of: str = ""
    unit: str | None = None
    device_class: str | None = None
    state_class: str = "measurement"
    precision: int = 0

    def value(self, count: int) -> float:
        """Return its value after this many changes; neighbours always differ."""
        return round(self.base + count % 89 * self.step, 2)


def _sensors() -> Iterator[Sensor]:
    percent: dict[str, Any] = {"unit": "%"}
    size: dict[str, Any] = {"unit": "B", "device_class": "data_size", "precision": 1}
    rate: dict[str, Any] = {"unit": "B/s", "device_class": "data_rate", "precision": 2}
    celsius: dict[str, Any] = {"unit": "°C", "device_class": "temperature"}
    mib = 1024 * 1024

    def one(key: str, base: float, step: float, **about: Any) -> Sensor:  # noqa: ANN401
        return Sensor(key, key, base, step, **about)

    yield one("cpu.percent", 1, 0.5, **percent)
    for core in range(4):
        yield Sensor(f"cpu.core.{core}.percent", "cpu.core_percent", 1, 0.5, str(core), **percent)
    for minutes in (1, 5, 15):
        yield one(f"cpu.load_{minutes}m", 0.1, 0.05, precision=2)
    yield one("cpu.frequency", 800, 25, unit="MHz", device_class="frequency", precision=1)
    yield one("cpu.temperature", 40, 0.5, **celsius)
    yield one("cpu.context_switches", 900, 10, unit="1/s")
    yield one("memory.percent", 20, 0.5, **percent)
    yield one("memory.used", 2048 * mib, 8 * mib, **size)
    yield one("memory.available", 4096 * mib, 8 * mib, **size)
    yield one("memory.swap_percent", 1, 0.5, **percent)
    yield one("memory.swap_used", 16 * mib, mib, **size)
    for name, mount in (("root", "/"), ("home", "/home")):
        disk = f"disk.{name}."
        yield Sensor(disk + "used_percent", "disk.used_percent", 30, 0.1, mount, **percent)
        yield Sensor(disk + "used", "disk.used", 20480 * mib, 16 * mib, mount, **size)
        yield Sensor(disk + "free", "disk.free", 40960 * mib, 16 * mib, mount, **size)
    for name in ("sda", "nvme0n1"):
        io = f"disk_io.{name}."
        yield Sensor(io + "read_rate", "disk_io.read_rate", 1000, 4096, name, **rate)
        yield Sensor(io + "write_rate", "disk_io.write_rate", 2000, 4096, name, **rate)
    for name in ("eth0", "wlan0"):
        card = f"network.{name}."
        yield Sensor(card + "download_rate", "network.download_rate", 1000, 512, name, **rate)
        yield Sensor(card + "upload_rate", "network.upload_rate", 500, 512, name, **rate)
    total = {**size, "state_class": "total_increasing"}
    yield Sensor("network.eth0.received", "network.received", mib, 4096, "eth0", **total)
    yield Sensor("network.eth0.sent", "network.sent", mib, 4096, "eth0", **total)
    for number in range(4):
        yield Sensor(
            f"temperature.chip-{number}",
            "temperature.sensor",
            35 + number,
            0.5,
            f"Chip {number}",
            **celsius,
        )
    yield Sensor("fan.chip-1", "fan.speed", 900, 10, "Chip 1", unit="rpm")
    yield one("system.processes", 200, 1)
    yield one("system.users", 1, 1)
    yield one("agent.memory", 16 * mib, 4096, **size)


SENSORS: Sequence[Sensor] = tuple(_sensors())


class Fleet:
    """The hosts and the values that their sensors have now.

    Attributes:
        hosts: Their ids.
        counts: How often each sensor of a host has changed, in the order of :data:`SENSORS`.
    """

    def __init__(self, hosts: int) -> None:
        self.hosts = [f"benchmark-host-{number:04}" for number in range(hosts)]
        self.counts = {
            host: [number + 3 * index for index in range(len(SENSORS))]
            for number, host in enumerate(self.hosts)
        }

    def values(self, host: str) -> list[float]:
        """Return the values of a host, in the order of :data:`SENSORS`."""
        return [
            sensor.value(count) for sensor, count in zip(SENSORS, self.counts[host], strict=True)
        ]

    def change(self, every: int) -> None:
        """Change every so-many-th value of each host; none of them for 0."""
        for host in self.hosts:
            self.change_host(host, every)

    def change_host(self, host: str, every: int) -> None:
        """Change every so-many-th value of one host; none of them for 0."""
        counts = self.counts[host]
        for index in range(0, len(counts), every) if every else ():
            counts[index] += 1


class Dialect(Protocol):
    """A way to tell Home Assistant."""

    name: str

    def introduce(self, host: str) -> list[Message]:
        """Return the messages that make a host known."""

    def update(self, host: str, values: Sequence[float]) -> list[Message]:
        """Return the messages that carry a host's values."""


class _Discovery:
    """Home Assistant's own MQTT discovery."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = f"discovery-{name}"

    def introduce(self, host: str) -> list[Message]:
        """Return one message for the whole device: the cheapest of the ways that there are."""
        components = {}
        for sensor in SENSORS:
            slug = _slug(sensor.key)
            component = {
                "platform": "sensor",
                "unique_id": f"{host}_{slug}",
                "name": f"{sensor.kind} {sensor.of}".strip(),
                "unit_of_measurement": sensor.unit,
                "device_class": sensor.device_class,
                "state_class": sensor.state_class,
                "suggested_display_precision": sensor.precision,
                **self._source(host, slug),
            }
            components[slug] = {
                name: value for name, value in component.items() if value is not None
            }
        config = {
            "device": {"identifiers": [host], "name": host, "model": "PC"},
            "origin": {"name": "benchmark"},
            "availability_topic": f"{self.name}/{host}/availability",
            "components": components,
        }
        return [
            (f"{self.prefix}/device/{host}/config", json.dumps(config)),
            (f"{self.name}/{host}/availability", "online"),
        ]

    def _source(self, host: str, slug: str) -> dict[str, str]:
        raise NotImplementedError


class TopicPerSensor(_Discovery):
    """MQTT discovery, each value on a topic of its own."""

    def _source(self, host: str, slug: str) -> dict[str, str]:
        return {"state_topic": f"{self.name}/{host}/{slug}"}

    def update(self, host: str, values: Sequence[float]) -> list[Message]:
        """Return a message for each value."""
        return [
            (f"{self.name}/{host}/{_slug(sensor.key)}", str(value))
            for sensor, value in zip(SENSORS, values, strict=True)
        ]


class SharedJson(_Discovery):
    """MQTT discovery, all values of a host in one JSON."""

    def _source(self, host: str, slug: str) -> dict[str, str]:
        return {
            "state_topic": f"{self.name}/{host}/state",
            "value_template": f"{{{{ value_json.{slug} }}}}",
        }

    def update(self, host: str, values: Sequence[float]) -> list[Message]:
        """Return the one message."""
        payload = {_slug(sensor.key): value for sensor, value in zip(SENSORS, values, strict=True)}
        return [(f"{self.name}/{host}/state", json.dumps(payload))]


class Pilot:
    """Pilot's protocol: an announce, and one message for all that was read.

    Args:
        name: What the tables call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = "pilot/v2"

    def introduce(self, host: str) -> list[Message]:
        """Return announce and availability."""
        announce = {
            "protocol": 2,
            "session": "0123456789abcdef",
            "host": {"id": host, "name": host, "model": "PC", "os": "Linux", "arch": "x86_64"},
            "agent": {"version": "0.1.0", "python": "3.11.2"},
            # Longer than the agent's own, so that nothing turns stale between two rounds.
            "collectors": {sensor.key.partition(".")[0]: {"interval": 3600} for sensor in SENSORS},
            "devices": {},
            "readings": [
                {"key": sensor.key, "kind": sensor.kind, **({"of": sensor.of} if sensor.of else {})}
                for sensor in SENSORS
            ],
        }
        return [
            (f"{self.prefix}/{host}/availability", "online"),
            (f"{self.prefix}/{host}/announce", json.dumps(announce)),
        ]

    def update(self, host: str, values: Sequence[float]) -> list[Message]:
        """Return the state, in which all collectors were due."""
        now = round(time.time(), 3)
        collectors: dict[str, dict[str, Any]] = {}
        for sensor, value in zip(SENSORS, values, strict=True):
            collector, _, name = sensor.key.partition(".")
            part = collectors.setdefault(collector, {"ts": now, "values": {}})
            part["values"][name] = value
        return [(f"{self.prefix}/{host}/state", json.dumps({"collectors": collectors}))]


def _slug(key: str) -> str:
    return key.replace(".", "_").replace("-", "_")
