"""What happens to this machine: published as events, and survived.

Before sleep the agent says `asleep` and disconnects in order, so that the broker does not take
it for lost while it sleeps. After waking it is back as soon as the network is.
"""

from __future__ import annotations

import asyncio
from collections import deque
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.session import SessionPlugin
from companion_agent.protocol.messages import Availability
from companion_agent.timing import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    import socket

    from companion_agent.mqtt.connection import Transport
    from companion_agent.mqtt.publisher import Publisher
    from companion_agent.platforms.control import HostEvent, HostWatch, NetworkWatch, Session

EVENTS: Mapping[str, Sequence[str]] = {
    plugin.name: plugin.events for plugin in (PowerPlugin, SessionPlugin)
}
"""The events that can be published, and their types: `docs/protocol.md`."""

# How long the machine is held up at most. logind waits 5 s unless configured, and what is left
# of that belongs to others.
FAREWELL_LIMIT = 2.0
# An event that cannot be published for longer than this is no news any more: the light shall not
# be switched on now because a person came home last night.
NEWS = 60.0
# News of a session is published after the reading that follows from it, so that an automation
# finds it, but waits no longer than this for a read that hangs.
READING_FIRST = 1.0
# The collector that reads who is logged in, and whether the machine is locked.
_SESSIONS = "session"
_MOST_NEWS = 50


class Commands(Protocol):
    """What carries out commands."""

    @property
    def busy(self) -> bool:
        """Whether commands are carried out whose results are still to be published."""


class Reader(Protocol):
    """What reads the collectors."""

    def refresh(self) -> None:
        """Read everything at once."""

    def read_soon(self, name: str) -> None:
        """Read a collector at once."""

    def awaits(self, name: str) -> bool:
        """Tell whether a collector is being read, or about to be."""

    def notice_suspend(self) -> None:
        """Look whether this machine has slept."""


class _News(NamedTuple):
    """An event to publish, since when there is one, and until when it is worth it."""

    since: float
    until: float
    key: str
    type: str
    data: Mapping[str, Any]


