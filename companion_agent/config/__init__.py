"""The configuration: declared once, found, read, checked as a whole, and kept as frozen values."""

from __future__ import annotations

from companion_agent.config.errors import ConfigError, Mistake
from companion_agent.config.loader import (
    base_of,
    default_state_dir,
    find_file,
    load,
    search_path,
)
from companion_agent.config.settings import Broker, CollectorConfig, Config, LogConfig, Tls

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
