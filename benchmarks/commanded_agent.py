"""``pilot-agent``, except that its commands do nothing: this machine is to stay awake."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from companion_agent import cli
from companion_agent.models import Command
from companion_agent.plugins import registry
from companion_agent.plugins.power import PowerPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NoPower(PowerPlugin):
    """A machine that says that it sleeps, and does not."""

    def commands(self) -> Sequence[Command]:
        """Offer one command."""
        return [Command("power.hibernate")]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Do nothing."""


if __name__ == "__main__":
    registry.load = lambda: registry.Plugins({**registry.BUILT_IN, "power": NoPower}, {})
    sys.exit(cli.main())