class HostEvents:
    """Publishes what happens to this machine, and says good-bye where that is due.

    `run()` is its task.

    Args:
        watch: Hears of sleep, shutdown and sessions; `None` where no system service tells.
        network: Hears that the network has changed; `None` where the system does not tell.
        publisher: Publishes events, and whether the host is there.
        transport: The connection.
        commands: Carries out commands, whose results are published before the machine sleeps.
        reader: Reads the collectors.
        clock: Monotonic seconds, those of the event loop.
        follow_sessions: Called with the sessions of people when they are others than before.
    """

    def __init__(
        self,
        watch: HostWatch | None,
        network: NetworkWatch | None,
        publisher: Publisher,
        transport: Transport,
        commands: Commands,
        reader: Reader,
        clock: Callable[[], float] = time.monotonic,
        follow_sessions: Callable[[Sequence[Session]], None] = lambda _: None,
    ) -> None:
        self._watch = watch
        self._network = network
        self._publisher = publisher
        self._transport = transport
        self._commands = commands
        self._reader = reader
        self._clock = clock
        self._alarm = Alarm()
        self._watched: set[socket.socket] = set()
        self._news: deque[_News] = deque(maxlen=_MOST_NEWS)
        self._farewell_ends = math.inf
        self._falling_asleep = False
        self._locked: bool | None = None
        self._follow_sessions = follow_sessions
        self._sessions: tuple[Session, ...] = ()

    async def run(self) -> None:
        """Hear and publish what happens, until cancelled."""
        try:
            if self._watch:
                self._watch.start(self._alarm.ring_from_thread)
            while True:
                self._step()
                await self._alarm.wait(self._deadline())
        finally:
            self._close()

    def look_again(self) -> None:
        """Look whether what it waits for has come: a reading, a connection, a result."""
        self._alarm.ring()

    @property
    def events(self) -> Mapping[str, Sequence[str]]:
        """What the announce says about events."""
        return EVENTS if self._watch else {}

    # --- In the event loop ---------------------------------------------------------------

    def _watch_sockets(self) -> None:
        """Have the event loop wait for the sockets that there are now.

        At once after they may have been closed: their numbers may come again.
        """
        found = {one.socket for one in (self._watch, self._network) if one}
        wanted = {sock for sock in found if sock is not None}
        loop = asyncio.get_running_loop()
        for gone in self._watched - wanted:
            loop.remove_reader(gone)
        for new in wanted - self._watched:
            loop.add_reader(new, self._alarm.ring)
        self._watched = wanted

    def _close(self) -> None:
        for sock in self._watched:
            asyncio.get_running_loop().remove_reader(sock)
        self._watched = set()
        if self._watch:
            self._watch.close()
        if self._network:
            self._network.close()
        self._watch = self._network = None

    def _deadline(self) -> float:
        """Return when `_step()` is due without an event; infinity for never."""
        held = self._news[0].since + READING_FIRST if self._holds_back() else math.inf
        heard = self._watch.deadline() if self._watch else math.inf
        return min(self._farewell_ends, held, heard)

    def _step(self) -> None:
        """Take what happened, and do what is due."""
        self._reader.notice_suspend()
        if self._network and self._network.changed():
            self._transport.nudge()
        for event in self._watch.step() if self._watch else []:
            self._take(event)
        self._watch_sockets()
        for name in sorted(self._watch.take_changed()) if self._watch else ():
            self._reader.read_soon(name)
        if self._watch and self._watch.locked != self._locked:
            self._locked = self._watch.locked
            self._reader.read_soon(_SESSIONS)
        if self._watch and (sessions := self._watch.sessions) != self._sessions:
            self._sessions = sessions
            self._follow_sessions(sessions)
            self._reader.read_soon(_SESSIONS)
        if not self._holds_back():
            self._publish_news()
        self._end_farewell()

    def come_back(self) -> None:
        """Be there again after sleep; more often is no harm."""
        self._farewell_ends = math.inf
        self._falling_asleep = False
        self._publisher.come_back()
        self._transport.hurry()
        self._reader.refresh()

    def _take(self, event: HostEvent) -> None:
        key = next((key for key, types in EVENTS.items() if event.type in types), None)
        if key:
            self._keep(key, event.type, event.data)
        if event.type == "going_to_sleep":
            self._part(Availability.ASLEEP)
        elif event.type == "shutting_down":
            self._part(Availability.OFF)
        elif event.type in {"woke", "carries_on"}:
            self.come_back()

    def tell(self, key: str, event_type: str, data: Mapping[str, Any]) -> None:
        """Publish an event of another part, as those of this machine are published."""
        self._keep(key, event_type, data)
        self._alarm.ring()

    def _keep(self, key: str, event_type: str, data: Mapping[str, Any]) -> None:
        now = self._clock()
        self._news.append(_News(now, now + NEWS, key, event_type, data))

    def _part(self, availability: Availability) -> None:
        self._publish_news()
        self._publisher.leave(availability)
        self._farewell_ends = self._clock() + FAREWELL_LIMIT
        self._falling_asleep = availability is Availability.ASLEEP

    def _end_farewell(self) -> None:
        """Let the machine go when the broker has heard everything, or will not."""
        if math.isinf(self._farewell_ends) or not self._watch:
            return
        talking = self._transport.online and not (
            self._transport.settled and not self._transport.wants_write and not self._commands.busy
        )
        if talking and self._clock() < self._farewell_ends:
            return
        self._farewell_ends = math.inf
        if self._falling_asleep:
            # A sleeping machine is not taken for lost. At shutdown the service is stopped in
            # order, and disconnects then.
            self._transport.close()
        self._watch.let_go()

    def _holds_back(self) -> bool:
        """Tell whether a reading comes before the news."""
        if not self._news or not self._publisher.arrived:
            return False
        first = self._news[0]
        waited = self._clock() - first.since
        return first.key == _SESSIONS and waited < READING_FIRST and self._reader.awaits(_SESSIONS)

    def _publish_news(self) -> None:
        now = self._clock()
        while self._news and (self._publisher.arrived or self._news[0].until <= now):
            news = self._news.popleft()
            if now < news.until:
                self._publisher.event(news.key, news.type, news.data)
