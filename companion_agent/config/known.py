"""What collectors are to the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from companion_agent.plugins.base import Collector


class Known(NamedTuple):
    """What a collector is to the configuration: its usual interval, and what it lets choose."""

    interval: float
    selects: str


def known_collectors(collectors: Mapping[str, type[Collector]] | None = None) -> dict[str, Known]:
    """Return what collectors are to the configuration; all that there are when `None`."""
    if collectors is None:
        from companion_agent.plugins import registry  # noqa: PLC0415  (tests bring their own)

        collectors = registry.collectors()
    return {
        name: Known(collector.interval, collector.selects) for name, collector in collectors.items()
    }
