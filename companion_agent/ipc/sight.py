"""What a process sees of this host: the service answers with it, `pilot-agent doctor` compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from companion_agent.plugins.runner import kind_of, unit_of

if TYPE_CHECKING:
    from companion_agent.models import Value
    from companion_agent.plugins.runner import CollectorRunner


class SeenReading(TypedDict):
    """A reading: its value, its unit and its kind."""

    value: Value
    unit: str
    kind: str


class SeenCollector(TypedDict):
    """A collector.

    Keys:
        available: Whether this host offers it; `None` while that is not known.
        why: Why it does not, or cannot be read now; empty otherwise.
        readings: What it reads, by key.
        ways: By what it works, where that differs by machine.
    """

    available: bool | None
    why: str
    readings: dict[str, SeenReading]
    ways: list[str]


def of_collector(source: CollectorRunner) -> SeenCollector:
    """Say what is seen of a collector's domain."""
    return {
        "available": None if source.collector.pending else source.available,
        "why": source.absent.reason if source.absent else source.trouble,
        "readings": {
            f"{source.name}.{reading.key}": {
                "value": source.values.get(reading.key),
                "unit": unit_of(source, reading),
                "kind": kind_of(source, reading),
            }
            for reading in source.readings
        },
        "ways": list(source.collector.ways()),
    }
