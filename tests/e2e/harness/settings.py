"""Settings that make agents report without long waits."""

from __future__ import annotations

KEEP_ALIVE = 5
"""Seconds, for hosts that are lost: the broker waits one and a half of them."""

COLLECTORS = ("cpu", "memory", "disk", "disk_io", "network", "system", "agent")
"""What every Linux machine has, be it a container."""

# What waits on this machine takes apt seconds of a processor to tell, of each agent.
_REST = {"updates": {"enabled": False}}
QUICK_OF_ALL_VERSIONS = {name: {"interval": 1} for name in COLLECTORS}
"""What an agent of an older version understands, too: a name that it does not know ends it."""
QUICK = {**QUICK_OF_ALL_VERSIONS, **_REST}
SLOW = {**{name: {"interval": 30} for name in COLLECTORS}, **_REST}
