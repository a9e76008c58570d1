"""The agent itself: what it uses, how its connection fares, and its updates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from companion_agent.errors import Unavailable
from companion_agent.models import Command, Counters, Reading, Selection, TextArgument, Value
from companion_agent.plugins.base import Collector, CommandProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from companion_agent.platforms.base import Platform
    from companion_agent.plugins.base import PluginContext, Rereader, Updater

UPDATE = "agent.update"
RELOAD = "agent.reload"
RESTART = "agent.restart"

_READINGS = (
    # The allocator moves by pages of 4 KiB and arenas of 256 KiB; half a MiB is growth.
    Reading("memory", resolution=65_536, deadband=524_288),
    # The system counts in hundredths; one pass of all collectors takes less than that.
    Reading("cpu_time", resolution=0.01, deadband=0.1),
    Reading("reconnects", resolution=1),
    Reading("dropped_messages", resolution=1),
    Reading("refused_messages", resolution=1),
)


class AgentPlugin(Collector, CommandProvider):
    """Reads the agent's own figures; has it replaced, started anew, or its configuration read.

    Args:
        platform: The operating system.
        selection: Not used; here as in every plug-in.
        counters: What the agent goes on counting in.
        updater: Replaces the agent; `None` where no agent runs.
        rereader: Reads the configuration again; `None` where no agent runs.
    """

    name: ClassVar[str] = "agent"
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        counters: Counters | None = None,
        updater: Updater | None = None,
        rereader: Rereader | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self.counters = counters or Counters()
        self._updater = updater
        self._rereader = rereader
        self.described = _READINGS

    @classmethod
    def create(cls, context: PluginContext) -> Self:
        """Make it with what the agent counts, and with what replaces it or its configuration."""
        return cls(
            context.platform,
            context.selection,
            context.counters,
            context.updater,
            context.rereader,
        )

    def probe(self) -> None:
        """Do nothing: the agent is there."""

    def collect(self) -> Mapping[str, Value]:
        """Read the agent's figures."""
        times = os.times()
        return {
            "memory": self.platform.own_memory(),
            "cpu_time": times.user + times.system + times.children_user + times.children_system,
            "reconnects": self.counters.reconnects,
            "dropped_messages": self.counters.dropped_messages,
            "refused_messages": self.counters.refused_messages,
        }

    def commands(self) -> Sequence[Command]:
        """Ask the updater whether it can replace the agent.

        Raises:
            Unavailable: It cannot, and there is no configuration to be read again.
        """
        commands = [] if self._rereader is None else [Command(RELOAD), Command(RESTART)]
        cannot = self._updater.cannot if self._updater else "only a running agent can be updated"
        if cannot and not commands:
            raise Unavailable(cannot)
        if cannot:
            return commands
        args = {
            "version": TextArgument(longest=64, default=""),
            # Only an agent that is updated from Home Assistant looks at it.
            "url": TextArgument(longest=512, default=""),
        }
        return [*commands, Command(UPDATE, args)]

    def run(self, key: str, args: Mapping[str, Any]) -> None:
        """Have the updater begin, the configuration read, or the process started anew.

        Events and the next announces say how an update goes on. The agent goes on with what was
        read, or ends, when it has said that this is done.
        """
        if key in {RELOAD, RESTART}:
            if self._rereader is not None:
                (self._rereader.read if key == RELOAD else self._rereader.restart)()
        elif self._updater is not None:
            self._updater.ask(args["version"], args["url"])
