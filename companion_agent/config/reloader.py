"""Reads the configuration again while the agent runs; one with mistakes changes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from companion_agent.config.errors import ConfigError
from companion_agent.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from companion_agent.config.errors import Mistake
    from companion_agent.config.overlay import Overlay
    from companion_agent.config.settings import Config

_LOGGER = logging.getLogger(__name__)


class Load(Protocol):
    """Reads the configuration anew."""

    def __call__(self, *, overlay: Overlay | None = None) -> Config:
        """Read it, with what Home Assistant has set; with what is kept of that when `None`.

        Raises:
            ConfigError: It has mistakes.
        """


class Reloader:
    """Keeps the configuration that the agent is to go on with.

    Args:
        config: The configuration that it runs with.
        load: Reads it anew.
        occupied: Says why the agent must not begin anew now; empty when it may.

    Attributes:
        config: The configuration that was read last without mistakes.
        restarting: Whether the process itself is to be started anew.
    """

    def __init__(
        self,
        config: Config,
        load: Load,
        occupied: Callable[[], str] = lambda: "",
    ) -> None:
        self.config = config
        self.occupied = occupied
        self.restarting = False
        self._load = load

    def read(self) -> None:
        """Read the configuration; safe from any thread, and blocking.

        Raises:
            CommandError: It has mistakes, or the agent cannot go on with it.
        """
        try:
            found = self.checked()
            if found.overlay_mistakes:
                raise ConfigError(found.overlay_mistakes)  # noqa: TRY301  (handled as the file's)
        except ConfigError as error:
            for mistake in error.mistakes:
                _LOGGER.warning("The configuration is not read again: %s", mistake)
            raise CommandError("failed", summary(error.mistakes)) from error
        except CommandError as error:
            _LOGGER.warning("The configuration is not read again: %s", error.detail)
            raise
        self.config = found

    def checked(self, overlay: Overlay | None = None) -> Config:
        """Read the configuration, and keep nothing of it.

        Args:
            overlay: What Home Assistant is to have set; what is kept of that when `None`.

        Raises:
            ConfigError: The file or the environment has mistakes.
            CommandError: The agent cannot go on with it.
        """
        found = self._load() if overlay is None else self._load(overlay=overlay)
        if found.state_dir != self.config.state_dir:
            raise CommandError("failed", "another state_dir needs a restart of the agent")
        self._check_occupied()
        return found

    def restart(self) -> None:
        """Have the process started anew once the agent has ended.

        Raises:
            CommandError: It must not be, now.
        """
        self._check_occupied()
        self.restarting = True

    def _check_occupied(self) -> None:
        if occupied := self.occupied():
            raise CommandError("failed", occupied)


def summary(mistakes: Sequence[Mistake]) -> str:
    """Name the first mistakes of a configuration, as many as a result has room for."""
    first, *others = map(str, mistakes)
    return f"{first} (and {len(others)} more: pilot-agent config check)" if others else first
