"""Settings that make agents report without long waits."""

from __future__ import annotations

KEEP_ALIVE = 5
"""Seconds, for hosts that are lost: the broker waits one and a half of them."""

COLLECTORS = ("cpu", "memory", "disk", "disk_io", "network", "system", "agent")
"""What every Linux machine has, be it a container."""

WITHOUT_PACKAGE_MANAGERS = {"updates": {"enabled": False}}
"""What waits on this machine takes apt seconds of a processor to tell, for each agent anew."""

QUICK_OF_ALL_VERSIONS = {name: {"interval": 1} for name in COLLECTORS}
"""What an agent of an older version understands, too: a name that it does not know ends it."""
QUICK = {**QUICK_OF_ALL_VERSIONS, **WITHOUT_PACKAGE_MANAGERS}
SLOW = {**{name: {"interval": 30} for name in COLLECTORS}, **WITHOUT_PACKAGE_MANAGERS}
