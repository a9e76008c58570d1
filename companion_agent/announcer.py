"""What this host announces of itself, and when: gathered from the parts, told when it changes."""

from __future__ import annotations

import logging
import math
import socket
import time
from typing import TYPE_CHECKING, Any

from companion_agent.announcement import describe_host
from companion_agent.mqtt.publisher import Announcement
from companion_agent.platforms.architecture import architecture
from companion_agent.platforms.base import HostInfo
from companion_agent.timing import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from companion_agent.mqtt.publisher import Publisher
    from companion_agent.scheduler import Scheduler

_LOGGER = logging.getLogger("companion_agent.agent")

# The announce waits for the first read of every collector, so that no reading seems to have
# gone, but not longer than this for one that hangs.
FIRST_ROUND_LIMIT = 2.0


class Announcer:
    """Announces this host anew whenever something that it says of itself has changed.

    `run()` is its task.

    Args:
        host_id: The host's id.
        name: What it is called in the configuration; empty to call it by its own name.
        publisher: Publishes.
        scheduler: Knows what is read.
        offer: Returns what else is announced, field by field: trust, commands, events, updates.
        settled: Tells whether the offer is complete.
        clock: Monotonic seconds, those of the event loop.
    """

    def __init__(
        self,
        host_id: str,
        name: str,
        publisher: Publisher,
        scheduler: Scheduler,
        offer: Callable[[], Mapping[str, Any]],
        settled: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host_id = host_id
        self._name = name
        self._publisher = publisher
        self._scheduler = scheduler
        self._offer = offer
        self._settled = settled
        self._clock = clock
        self._alarm = Alarm()
        self._first_round_ends = clock() + FIRST_ROUND_LIMIT
        self._announced: Announcement | None = None

    async def run(self) -> None:
        """Announce what has changed, until cancelled."""
        while True:
            self.announce()
            await self._alarm.wait(math.inf if self._announced else self._first_round_ends)

    def look_again(self) -> None:
        """Look soon whether something has changed."""
        self._alarm.ring()

    def announce(self) -> None:
        """Announce what has changed, now: a new reading comes before its first value."""
        if self._announced is None and not self._first_round_over():
            return
        info = self._scheduler.info or HostInfo(socket.gethostname(), "", architecture())
        host = describe_host(self._host_id, self._name or info.name, info)
        reports = {
            source.name: source.report for source in self._scheduler.sources if source.available
        }
        announcement = Announcement(host, reports, self._offer())
        if announcement == self._announced:
            return
        if self._announced is None:
            self._say_what_is_there()
        self._announced = announcement
        self._publisher.announce(announcement)

    def _first_round_over(self) -> bool:
        if self._clock() >= self._first_round_ends:
            return True
        return self._scheduler.complete and self._settled()

    def _say_what_is_there(self) -> None:
        there = [source.name for source in self._scheduler.sources if source.available]
        missing = [source.name for source in self._scheduler.sources if not source.available]
        _LOGGER.info(
            "Reporting %s%s",
            ", ".join(there) or "nothing",
            f"; not here: {', '.join(missing)}" if missing else "",
        )
