"""Load the configuration for a command, with all mistakes on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from companion_agent.cli.output import complain_of
from companion_agent.config import ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path

    from companion_agent.config import Config


def load_config(path: Path | None, *, needs_broker: bool = True) -> Config | None:
    """Return the configuration; `None` when it has mistakes, which are printed."""
    try:
        return load(path, needs_broker=needs_broker)
    except ConfigError as error:
        complain_of(error)
        return None
