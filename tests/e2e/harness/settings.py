"""Settings that make agents report without long waits."""

from __future__ import annotations

KEEP_ALIVE = 5
"""Seconds, for hosts that are lost: the broker waits one and a half of them."""

COLLECTORS = ("cpu", "memory", "disk", "disk_io", "network", "system", "agent")
"""What every Linux machine has, be it a container."""

QUICK = {name: {"interval": 1} for name in COLLECTORS}
SLOW = {name: {"interval": 30} for name in COLLECTORS}
