"""The agent itself: what it uses, and how its connection fares."""

from __future__ import annotations

from dataclasses import dataclass
import os
from typing import TYPE_CHECKING, ClassVar

from companion_agent.models import Reading, Selection, Value
from companion_agent.plugins.base import Collector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from companion_agent.platforms.base import Platform

_READINGS = (
    # The allocator moves by pages of 4 KiB and arenas of 256 KiB; half a MiB is growth.
    Reading("memory", resolution=65_536, deadband=524_288),
    # The system counts in hundredths; one pass of all collectors takes less than that.
    Reading("cpu_time", resolution=0.01, deadband=0.1),
    Reading("reconnects", resolution=1),
    Reading("dropped_messages", resolution=1),
    Reading("refused_messages", resolution=1),
)


@dataclass
class Counters:
    """What the agent counts while it runs.

    Attributes:
        reconnects: Connections lost since the start.
        dropped_messages: Messages that could not be sent since the start.
        refused_messages: Messages of others that were refused since the start.
    """

    reconnects: int = 0
    dropped_messages: int = 0
    refused_messages: int = 0


class AgentCollector(Collector):
    """Reads the agent's own figures.

    Args:
        platform: The operating system.
        selection: Not used; here as in every collector.
        counters: What the agent goes on counting in; see `collectors.create`.
    """

    name: ClassVar[str] = "agent"
    interval: ClassVar[float] = 60

    def __init__(
        self,
        platform: Platform,
        selection: Selection | None = None,
        counters: Counters | None = None,
    ) -> None:
        super().__init__(platform, selection)
        self.counters = counters or Counters()

    def probe(self) -> None:
        """Do nothing: the agent is there."""

    def readings(self) -> Sequence[Reading]:
        """Describe the agent's figures."""
        return _READINGS

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
