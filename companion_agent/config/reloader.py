"""Reads the configuration again while the agent runs; one with mistakes changes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from companion_agent.config.errors import ConfigError
from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from companion_agent.config.settings import Config

_LOGGER = logging.getLogger(__name__)


class Reloader:
    """Keeps the configuration that the agent is to go on with.

    Args:
        config: The configuration that it runs with.
        load: Reads it anew.
        occupied: Says why the agent must not begin anew now; empty when it may.

    Attributes:
        config: The configuration that was read last without mistakes.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        occupied: Callable[[], str] = lambda: "",
    ) -> None:
        self.config = config
        self.occupied = occupied
        self._load = load

    def read(self) -> None:
        """Read the configuration; safe from any thread, and blocking.

        Raises:
            CommandError: It has mistakes, or the agent cannot go on with it.
        """
        try:
            found = self._checked()
        except ConfigError as error:
            for mistake in error.mistakes:
                _LOGGER.warning("The configuration is not read again: %s", mistake)
            raise CommandError("failed", _summary(error)) from error
        except CommandError as error:
            _LOGGER.warning("The configuration is not read again: %s", error.detail)
            raise
        self.config = found

    def _checked(self) -> Config:
        found = self._load()
        if found.state_dir != self.config.state_dir:
            raise CommandError("failed", "another state_dir needs a restart of the agent")
        if occupied := self.occupied():
            raise CommandError("failed", occupied)
        return found


def _summary(error: ConfigError) -> str:
    """Name the first mistakes of a configuration, as many as a result has room for."""
    first, *others = map(str, error.mistakes)
    return f"{first} (and {len(others)} more: pilot-agent config check)" if others else first
