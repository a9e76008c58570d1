"""Memory and swap space."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Value
from companion_agent.plugins.base import Collector
from companion_agent.plugins.rates import sendable

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIB = 1024 * 1024
# Programs take and return a few thousandths of the memory all the time.
_NOISE = 0.003


class MemoryPlugin(Collector):
    """Reads memory and, where there is some, swap space."""

    name: ClassVar[str] = "memory"
    interval: ClassVar[float] = 10

    def collect(self) -> Mapping[str, Value]:
        """Read memory and swap space."""
        memory = self.platform.memory()
        used = memory.total - memory.available
        values: dict[str, Value] = {
            "percent": used / memory.total * 100,
            "used": sendable(used),
            "available": sendable(memory.available),
            "total": sendable(memory.total),
        }
        if memory.swap_total:
            swap_used = memory.swap_total - memory.swap_free
            values["swap_percent"] = swap_used / memory.swap_total * 100
            values["swap_used"] = sendable(swap_used)
            values["swap_total"] = sendable(memory.swap_total)
        sizes = (memory.total, memory.swap_total)
        self.describe(sizes, lambda: _readings(*sizes))
        return values


def _readings(total: int, swap_total: int) -> list[Reading]:
    readings = [*_sized("", total), _amount("available", total)]
    return readings + _sized("swap_", swap_total) if swap_total else readings


def _sized(prefix: str, total: int) -> list[Reading]:
    return [
        Reading(f"{prefix}percent", resolution=0.1, deadband=_NOISE * 100),
        _amount(f"{prefix}used", total),
        Reading(f"{prefix}total", resolution=_MIB),
    ]


def _amount(key: str, total: int) -> Reading:
    # The same share as the percentage's, so that both change together; pages are of no interest.
    return Reading(key, resolution=_MIB, deadband=max(total * _NOISE, _MIB))
