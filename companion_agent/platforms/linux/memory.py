"""Memory, from `/proc/meminfo` and the figures of ZFS's cache.

Sources: Documentation/filesystems/proc.rst; `arcstats` in zfs-module-parameters(4) and in htop's
`linux/ZfsArcStats`.
"""

from __future__ import annotations

from companion_agent.platforms.base import MemorySample
from companion_agent.platforms.linux.files import integer


def parse_arcstats(data: bytes) -> int:
    """Read how many bytes ZFS's cache gives back when they are needed; 0 when it does not say."""
    fields: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        words = line.split()
        if len(words) == 3 and words[0] in {b"size", b"c_min"}:
            value = integer(words[2])
            if value is not None and value >= 0:
                fields[words[0]] = value
    return max(fields.get(b"size", 0) - fields.get(b"c_min", 0), 0)


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
