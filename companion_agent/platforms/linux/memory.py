"""Memory, from `/proc/meminfo`. Source: Documentation/filesystems/proc.rst."""

from __future__ import annotations

from companion_agent.platforms.base import MemorySample
from companion_agent.platforms.linux.files import integer


def parse_meminfo(data: bytes) -> MemorySample | None:
    """Read `/proc/meminfo`; `None` when it does not say how much memory there is."""
    fields: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        name, _, rest = line.partition(b":")
        words = rest.split(None, 1)
        value = integer(words[0]) if words else None
        if value is not None and value >= 0:
            fields[name] = value * 1024
        # Everything needed stands before the many fields that follow the swap space.
        if name == b"SwapFree":
            break
    total = fields.get(b"MemTotal", 0)
    available = fields.get(b"MemAvailable")
    if available is None and b"MemFree" in fields:
        # Some containers' /proc/meminfo has no estimate of its own; this is what it was before.
        available = sum(fields.get(name, 0) for name in (b"MemFree", b"Buffers", b"Cached"))
    if not total or available is None:
        return None
    swap = fields.get(b"SwapTotal", 0)
    return MemorySample(
        total=total,
        available=min(available, total),
        swap_total=swap,
        swap_free=min(fields.get(b"SwapFree", 0), swap),
    )
