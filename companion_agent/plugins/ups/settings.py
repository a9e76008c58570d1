"""Where the server of Network UPS Tools is."""

from __future__ import annotations

from dataclasses import dataclass

from companion_agent.fields import setting
from companion_agent.values import HostName, Integer


@dataclass(frozen=True, slots=True)
class UpsConfig:
    """The server that knows the uninterruptible power supplies. Reading them takes no login.

    Attributes:
        host: Its name or address.
        port: Its TCP port.
    """

    host: str = setting(HostName(), "The server of Network UPS Tools (upsd).", "127.0.0.1")
    port: int = setting(Integer(1, 65535), "Its TCP port.", 3493)
