"""The configuration: declared once, found, read, checked as a whole, and kept as frozen values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.places import base_of, default_state_dir, find_file, search_path
from companion_agent.config.settings import Broker, CollectorConfig, Config, LogConfig, Tls

if TYPE_CHECKING:
    from companion_agent.config.loader import load
else:

    def __getattr__(name: str) -> object:
        """Load what reads and checks when it is asked for: YAML and voluptuous come with it.

        The running agent has the values, and had them read by a process that has ended.
        """
        if name != "load":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from companion_agent.config.loader import load  # noqa: PLC0415  (said above)

        return load


__all__ = [
    "Broker",
    "CollectorConfig",
    "Config",
    "ConfigError",
    "LogConfig",
    "Mistake",
    "Tls",
    "base_of",
    "default_state_dir",
    "find_file",
    "load",
    "search_path",
]
