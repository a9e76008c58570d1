"""What happens to this machine: told as events, and survived.

Before sleep the agent says `asleep` and disconnects in order, so that the broker does not take
it for lost while it sleeps. After waking it is back as soon as the network is.
"""

from __future__ import annotations

from collections import deque
import math
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from companion_agent.plugins.power import PowerPlugin
from companion_agent.plugins.session import SessionPlugin
from companion_agent.protocol.messages import Availability

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    import socket

    from companion_agent.mqtt.connection import Transport
    from companion_agent.mqtt.publisher import Presence
    from companion_agent.platforms.control import Happening, HostWatch, NetworkWatch

EVENTS: Mapping[str, Sequence[str]] = {
    plugin.name: plugin.events for plugin in (PowerPlugin, SessionPlugin)
}
"""The events that can be told, and their types: `docs/protocol.md`."""

# How long the machine is held up at most. logind waits 5 s unless configured, and what is left
# of that belongs to others.
FAREWELL_LIMIT = 2.0
# An event that cannot be told for longer than this is no news any more: nobody wants the light
# switched on now because somebody came home last night.
NEWS = 60.0
# News of a session is told after the reading that follows from it, so that who is told finds it,
# but waits no longer than this for a read that hangs.
READING_FIRST = 1.0
# Who reads whether the machine is locked.
_LOCK = "session"
_MOST_NEWS = 50


class Teller(Protocol):
    """Who signs and publishes events."""

    @property
    def busy(self) -> bool:
        """Whether commands are carried out whose results are still to be told."""

    def event(self, key: str, event_type: str, data: Mapping[str, object]) -> None:
        """Tell that something happened."""


class Reader(Protocol):
    """Who has things read."""

    def refresh(self) -> None:
        """Have everything read at once."""

    def read_soon(self, name: str) -> None:
        """Have a collector read at once."""

    def awaits(self, name: str) -> bool:
        """Tell whether a collector is being read, or about to be."""


class _News(NamedTuple):
    """An event to tell, since when there is one, and until when it is worth it."""

    since: float
    until: float
    key: str
    happening: Happening


class Happenings:
    """Hears what happens to this machine, tells it, and says good-bye where that is due.

    The loop selects on `sockets` for reading, and calls `step()` after every wake-up and at
    `deadline()`.

    Args:
        watch: Hears of sleep, shutdown and sessions; `None` where nothing tells.
        network: Hears that the network has changed; `None` where nothing tells.
        presence: Says whether the host is there.
        transport: The connection.
        teller: Publishes events.
        reader: Has things read.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        watch: HostWatch | None,
        network: NetworkWatch | None,
        presence: Presence,
        transport: Transport,
        teller: Teller,
        reader: Reader,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._network = network
        self._presence = presence
        self._transport = transport
        self._teller = teller
        self._reader = reader
        self._clock = clock
        self._news: deque[_News] = deque(maxlen=_MOST_NEWS)
        self._farewell_ends = math.inf
        self._falling_asleep = False
        self._locked: bool | None = None

    @property
    def events(self) -> Mapping[str, Sequence[str]]:
        """What the announce says about events."""
        return EVENTS if self._watch else {}

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets to select on."""
        found = [self._watch.socket if self._watch else None]
        found.append(self._network.socket if self._network else None)
        return [sock for sock in found if sock is not None]

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to listen.

        Args:
            wake: Wakes the loop from another thread.
        """
        if self._watch:
            self._watch.start(wake)

    def close(self) -> None:
        """Listen no more."""
        if self._watch:
            self._watch.close()
        if self._network:
            self._network.close()
        self._watch = self._network = None

    def deadline(self) -> float:
        """Return when `step()` is due without an event; infinity for never."""
        held = self._news[0].since + READING_FIRST if self._holds_back() else math.inf
        heard = self._watch.deadline() if self._watch else math.inf
        return min(self._farewell_ends, held, heard)

    def step(self) -> None:
        """Take what happened, and do what is due."""
        if self._network and self._network.changed():
            self._transport.nudge()
        for happening in self._watch.step() if self._watch else []:
            self._take(happening)
        if self._watch and self._watch.locked != self._locked:
            self._locked = self._watch.locked
            self._reader.read_soon(_LOCK)
        if not self._holds_back():
            self._tell_news()
        self._end_farewell()

    def come_back(self) -> None:
        """Be there again after sleep; more often is no harm."""
        self._farewell_ends = math.inf
        self._falling_asleep = False
        self._presence.come_back()
        self._transport.hurry()
        self._reader.refresh()

    def _take(self, happening: Happening) -> None:
        key = next((key for key, types in EVENTS.items() if happening.type in types), None)
        if key:
            now = self._clock()
            self._news.append(_News(now, now + NEWS, key, happening))
        if happening.type == "going_to_sleep":
            self._part(Availability.ASLEEP)
        elif happening.type == "shutting_down":
            self._part(Availability.OFF)
        elif happening.type in {"woke", "carries_on"}:
            self.come_back()

    def _part(self, availability: Availability) -> None:
        self._tell_news()
        self._presence.leave(availability)
        self._farewell_ends = self._clock() + FAREWELL_LIMIT
        self._falling_asleep = availability is Availability.ASLEEP

    def _end_farewell(self) -> None:
        """Let the machine go when the broker has heard everything, or will not."""
        if math.isinf(self._farewell_ends) or not self._watch:
            return
        talking = self._transport.online and not (
            self._transport.settled and not self._transport.wants_write and not self._teller.busy
        )
        if talking and self._clock() < self._farewell_ends:
            return
        self._farewell_ends = math.inf
        if self._falling_asleep:
            # Nobody takes a sleeping machine for lost. At shutdown the service is stopped in
            # order, and disconnects then.
            self._transport.close()
        self._watch.let_go()

    def _holds_back(self) -> bool:
        """Tell whether a reading comes before the news."""
        if not self._news or not self._presence.arrived:
            return False
        first = self._news[0]
        waited = self._clock() - first.since
        return first.key == _LOCK and waited < READING_FIRST and self._reader.awaits(_LOCK)

    def _tell_news(self) -> None:
        now = self._clock()
        while self._news and (self._presence.arrived or self._news[0].until <= now):
            news = self._news.popleft()
            if now < news.until:
                self._teller.event(news.key, news.happening.type, news.happening.data)
